//! `plimsoll decide` as a user runs it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

const SERVICE: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout}
---
# a comment
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: checkout}
spec:
  scaleTargetRef: {kind: Deployment, name: checkout}
  minReplicas: 3
  maxReplicas: 60
  kpis:
  - {name: throughput, type: Load, query: "sum(rate(x[30s]))", perReplica: 120}
  - {name: latency, type: Objective, query: x, atMost: "0.25"}
"#;

fn decide(service: &str, lines: &str) -> (Vec<serde_json::Value>, String, Option<i32>) {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("plimsoll-decide-{}-{number}.yaml", std::process::id()));
    std::fs::write(&file, service).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["decide", "-f"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses the file stops reading.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    std::fs::remove_file(file).unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (answers, String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn each_line_gets_an_answer_and_an_invalid_one_does_not_end_the_stream() {
    let (answers, errors, code) = decide(
        SERVICE,
        r#"{"time": 1234.0, "replicas": 7, "readyReplicas": 6, "kpis": {"throughput": 812.5, "latency": 0.21, "late": null}}
{"time": 1249.0, "replicas": 7, "kpis": {"throughput": 1800, "latency": 0.21}}
{"time": 1264.0, "replicas": 15, "kpis": {"throughput": "many"}}
{"time": 1264.0, "replicas": -1, "kpis": {}}
not json
{"time": 1000.0, "replicas": 15, "kpis": {}}
{"time": 1e300, "replicas": 15, "kpis": {}}

{"time": 1279.0, "replicas": 15, "kpis": {"throughput": null, "latency": 0.1}}"#,
    );
    assert_eq!(errors, "");
    assert_eq!(code, Some(1), "some lines are invalid");
    let replicas: Vec<_> = answers.iter().map(|answer| answer["replicas"].as_i64()).collect();
    assert_eq!(replicas, [Some(7), Some(15), None, None, None, None, None, Some(15)]);
    assert_eq!(answers[0]["time"], 1234.0);
    assert_eq!(answers[1]["reasons"][0]["code"], "LoadProposal");
    for (index, line, field) in [
        (2, 3, "kpis.throughput"),
        (3, 4, "replicas"),
        (4, 5, "\"not json\""),
        (5, 6, "time"),
        (6, 7, "time"),
    ] {
        assert_eq!(answers[index]["line"], line);
        assert!(answers[index]["error"].as_str().unwrap().contains(field), "{}", answers[index]);
    }
}

#[test]
fn an_invalid_file_is_refused_with_one_sentence() {
    for (service, sentence) in [
        (
            SERVICE.replace("perReplica: 120", "target: 70m"),
            "spec.kpis[0].perReplica is missing; type Load needs it",
        ),
        (
            SERVICE.replace("maxReplicas: 60", "maxReplicas: 2"),
            "spec.minReplicas is 3; it must not be above maxReplicas, which is 2",
        ),
        (
            SERVICE.replace("kind: ScalableService", "kind: Service"),
            "kind is \"Service\"; it must be ScalableService",
        ),
        (
            SERVICE.replace("maxReplicas: 60", "maxReplicas: many"),
            "spec.maxReplicas is \"many\"; it must be a whole number from 1 to 100000",
        ),
    ] {
        let (answers, errors, code) = decide(&service, "");
        assert!(errors.contains(sentence), "{errors}");
        assert_eq!((answers.len(), errors.lines().count(), code), (0, 1, Some(1)), "{errors}");
    }
}
