//! The output for each case of `cases.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::core::DynamicObject;
use proptest::{prop_assert, prop_assert_eq, proptest};
use serde::Deserialize;
use serde_json::{Map, Value};
use strum::IntoEnumIterator;

use super::{explain, read::Listed, status, style::Style};
use crate::explain::{Bound, because, binding_step, what_would_change};
use plimsoll_api::{
    ConditionCode, DecisionCode, DecisionReason, DecisionStep, KpiState, RateLimit, StepRecord, Validated,
    reason::{Measured, One, RatePolicy, RateRule},
};
use plimsoll_engine::{Memory, Observation, Pods, Sample, alone, turn};

#[derive(Deserialize)]
struct Cases {
    base: Value,
    cases: BTreeMap<String, Value>,
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Each case by its name, as the plugin reads it.
fn cases() -> BTreeMap<String, Listed> {
    let Cases { base, cases } = serde_saphyr::from_str(include_str!("cases.yaml")).unwrap();
    let read = |(name, patch): (String, Value)| {
        let mut object = base.clone();
        merge(&mut object, patch);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        (name, Listed::read(&object))
    };
    cases.into_iter().map(read).collect()
}

/// Applies `patch` over `value`: objects by field, lists of named things by name, everything else as a whole.
fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (field, patch) in patch {
                if patch.is_null() {
                    fields.remove(&field);
                } else {
                    merge(fields.entry(field).or_insert_with(|| Value::Object(Map::new())), patch);
                }
            }
        }
        (Value::Array(items), Value::Array(patch))
            if !patch.is_empty() && patch.iter().all(|item| key(item).is_some()) =>
        {
            for patch in patch {
                match items.iter_mut().find(|item| key(item) == key(&patch)) {
                    Some(item) => merge(item, patch),
                    None => items.push(patch),
                }
            }
        }
        (value, patch) => *value = patch,
    }
}

/// The name of a KPI, the type of a condition.
fn key(item: &Value) -> Option<&Value> {
    if item.get("code").is_some() { None } else { item.get("name").or_else(|| item.get("type")) }
}

#[test]
fn explain_output_of_every_case() {
    let text: String = cases()
        .iter()
        .map(|(name, listed)| {
            format!("===== {name}\n{}\n", explain::render(listed, now(), &Style::default()))
        })
        .collect();
    insta::assert_snapshot!("explain", text);
}

#[test]
fn status_line_of_every_case() {
    let style = Style { wide: true, all_namespaces: true, color: false };
    let listed: Vec<Listed> = cases().into_values().collect();
    let table = status::render(&listed, now(), &style);
    let cases = cases();
    let names = std::iter::once("").chain(cases.keys().map(String::as_str));
    let text: String = names.zip(table.lines()).map(|(name, line)| format!("{name:42}{line}\n")).collect();
    insta::assert_snapshot!("status", text);
}

#[test]
fn status_of_one_service_in_detail() {
    let cases = cases();
    let text: String = [
        "scaled-up",
        "no-evidence",
        "metrics-unavailable",
        "draining",
        "balancer-out-of-sync",
        "ejected",
        "no-status",
        "unreadable",
    ]
    .iter()
    .map(|name| format!("===== {name}\n{}\n", status::render_one(&cases[*name], now(), &Style::default())))
    .collect();
    insta::assert_snapshot!("status_of_one", text);
}

#[test]
fn colours_mark_health() {
    let cases = cases();
    let listed = [cases["steady"].clone(), cases["conflict"].clone()];
    let text = status::render(&listed, now(), &Style { color: true, ..Style::default() });
    assert!(text.contains("\u{1b}[32m✔ Steady\u{1b}[0m"), "{text}");
    assert!(text.contains("\u{1b}[31m✖ ScalerConflict\u{1b}[0m"), "{text}");
    assert!(!explain::render(&cases["conflict"], now(), &Style::default()).contains('\u{1b}'));
}

/// A step of every code, with possible names and numbers.
fn every_step(number: f64, count: i32) -> Vec<DecisionStep> {
    use DecisionReason as R;
    let kpi = || "throughput".to_owned();
    let pods = Measured { ready: number, missing: number, unready: number };
    let (value, target, at_most, seconds_left, window_seconds) = (number, number, number, number, number);
    let (per_replica, estimate, timeout_seconds) = (number, Some(number), number);
    let limit = |by| RateLimit { limit: count, by };
    let policy =
        |percent| RateRule::Policy(RatePolicy { policy_value: count, period_seconds: count, percent });
    let why = || "Stale, 95 s old".to_owned();
    let (least, most, tolerance) = (number, number, 0.1);
    let reasons = [
        R::LoadProposal { kpi: kpi(), value, per_replica, estimate },
        R::LoadProposal { kpi: kpi(), value, per_replica, estimate: None },
        R::BurstProposal { kpi: kpi(), value, average: number, per_replica },
        R::UtilizationProposal { kpi: kpi(), value, target, pods },
        R::WithinTolerance {
            kpi: kpi(),
            value,
            estimate,
            target,
            tolerance,
            least,
            most,
            per_replica: Some(per_replica),
            pods: Some(pods),
        },
        R::ObjectiveBreached { kpi: kpi(), value, at_most, attempt: 1 },
        R::ObjectiveSettling { kpi: kpi(), value, at_most, seconds_left },
        R::ObjectiveNear { kpi: kpi(), value, at_most },
        R::ScalingIneffective {
            kpi: kpi(),
            value,
            at_most,
            before: number,
            raised_from: count,
            raised_to: count,
        },
        R::KpiNotFresh { kpi: kpi(), why: why() },
        R::NoReadyReplicas { kpi: kpi() },
        R::RequestsHeld { held: count },
        R::ZoneLost { zones: "b".to_owned(), lost: count, left: count },
        R::ZoneLost { zones: "b, c".to_owned(), lost: count, left: count },
        R::ScheduleFloor { entry: "sale".to_owned(), min_replicas: count },
        R::HeldWithoutEvidence { why: why() },
        R::HeldOnFirstLook { seconds_left },
        R::HeldForBurst { seconds_left },
        R::ScaleUpStabilized { window_seconds, limit: count, seconds_left },
        R::ScaleDownStabilized { window_seconds, limit: count, seconds_left, range_seconds: Some(number) },
        R::ScaleDownStabilized { window_seconds, limit: count, seconds_left, range_seconds: None },
        R::ScaleUpRateLimited(limit(policy(false))),
        R::ScaleUpRateLimited(limit(RateRule::Disabled { disabled: One })),
        R::ScaleDownRateLimited(limit(policy(true))),
        R::StandbyFloor { asked: count },
        R::ReturnFloor,
        R::MinReplicas { min_replicas: count },
        R::MaxReplicas { max_replicas: count },
        R::Draining { draining: count, drained: count, timeout_seconds, seconds_left },
        R::DrainTimedOut { draining: count, timeout_seconds },
        R::Steady,
        R::ScaledUp,
        R::ScaledDown,
        R::Observing,
        R::Paused,
        R::ScaleFailed { why: why() },
    ];
    let steps = |(from, to)| reasons.clone().map(move |reason| reason.step(from, to));
    [(7, 12), (12, 7), (1, 1), (0, 0)].into_iter().flat_map(steps).collect()
}

fn assert_reads_well(text: &str, of: &dyn std::fmt::Debug) {
    assert!(text.len() > 10, "{of:?}: {text:?}");
    for bad in ["NaN", "None", "inf", "?", "  ", " ,", " .", "..", "( ", "()", ": :"] {
        assert!(!text.contains(bad), "{of:?}: {text:?} has {bad:?}");
    }
    let words: Vec<&str> = text.split(' ').collect();
    let twice = words.windows(2).find(|pair| pair[0] == pair[1] && pair[0].chars().all(char::is_alphabetic));
    assert_eq!(twice, None, "{text:?} has a word twice");
}

#[test]
fn every_step_reads_well_and_round_trips() {
    let steps: Vec<DecisionStep> = [(0.0, 0), (1.0, 1), (3.5, 3), (1e300, 100_000)]
        .into_iter()
        .flat_map(|(number, count)| every_step(number, count))
        .collect();
    let codes: BTreeSet<_> = steps.iter().map(DecisionStep::code).collect();
    assert!(DecisionCode::iter().all(|code| codes.contains(&code)), "a code has no step: {codes:?}");
    for step in steps {
        let alone = [step.clone()];
        let change = what_would_change(&alone, None);
        for text in [step.to_string(), because(Bound::Step(&step), &alone), change.clone()] {
            assert_reads_well(&text, &step);
        }
        assert!(change.ends_with('.') && !step.to_string().ends_with('.'), "{step:?}: {change}");
        let json = serde_json::to_string(&StepRecord::from(&step)).unwrap();
        let record: StepRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(DecisionStep::try_from(&record), Ok(step), "{json}");
    }
}

#[test]
fn every_condition_reads_well() {
    for code in ConditionCode::iter() {
        let unready = Some((code, "as it is"));
        let change = what_would_change(&[], unready);
        for text in [code.to_string(), because(Bound::Condition(code, "as it is"), &[]), change] {
            assert_reads_well(&text, &code);
        }
    }
}

proptest! {
    /// The step that binds by the recorded steps alone is the one that the engine reports as binding.
    #[test]
    fn binding_step_agrees_with_the_engine(
        turns in proptest::collection::vec((0..30i32, 0.0..400.0f64, 0.0..1.0f64, 0.0..1.0f64, 0..6u32, -8..3i32), 1..12),
        (min, scheduled) in (0..4i32, proptest::bool::ANY),
    ) {
        let schedule = if scheduled { r#"[{name: all-day, start: "0 0 * * *", duration: 24h, minReplicas: 6}]"# } else { "[]" };
        let spec = format!(
            r#"
scaleTargetRef: {{kind: Deployment, name: x}}
minReplicas: {min}
maxReplicas: 25
schedule: {schedule}
behavior: {{scaleUp: {{policies: [{{type: Pods, value: 4, periodSeconds: 60}}]}}}}
kpis:
- {{name: load, type: Load, query: a, perReplica: "10"}}
- {{name: cpu, type: Utilization, query: b, target: "0.6"}}
- {{name: slow, type: Objective, query: c, atMost: "0.5"}}
"#
        );
        let spec = Validated::new(&serde_saphyr::from_str(&spec).unwrap()).unwrap();
        let (mut memory, mut at) = (Memory::default(), now());
        for (replicas, load, cpu, slow, stale, held) in turns {
            at += jiff::SignedDuration::from_secs(60);
            let mut samples: BTreeMap<String, Sample> = [("load", load), ("cpu", cpu), ("slow", slow)]
                .map(|(name, value)| (name.to_owned(), Sample::fresh(value, at)))
                .into();
            if let Some(name) = ["load", "cpu", "slow"].get(stale as usize) {
                samples.insert((*name).to_owned(), Sample::unusable(KpiState::Stale, "old"));
            }
            let seen = Observation { replicas, pods: Pods::Counted { ready: replicas }, samples, held, ..Observation::default() };
            let decision = turn(&spec, &seen, &mut memory, at, &mut alone).decision;
            let bound = binding_step(&decision.reasons).map(DecisionStep::code);
            prop_assert_eq!(bound, Some(decision.bound_by), "{:#?}", decision.reasons);
            prop_assert!(decision.bound_by.binds(), "plimsoll_decisions_total has no {:?}", decision.bound_by);
        }
    }
}

#[test]
fn sentences_match_the_design() {
    let load = |value| DecisionReason::LoadProposal {
        kpi: "throughput".to_owned(),
        value,
        per_replica: 120.0,
        estimate: None,
    };
    let seven = load(812.5).step(6, 7);
    assert_eq!(seven.to_string(), "throughput: 812.5 at 120 per replica asks for 7 replicas");
    let max = DecisionReason::MaxReplicas { max_replicas: 60 }.step(74, 60);
    assert_eq!(
        what_would_change(&[load(8880.0).step(6, 74), max], None),
        "maxReplicas 60 binds: throughput asks for 74. Raise spec.maxReplicas, or give each replica more to carry (perReplica)."
    );
    let held = DecisionReason::ScaleDownStabilized {
        window_seconds: 300.0,
        limit: 12,
        seconds_left: 140.0,
        range_seconds: None,
    };
    assert_eq!(
        what_would_change(&[seven, held.step(7, 12)], None),
        "It stays at 12 for 140 s more: 12 was needed 160 s ago (scaleDown.stabilizationWindowSeconds 300)."
    );
}
