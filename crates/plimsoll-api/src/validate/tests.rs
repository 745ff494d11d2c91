//! Sentences of refusals.

use jiff::Timestamp;

use super::{Invalid, TEXT_MAX, Validated};
use crate::ScalableServiceSpec;

fn validated(more: &str) -> Result<Validated, Invalid> {
    let yaml = format!("{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 9, {more}}}");
    Validated::new(&serde_saphyr::from_str::<ScalableServiceSpec>(&yaml).unwrap())
}

const LOAD: &str = "kpis: [{name: load, type: Load, query: up, perReplica: '1'}]";

#[test]
fn a_negative_duration_is_shown_with_its_sign() {
    let sentence = validated(&format!("{LOAD}, period: -5s")).unwrap_err().to_string();
    assert_eq!(sentence, "spec.period is -5s; it must be from 1s to 10m");
}

#[test]
fn the_sentence_for_a_kpi_has_the_allowed_values_of_its_type() {
    for (kpi, sentence) in [
        (
            "type: Utilization, target: 70%",
            "spec.kpis[0].target is \"70%\"; it must be a number above 0 and at most 1, such as \"0.7\"",
        ),
        (
            "type: Load, perReplica: fast",
            "spec.kpis[0].perReplica is \"fast\"; it must be a number above 0, such as \"120\", \"0.25\" or \"250m\"",
        ),
        (
            "type: Objective, atMost: -1",
            "spec.kpis[0].atMost is \"-1\"; it must be a number above 0, such as \"0.25\" or \"250m\"",
        ),
    ] {
        let invalid = validated(&format!("kpis: [{{name: a, query: up, {kpi}}}]")).unwrap_err();
        assert_eq!(invalid.to_string(), sentence);
    }
    assert!(validated("kpis: [{name: a, query: up, type: Load, perReplica: 1Pi}]").is_ok());
    assert!(validated("kpis: [{name: a, query: up, type: Load, perReplica: 1Ei}]").is_ok());
}

#[test]
fn the_error_for_an_invalid_quantity_has_no_parser_terms() {
    let yaml = "{scaleTargetRef: {kind: Deployment, name: x}, maxReplicas: 9, kpis: [{name: a, type: Load, query: up, perReplica: [1]}]}";
    let error = serde_saphyr::from_str::<ScalableServiceSpec>(yaml).unwrap_err().to_string();
    assert!(error.contains("a number, or a quantity in quotes") && !error.contains("untagged"), "{error}");
}

#[test]
fn the_text_of_many_errors_is_cut_and_counts_the_rest() {
    let sentences: Vec<String> =
        (0..100).map(|index| format!("spec.a[{index}] is wrong; it must be right")).collect();
    let text = Invalid(sentences).to_string();
    assert!(text.starts_with("spec.a[0] is wrong; it must be right; spec.a[1] is wrong"), "{text}");
    assert!(text.ends_with(" more") && text.len() < TEXT_MAX + 20, "{text}");
    let long = "x".repeat(TEXT_MAX * 2);
    assert_eq!(Invalid(vec![long.clone(), "second".into()]).to_string(), format!("{long}; and 1 more"));
}

#[test]
fn the_minimum_is_the_highest_of_the_active_schedule_entries() {
    let entry = |name: &str, start: &str, floor: i32| {
        format!("{{name: {name}, start: '{start} * * *', duration: 2h, minReplicas: {floor}}}")
    };
    let schedule = [entry("early", "0 8", 3), entry("late", "0 9", 5)].join(", ");
    let valid = validated(&format!("minReplicas: 2, schedule: [{schedule}]")).unwrap();
    for (time, floor) in [("07:59", 2), ("08:00", 3), ("09:30", 5), ("10:30", 5), ("11:00", 2)] {
        let now: Timestamp = format!("2026-06-01T{time}:00Z").parse().unwrap();
        assert_eq!(valid.floor(now), floor, "{time}");
    }
}
