//! Assesses an answer: (value, probe, clocks) -> a sample with its state. Pure.
//!
//! Each age is the difference of two times of Prometheus' own clock, so that a wrong clock on either side does not affect it.
//! No sample is `Fresh` without evidence of its age, and an empty answer is never replaced by a number.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::answer::{Answer, Data, Series};
use super::clock::ClockVerdict;
use super::failure::Failure;
use super::question::{Evidence, Question, read_probe};
use plimsoll_api::{Goal, KpiState};
use plimsoll_engine::{Sample, Value, Volume};

/// The result of a query, and the verdict on its evaluation time.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) result: Result<Answer, Failure>,
    pub(super) clock: ClockVerdict,
}

/// How an answer is interpreted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// As the value of a KPI with this goal.
    Kpi(Goal),
    /// As a number for each pod. Pods without a finite number are left out.
    EachPod,
}

/// The inputs of a sample.
pub(super) struct Assessment<'a> {
    /// Name of the source.
    pub(super) source: &'a str,
    /// Age above which a sample is stale.
    pub(super) stale_after: Duration,
    pub(super) form: Form,
    pub(super) question: &'a Question,
    pub(super) value: &'a Reply,
    /// `None` if the query needs no probe.
    pub(super) probe: Option<&'a Reply>,
    /// `None` without a burst query.
    pub(super) burst: Option<&'a Reply>,
}

impl Assessment<'_> {
    /// The sample.
    pub(super) fn judge(&self) -> Sample {
        self.sample().unwrap_or_else(|message| Sample::unusable(KpiState::Error, message))
    }

    fn sample(&self) -> Result<Sample, String> {
        let answer = self.value.result.as_ref().map_err(|failure| self.failed(failure))?;
        let value = shape(&answer.data, self.form)?;
        // Checked first: the value is useless at any age, and this message is more specific than that of a failed probe.
        if let Some(message) = value.as_ref().and_then(not_a_number) {
            return Ok(Sample::unusable(KpiState::NaN, message));
        }
        let evidence = self.evidence()?;
        let at = match &evidence {
            Some(evidence) => {
                evidence.newest.map(|newest| answer.time.map_or(newest, |time| time.min(newest)))
            }
            None => answer.time,
        };
        let targets = evidence.as_ref().map(|evidence| evidence.targets);
        let (state, message) = match self.doubt(answer, value.is_some(), evidence.as_ref(), at) {
            Some((state, message)) => (state, Some(message)),
            None if value.is_some() => (KpiState::Fresh, None),
            None => (KpiState::Empty, Some(self.why_empty(evidence.as_ref()))),
        };
        let reach = SignedDuration::try_from(self.question.reach()).unwrap_or(SignedDuration::MAX);
        Ok(Sample {
            state,
            value,
            newest: self.newest(),
            at,
            reach,
            targets,
            volume: Volume::Uncounted,
            message,
        })
    }

    fn failed(&self, failure: &Failure) -> String {
        format!("source {:?} {failure}", self.source)
    }

    fn evidence(&self) -> Result<Option<Evidence>, String> {
        let Some(reply) = self.probe else { return Ok(None) };
        let found = match &reply.result {
            Ok(answer) => read_probe(answer).map_err(|error| format!("source {:?} {error}", self.source)),
            Err(failure) => Err(self.failed(failure)),
        };
        found.map(Some).map_err(|error| format!("the age of the answer is unknown: {error}"))
    }

    /// Why the answer can't be trusted, if so.
    fn doubt(
        &self,
        answer: &Answer,
        has_value: bool,
        evidence: Option<&Evidence>,
        at: Option<Timestamp>,
    ) -> Option<(KpiState, String)> {
        let clocks = [Some(self.value), self.probe].into_iter().flatten();
        if let Some(message) = clocks.filter_map(|reply| self.clock_doubt(reply.clock)).next() {
            return Some((KpiState::Stale, message));
        }
        if has_value && at.is_none() {
            return Some((KpiState::Stale, self.why_ended()));
        }
        let server = answer.time.max(evidence.map(|evidence| evidence.server));
        if let (Some(server), Some(at)) = (server, at) {
            let age = server.duration_since(at);
            if !age.is_negative() && age.unsigned_abs() > self.stale_after {
                let (age, allowed) = (age.as_secs_f64(), self.stale_after.as_secs_f64());
                let text = format!(
                    "the newest sample is {age:.0} s old; source {:?} allows {allowed} s",
                    self.source
                );
                return Some((KpiState::Stale, text));
            }
        }
        let probe = self.probe.and_then(|reply| reply.result.as_ref().ok());
        let warning = answer.warning.as_ref().or_else(|| probe?.warning.as_ref())?;
        Some((KpiState::Partial, format!("source {:?} warns: {warning}", self.source)))
    }

    fn clock_doubt(&self, clock: ClockVerdict) -> Option<String> {
        let source = self.source;
        match clock {
            ClockVerdict::Sound => None,
            ClockVerdict::Frozen(since) => {
                let seconds = since.as_secs_f64();
                Some(format!(
                    "source {source:?} returned the same evaluation time as {seconds:.0} s ago, as if from a cache"
                ))
            }
            ClockVerdict::WentBack(by) => {
                Some(format!("the clock of source {source:?} went back by {:.1} s", by.as_secs_f64()))
            }
        }
    }

    fn why_ended(&self) -> String {
        let hint = if self.question.default_is_written() {
            "; to count nothing as 0, set onEmpty: Zero instead of a default in the query"
        } else {
            ""
        };
        format!("the series of the query have ended: none has a current sample{hint}")
    }

    fn why_empty(&self, evidence: Option<&Evidence>) -> String {
        match evidence {
            Some(Evidence { newest: Some(_), .. }) => {
                "the answer is empty, although the query's series have current samples".to_owned()
            }
            _ => format!("source {:?} has no series for the query", self.source),
        }
    }

    /// The number of the burst query. It is optional, so its failure is ignored.
    fn newest(&self) -> Option<f64> {
        let answer = self.burst?.result.as_ref().ok()?;
        match shape(&answer.data, self.form) {
            Ok(Some(Value::Single(number))) if number.is_finite() => Some(number),
            _ => None,
        }
    }
}

/// The number of requests behind a sample. An empty answer, or one that is not a number, counts as 0.
pub(super) fn volume(source: &str, reply: &Reply, form: Form) -> Volume {
    let answer = match &reply.result {
        Ok(answer) => answer,
        Err(failure) => return Volume::Unknown(format!("source {source:?} {failure}")),
    };
    if form == Form::EachPod {
        return match shape(&answer.data, form) {
            Ok(value) => Volume::Counted(value.unwrap_or(Value::ByPod(BTreeMap::new()))),
            Err(message) => Volume::Unknown(message),
        };
    }
    match &answer.data {
        Data::Scalar(count) => Volume::Counted(Value::Single(count.max(0.0))),
        Data::Vector(series) => {
            let counts = series.iter().map(|one| one.value).filter(|count| count.is_finite());
            Volume::Counted(Value::Single(counts.sum()))
        }
        Data::Matrix(_) => Volume::Unknown("volumeQuery returns a range of samples".to_owned()),
    }
}

/// The value in this form; `None` for an empty answer.
fn shape(data: &Data, form: Form) -> Result<Option<Value>, String> {
    let series = match data {
        Data::Scalar(number) if form != Form::EachPod => return Ok(Some(Value::Single(*number))),
        Data::Scalar(_) => {
            return Err("query returned one number; it must return one series for each pod".into());
        }
        Data::Vector(series) => series,
        Data::Matrix(_) => {
            return Err("query returns a range of samples; it must return numbers".into());
        }
    };
    let goal = match form {
        Form::Kpi(goal) => goal,
        Form::EachPod => return each_pod(series),
    };
    match (series.as_slice(), goal) {
        ([], _) => Ok(None),
        ([one], Goal::Average(_)) if one.labels.pod.is_none() => Ok(Some(Value::Single(one.value))),
        ([one], Goal::PerReplica(_) | Goal::AtMost(_)) => Ok(Some(Value::Single(one.value))),
        (many, Goal::Average(_)) => by_pod(many).map(|by_pod| Some(Value::ByPod(by_pod))),
        (many, Goal::PerReplica(_)) => Err(format!(
            "query returned {} series; for type Load it must return one number: use sum()",
            many.len()
        )),
        (many, Goal::AtMost(_)) => Err(format!(
            "query returned {} series; for type Objective it must return one number: use max()",
            many.len()
        )),
    }
}

/// A pod without requests has no error ratio (0/0), which must not hide the values of other pods.
fn each_pod(series: &[Series]) -> Result<Option<Value>, String> {
    if let Some(one) = series.iter().find(|one| one.labels.pod.as_ref().is_none_or(String::is_empty)) {
        let found = if one.value.is_nan() { "NaN".to_owned() } else { one.value.to_string() };
        return Err(format!(
            "query returned a series without the label pod ({found}); it must return one for each pod: use by (pod)"
        ));
    }
    let mut by_pod = by_pod(series)?;
    by_pod.retain(|_, number| number.is_finite());
    Ok((!by_pod.is_empty()).then_some(Value::ByPod(by_pod)))
}

fn by_pod(series: &[Series]) -> Result<BTreeMap<String, f64>, String> {
    let mut by_pod = BTreeMap::new();
    for one in series {
        let Some(pod) = one.labels.pod.as_ref().filter(|pod| !pod.is_empty()) else {
            return Err(format!(
                "query returned {} series; it must return one number, or one series for each pod (label `pod`)",
                series.len()
            ));
        };
        if by_pod.insert(pod.clone(), one.value).is_some() {
            return Err(format!(
                "query returned two series with the label pod={pod:?}; it must return one for each pod"
            ));
        }
    }
    Ok(by_pod)
}

fn not_a_number(value: &Value) -> Option<String> {
    match value {
        Value::Single(number) => {
            (!number.is_finite()).then(|| format!("the answer is {number}, which can't be used"))
        }
        Value::ByPod(by_pod) => by_pod
            .iter()
            .find(|(_, number)| !number.is_finite())
            .map(|(pod, number)| format!("the answer for pod {pod:?} is {number}, which can't be used")),
    }
}

#[cfg(test)]
mod tests;
