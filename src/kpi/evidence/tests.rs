//! Samples and their states for each kind of answer.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::{Assessment, Form, Reply};
use crate::kpi::answer::{Answer, Data, Labels, Series, timestamp};
use crate::kpi::clock::ClockVerdict;
use crate::kpi::{Failure, Question};
use plimsoll_api::{Goal, KpiState};
use plimsoll_engine::{Sample, Value};

const NOW: f64 = 1_800_000_000.0;
const LOAD: Goal = Goal::PerReplica(1.0);
const AVERAGE: Goal = Goal::Average(0.5);

fn reply(result: Result<Answer, Failure>) -> Reply {
    Reply { result, clock: ClockVerdict::Sound }
}

fn vector(series: Vec<Series>) -> Answer {
    let time = if series.is_empty() { None } else { timestamp(NOW) };
    Answer { data: Data::Vector(series), time, warning: None }
}

fn number(value: f64) -> Answer {
    vector(vec![Series { labels: Labels::default(), value }])
}

fn pod(name: &str, value: f64) -> Series {
    Series { labels: Labels { pod: Some(name.into()), plimsoll: None }, value }
}

fn part(name: &str, value: f64) -> Series {
    Series { labels: Labels { pod: None, plimsoll: Some(name.into()) }, value }
}

/// The answer to an evidence query that is evaluated now: its newest sample has the given age, or there is no sample.
fn probe(age: Option<f64>) -> Answer {
    let mut series = vec![part("server", NOW)];
    if let Some(age) = age {
        series.extend([part("newest/0", NOW - age), part("targets", 2.0)]);
    }
    vector(series)
}

fn judge(goal: Goal, value: &Reply, probe: &Reply, burst: Option<&Reply>) -> Sample {
    judge_as(Form::Kpi(goal), value, probe, burst)
}

fn judge_as(form: Form, value: &Reply, probe: &Reply, burst: Option<&Reply>) -> Sample {
    let question = Question::parse("sum(rate(x[1m]))").unwrap();
    let stale_after = Duration::from_secs(60);
    Assessment { source: "default", stale_after, form, question: &question, value, probe: Some(probe), burst }
        .judge()
}

fn simple(value: Answer, age: Option<f64>) -> Sample {
    judge(LOAD, &reply(Ok(value)), &reply(Ok(probe(age))), None)
}

#[test]
fn a_recent_number_is_fresh_with_its_time_and_targets() {
    let sample = simple(number(7.0), Some(3.0));
    assert_eq!(
        (sample.state, sample.value, sample.message),
        (KpiState::Fresh, Some(Value::Single(7.0)), None)
    );
    assert_eq!((sample.at, sample.targets), (timestamp(NOW - 3.0), Some(2)));
}

#[test]
fn age_decides_between_fresh_and_stale() {
    assert_eq!(simple(number(7.0), Some(60.0)).state, KpiState::Fresh);
    let stale = simple(number(7.0), Some(61.0));
    assert_eq!(stale.state, KpiState::Stale);
    assert_eq!(
        stale.message.as_deref(),
        Some("the newest sample is 61 s old; source \"default\" allows 60 s")
    );
    // A scrape arrived between the two queries: the sample is new, and not from the future.
    assert_eq!(simple(number(7.0), Some(-0.2)).state, KpiState::Fresh);
}

#[test]
fn a_value_that_was_evaluated_long_before_its_probe_is_stale() {
    let mut old = number(7.0);
    old.time = timestamp(NOW - 300.0);
    let sample = simple(old, Some(1.0));
    assert_eq!((sample.state, sample.at), (KpiState::Stale, timestamp(NOW - 300.0)));
}

#[test]
fn series_that_ended_are_stale_and_no_series_are_empty() {
    let ended = simple(number(7.0), None);
    assert_eq!((ended.state, ended.targets), (KpiState::Stale, Some(0)));
    assert!(ended.message.unwrap().starts_with("the series of the query have ended"));
    assert_eq!(simple(vector(vec![]), None).state, KpiState::Empty);
    let filtered = simple(vector(vec![]), Some(1.0));
    assert_eq!((filtered.state, filtered.value), (KpiState::Empty, None));
    assert_eq!(simple(vector(vec![]), Some(90.0)).state, KpiState::Stale, "empty, but not scraped lately");
}

#[test]
fn a_warning_makes_it_partial_even_when_empty() {
    for value in [number(7.0), vector(vec![])] {
        let warned = Answer { warning: Some("store is down".into()), ..value };
        let sample = simple(warned, Some(1.0));
        assert_eq!(sample.state, KpiState::Partial);
        assert_eq!(sample.message.as_deref(), Some("source \"default\" warns: store is down"));
    }
    let warned = Answer { warning: Some("w".into()), ..probe(Some(1.0)) };
    assert_eq!(judge(LOAD, &reply(Ok(number(1.0))), &reply(Ok(warned)), None).state, KpiState::Partial);
}

#[test]
fn a_number_that_is_not_finite_is_nan_without_a_value() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let sample = simple(number(value), Some(1.0));
        assert_eq!((sample.state, sample.value), (KpiState::NaN, None));
    }
    let one_pod = vector(vec![pod("a", 0.5), pod("b", f64::NAN)]);
    let sample = judge(AVERAGE, &reply(Ok(one_pod)), &reply(Ok(probe(Some(1.0)))), None);
    assert_eq!(sample.message.as_deref(), Some("the answer for pod \"b\" is NaN, which can't be used"));
}

#[test]
fn several_series_are_pods_or_an_error() {
    let by = |goal, label| {
        let answer = match label {
            "pod" => vector(vec![pod("a", 0.1), pod("b", 0.3), pod("c", 0.5)]),
            "same" => vector(vec![pod("a", 0.1), pod("a", 0.3)]),
            _ => vector(vec![Series { labels: Labels::default(), value: 0.1 }; 3]),
        };
        judge(goal, &reply(Ok(answer)), &reply(Ok(probe(Some(1.0)))), None)
    };
    let pods = BTreeMap::from([("a".into(), 0.1), ("b".into(), 0.3), ("c".into(), 0.5)]);
    assert_eq!(by(AVERAGE, "pod").value, Some(Value::ByPod(pods)));
    for (goal, label, expected) in [
        (
            AVERAGE,
            "code",
            "query returned 3 series; it must return one number, or one series for each pod (label `pod`)",
        ),
        (
            AVERAGE,
            "same",
            "query returned two series with the label pod=\"a\"; it must return one for each pod",
        ),
        (LOAD, "pod", "query returned 3 series; for type Load it must return one number: use sum()"),
        (
            Goal::AtMost(1.0),
            "code",
            "query returned 3 series; for type Objective it must return one number: use max()",
        ),
    ] {
        let sample = by(goal, label);
        assert_eq!((sample.state, sample.message.as_deref()), (KpiState::Error, Some(expected)));
    }
    let one = vector(vec![pod("a", 0.1)]);
    let one = |goal| judge(goal, &reply(Ok(one.clone())), &reply(Ok(probe(Some(1.0)))), None).value;
    assert_eq!(one(AVERAGE), Some(Value::ByPod(BTreeMap::from([("a".into(), 0.1)]))), "a single pod");
    assert_eq!(one(LOAD), Some(Value::Single(0.1)));
}

#[test]
fn a_sample_is_not_fresh_if_the_probe_fails_but_may_be_if_the_burst_fails() {
    let down = reply(Err(Failure::TimedOut(5.0)));
    let sample = judge(LOAD, &reply(Ok(number(1.0))), &down, None);
    let expected = "the age of the answer is unknown: source \"default\" did not answer within 5 s";
    assert_eq!(
        (sample.state, sample.value, sample.message.as_deref()),
        (KpiState::Error, None, Some(expected))
    );

    let good = reply(Ok(probe(Some(1.0))));
    let burst = judge(LOAD, &reply(Ok(number(1.0))), &good, Some(&reply(Ok(number(9.0)))));
    assert_eq!((burst.state, burst.newest), (KpiState::Fresh, Some(9.0)));
    for useless in [Err(Failure::TimedOut(5.0)), Ok(number(f64::NAN)), Ok(vector(vec![]))] {
        let sample = judge(LOAD, &reply(Ok(number(1.0))), &good, Some(&reply(useless)));
        assert_eq!((sample.state, sample.newest), (KpiState::Fresh, None));
    }
}

#[test]
fn a_frozen_or_jumping_clock_makes_a_sample_stale() {
    for (clock, expected) in [
        (
            ClockVerdict::Frozen(Duration::from_secs(45)),
            "source \"default\" returned the same evaluation time as 45 s ago, as if from a cache",
        ),
        (
            ClockVerdict::WentBack(Duration::from_secs(60)),
            "the clock of source \"default\" went back by 60.0 s",
        ),
    ] {
        let odd = |answer| Reply { result: Ok(answer), clock };
        let by_value = judge(LOAD, &odd(number(1.0)), &reply(Ok(probe(Some(1.0)))), None);
        let by_probe = judge(LOAD, &reply(Ok(vector(vec![]))), &odd(probe(None)), None);
        for sample in [by_value, by_probe] {
            assert_eq!((sample.state, sample.message.as_deref()), (KpiState::Stale, Some(expected)));
        }
    }
}

#[test]
fn a_query_without_series_has_the_time_of_its_evaluation() {
    let question = Question::parse("vector(1)").unwrap();
    let value = reply(Ok(number(1.0)));
    let stale_after = Duration::from_secs(60);
    let assessment = Assessment {
        source: "s",
        stale_after,
        form: Form::Kpi(LOAD),
        question: &question,
        value: &value,
        probe: None,
        burst: None,
    };
    assert_eq!(assessment.judge(), Sample::fresh(1.0, timestamp(NOW).unwrap()));
}

/// Overlapping ranges of a failover's sign count as one sample.
#[test]
fn a_sample_reaches_back_as_far_as_the_range_of_its_query() {
    let value = reply(Ok(number(1.0)));
    let probe = reply(Ok(probe(Some(1.0))));
    for (query, seconds) in [
        ("sum(rate(e[30s])) / sum(rate(r[30s]))", 30),
        ("sum(rate(e[30s])) / sum(rate(r[5m]))", 300),
        ("sum(queue)", 0),
    ] {
        for form in [Form::Kpi(Goal::AtMost(1.0)), Form::Kpi(LOAD)] {
            let question = Question::parse(query).unwrap();
            let assessment = Assessment {
                source: "default",
                stale_after: Duration::from_secs(60),
                form,
                question: &question,
                value: &value,
                probe: Some(&probe),
                burst: None,
            };
            assert_eq!(assessment.judge().reach, SignedDuration::from_secs(seconds), "{query}");
        }
    }
}

#[test]
fn a_default_in_the_query_is_not_evidence() {
    let question = Question::parse("sum(rate(x[1m])) or vector(0)").unwrap();
    let (value, none) = (reply(Ok(number(0.0))), reply(Ok(probe(None))));
    let stale_after = Duration::from_secs(60);
    let probe = Some(&none);
    let assessment = Assessment {
        source: "s",
        stale_after,
        form: Form::Kpi(LOAD),
        question: &question,
        value: &value,
        probe,
        burst: None,
    };
    let sample = assessment.judge();
    assert_eq!(sample.state, KpiState::Stale);
    assert!(sample.message.unwrap().ends_with("set onEmpty: Zero instead of a default in the query"));
}

#[test]
fn pods_without_a_number_are_left_out() {
    let ask = |series: Vec<Series>| {
        judge_as(Form::EachPod, &reply(Ok(vector(series))), &reply(Ok(probe(Some(1.0)))), None)
    };
    let sample = ask(vec![pod("a", 0.3), pod("b", f64::NAN), pod("c", 0.0)]);
    let numbers = BTreeMap::from([("a".to_owned(), 0.3), ("c".to_owned(), 0.0)]);
    assert_eq!((sample.state, sample.value), (KpiState::Fresh, Some(Value::ByPod(numbers))));
    assert_eq!(ask(vec![pod("a", 0.3)]).state, KpiState::Fresh, "a single pod");
    assert_eq!(ask(vec![pod("a", f64::NAN)]).state, KpiState::Empty);
    assert_eq!(ask(vec![]).state, KpiState::Empty);
    let unlabelled = ask(vec![Series { labels: Labels::default(), value: 0.5 }]);
    assert_eq!(unlabelled.state, KpiState::Error);
    assert!(unlabelled.message.unwrap().contains("use by (pod)"));
    let twice = ask(vec![pod("a", 0.1), pod("a", 0.2)]);
    assert!(twice.message.unwrap().contains("two series with the label pod=\"a\""));
}
