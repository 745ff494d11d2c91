//! What a user sees, for each case of `cases.yaml`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::DynamicObject;
use proptest::{prop_assert_eq, proptest};
use serde::Deserialize;
use serde_json::{Map, Value};
use strum::IntoEnumIterator;

use super::{explain, read::Listed, status, style::Style};
use crate::explain::{because, binding, sentence, what_would_change};
use plimsoll_api::{KpiState, Reason, ReasonCode, Validated};
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
fn explain_answers_in_every_case() {
    let text: String = cases()
        .iter()
        .map(|(name, listed)| {
            format!("===== {name}\n{}\n", explain::render(listed, now(), &Style::default()))
        })
        .collect();
    insta::assert_snapshot!("explain", text);
}

#[test]
fn status_has_a_line_for_every_case() {
    let style = Style { wide: true, all_namespaces: true, color: false };
    let listed: Vec<Listed> = cases().into_values().collect();
    let table = status::render(&listed, now(), &style);
    let cases = cases();
    let names = std::iter::once("").chain(cases.keys().map(String::as_str));
    let text: String = names.zip(table.lines()).map(|(name, line)| format!("{name:42}{line}\n")).collect();
    insta::assert_snapshot!("status", text);
}

#[test]
fn status_of_one_service_in_full() {
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
fn colours_mark_what_is_wrong() {
    let cases = cases();
    let listed = [cases["steady"].clone(), cases["conflict"].clone()];
    let text = status::render(&listed, now(), &Style { color: true, ..Style::default() });
    assert!(text.contains("\u{1b}[32m✔ Steady\u{1b}[0m"), "{text}");
    assert!(text.contains("\u{1b}[31m✖ ScalerConflict\u{1b}[0m"), "{text}");
    assert!(!explain::render(&cases["conflict"], now(), &Style::default()).contains('\u{1b}'));
}

/// Every code, without any number, with every number, and with numbers that are none.
fn every_reason() -> Vec<Reason> {
    let keys = [
        "value",
        "perReplica",
        "average",
        "target",
        "ready",
        "missing",
        "unready",
        "tolerance",
        "least",
        "most",
        "estimate",
        "atMost",
        "attempt",
        "secondsLeft",
        "before",
        "raisedFrom",
        "raisedTo",
        "minReplicas",
        "maxReplicas",
        "windowSeconds",
        "rangeSeconds",
        "limit",
        "policyValue",
        "periodSeconds",
        "percent",
        "disabled",
        "held",
        "draining",
        "drained",
        "timeoutSeconds",
        "median",
        "outliers",
        "allowed",
        "replicas",
    ];
    let filled = |code, number: f64| {
        let mut reason = Reason::new(code, 7, 12).about("throughput").detailed("Stale, 95 s old");
        reason.numbers = keys.iter().map(|key| ((*key).to_owned(), number)).collect();
        reason
    };
    ReasonCode::iter()
        .flat_map(|code| {
            let some = keys.iter().map(move |key| Reason::new(code, 7, 12).with(key, 3.0));
            let all = [
                Reason::new(code, 7, 12),
                filled(code, 3.0),
                filled(code, f64::NAN),
                filled(code, f64::INFINITY),
            ];
            some.chain(all)
        })
        .collect()
}

#[test]
fn every_code_has_words_that_degrade() {
    for reason in every_reason() {
        let reasons = [reason.clone()];
        for text in [sentence(&reason), because(&reason, &reasons), what_would_change(&reasons)] {
            assert!(text.len() > 10, "{reason:?}: {text:?}");
            for bad in ["NaN", "None", "inf", "?", "  ", " ,", " .", "..", "( ", "()", ": :"] {
                assert!(!text.contains(bad), "{reason:?}: {text:?} has {bad:?}");
            }
        }
        let mut texts =
            [sentence(&reason), because(&reason, &reasons), what_would_change(&reasons)].into_iter();
        let twice = texts.find(|text| {
            let words: Vec<&str> = text.split(' ').collect();
            words.windows(2).any(|pair| pair[0] == pair[1] && pair[0].chars().all(char::is_alphabetic))
        });
        assert_eq!(twice, None, "a word stands twice");
        let name = sentence(&reason);
        assert!(!name.ends_with('.'), "{name}");
        assert!(what_would_change(&reasons).ends_with('.'));
    }
}

proptest! {
    /// The words find by themselves, from what stands in a status, the step that the engine says was binding.
    #[test]
    fn what_binds_is_what_the_engine_says(
        looks in proptest::collection::vec((0..30i32, 0.0..400.0f64, 0.0..1.0f64, 0.0..1.0f64, 0..6u32, -8..3i32), 1..12),
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
        for (replicas, load, cpu, slow, stale, held) in looks {
            at += jiff::SignedDuration::from_secs(60);
            let mut samples: BTreeMap<String, Sample> = [("load", load), ("cpu", cpu), ("slow", slow)]
                .map(|(name, value)| (name.to_owned(), Sample::fresh(value, at)))
                .into();
            if let Some(name) = ["load", "cpu", "slow"].get(stale as usize) {
                samples.insert((*name).to_owned(), Sample::unusable(KpiState::Stale, "old"));
            }
            let seen = Observation { replicas, pods: Pods::Counted { ready: replicas }, samples, held, ..Observation::default() };
            let decision = turn(&spec, &seen, &mut memory, at, &mut alone).decision;
            let bound = binding(&decision.reasons).map(|reason| reason.code);
            prop_assert_eq!(bound, Some(decision.bound_by), "{:#?}", decision.reasons);
        }
    }
}

#[test]
fn sentences_of_the_design() {
    let load = Reason::new(ReasonCode::LoadProposal, 6, 7).about("throughput");
    let seven = load.clone().with("value", 812.5).with("perReplica", 120.0);
    assert_eq!(sentence(&seven), "throughput: 812.5 at 120 a replica asks for 7 replicas");
    let many = Reason { to: 74, ..load.with("value", 8880.0).with("perReplica", 120.0) };
    let max = Reason::new(ReasonCode::MaxReplicas, 74, 60).with("maxReplicas", 60.0);
    assert_eq!(
        what_would_change(&[many, max]),
        "maxReplicas 60 binds: throughput asks for 74. Raise spec.maxReplicas, or give each replica more to carry (perReplica)."
    );
    let held = Reason::new(ReasonCode::ScaleDownStabilized, 7, 12)
        .with("windowSeconds", 300.0)
        .with("limit", 12.0)
        .with("secondsLeft", 140.0);
    assert_eq!(
        what_would_change(&[seven, held]),
        "It stays at 12 for 140 s more: 12 was needed 160 s ago (scaleDown.stabilizationWindowSeconds 300)."
    );
}
