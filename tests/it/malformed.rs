//! Invalid specs and observation lines, and unusual valid ones, as a user of `plimsoll decide` writes them.

use plimsoll::{
    cli::{
        decide::{run, service},
        manifest,
    },
    input::schema::PATTERNS,
};
use plimsoll_api::Validated;
use serde_json::Value;

/// A service by its fields below `spec`, one per line.
fn yaml(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalableService\nmetadata: {{name: s}}\nspec:\n  {spec}\n"
    )
}

/// A service with one KPI of type Load, and `more` below `spec`.
fn with(more: &str) -> String {
    with_kpi("perReplica: \"10\"", more)
}

fn with_kpi(kpi: &str, more: &str) -> String {
    yaml(&format!(
        "scaleTargetRef: {{kind: Deployment, name: s}}\nkpis: [{{name: load, type: Load, query: x, {kpi}}}]\n{more}"
    ))
}

fn refusal(text: impl AsRef<[u8]>) -> String {
    let message = service(text.as_ref()).map(drop).unwrap_err().to_string();
    assert!(message.len() < 900, "{} bytes: {message}", message.len());
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

fn accepted(text: &str) -> Validated {
    service(text.as_bytes()).unwrap_or_else(|invalid| panic!("{invalid}: {text}"))
}

#[test]
fn an_unknown_field_is_refused_at_every_level() {
    for (more, start) in [
        (
            "behaviour: {}",
            "spec.behaviour is not a known field (did you mean behavior?); allowed are behavior, consumes, criticality,",
        ),
        (
            "behavior: {scaleDown: {stabilisationWindowSeconds: 0}}",
            "spec.behavior.scaleDown.stabilisationWindowSeconds is not a known field (did you mean stabilizationWindowSeconds?)",
        ),
        (
            "behavior: {scaleUp: {policies: [{type: Pods, value: 1, period: 5}]}}",
            "spec.behavior.scaleUp.policies[0].period is not a known field; allowed are periodSeconds, type and value",
        ),
        ("maxReplica: 4", "spec.maxReplica is not a known field (did you mean maxReplicas?)"),
        (
            "schedule: [{name: a, start: 0 8 * * *, duration: 1h, minReplicas: 1, end: 9}]",
            "spec.schedule[0].end is not a known field; allowed are duration, minReplicas, name, start and timeZone",
        ),
        (
            "traffic: {provider: HAProxy, targetPort: 80, listeners: [{port: 80, tls: {secret: a}}]}",
            "spec.traffic.listeners[0].tls.secret is not a known field; allowed is secretName",
        ),
        ("failover: {backends: [], leave: {When: []}}", "spec.failover.backends is a list of 0 entries"),
        (
            "failover: {backends: [{name: b}], leave: {When: []}}",
            "spec.failover.leave.When is not a known field (did you mean when?); allowed are of, samples and when",
        ),
        ("recovery: {outlier: {}}", "spec.recovery.outlier is not a known field (did you mean outliers?)"),
        ("\"a b\": 1", "spec.\"a b\" is not a known field"),
    ] {
        let message = refusal(with(&format!("maxReplicas: 10\n{more}")));
        assert!(message.starts_with(start), "{message}");
    }
    let message = refusal(with_kpi("perReplica: 1, onempty: Zero", "maxReplicas: 10"));
    assert!(
        message.starts_with("spec.kpis[0].onempty is not a known field (did you mean onEmpty?)"),
        "{message}"
    );
    let message =
        refusal(with("maxReplicas: 10").replace("metadata: {name: s}", "metadata: {name: s, label: {}}"));
    assert!(message.starts_with("metadata.label is not a known field (did you mean labels?)"), "{message}");
    let message = refusal(with("maxReplicas: 10") + "sepc: {}\n");
    assert_eq!(
        message,
        "sepc is not a known field (did you mean spec?); allowed are apiVersion, kind, metadata, spec and status"
    );
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_range_is_refused_with_the_allowed_values() {
    for (more, sentence) in [
        ("maxReplicas: many", "spec.maxReplicas is \"many\"; it must be a whole number from 1 to 100000"),
        (
            "maxReplicas: \"10\"",
            "spec.maxReplicas is \"10\"; it must be a whole number from 1 to 100000, without quotes",
        ),
        ("maxReplicas: 2.5", "spec.maxReplicas is 2.5; it must be a whole number from 1 to 100000"),
        (
            "maxReplicas: 2147483648",
            "spec.maxReplicas is 2147483648; it must be a whole number from 1 to 100000",
        ),
        ("maxReplicas: 1e400", "spec.maxReplicas is \".inf\"; it must be a whole number from 1 to 100000"),
        ("maxReplicas: yes", "spec.maxReplicas is \"yes\"; it must be a whole number from 1 to 100000"),
        (
            "maxReplicas: [1]",
            "spec.maxReplicas is a list of 1 entry; it must be a whole number from 1 to 100000",
        ),
        ("minReplicas: 1", "spec.maxReplicas is missing; it must be a whole number from 1 to 100000"),
        ("maxReplicas:", "spec.maxReplicas is missing; it must be a whole number from 1 to 100000"),
        ("maxReplicas: 9\nmode: off", "spec.mode is \"off\"; it must be Auto, Observe or Paused"),
        ("maxReplicas: 9\nmode: true", "spec.mode is true; it must be Auto, Observe or Paused"),
        (
            "maxReplicas: 9\nperiod: soon",
            "spec.period is \"soon\"; it must be a duration from 1s to 10m, with the units h, m, s and ms",
        ),
        (
            "maxReplicas: 9\nperiod: 1d",
            "spec.period is \"1d\"; it must be a duration from 1s to 10m, with the units h, m, s and ms",
        ),
        (
            "maxReplicas: 9\nperiod: 1s-1s",
            "spec.period is \"1s-1s\"; it must be a duration from 1s to 10m, with the units h, m, s and ms",
        ),
        ("maxReplicas: 9\nperiod: 0s", "spec.period is 0s; it must be from 1s to 10m"),
        ("maxReplicas: 9\nperiod: -5s", "spec.period is -5s; it must be from 1s to 10m"),
        (
            "maxReplicas: 9\nbehavior: {scaleUp: {policies: [{type: percent, value: 5, periodSeconds: 60}]}}",
            "spec.behavior.scaleUp.policies[0].type is \"percent\"; it must be Pods or Percent",
        ),
        (
            "maxReplicas: 9\nbehavior: {scaleUp: {tolerance: 0.1}}",
            "spec.behavior.scaleUp.tolerance is 0.1; it must be a whole number, or a quantity in quotes of at most 32 characters such as \"0.25\" or \"250m\"",
        ),
        (
            "maxReplicas: 9\nschedule: [{name: N, start: 0 8 * * *, duration: 1h, minReplicas: 1}]",
            "spec.schedule[0].name is \"N\"; it must be text of 1 to 63 characters: lower-case letters, digits and -, with a letter or a digit at both ends",
        ),
        ("maxReplicas: 9\nschedule: [5]", "spec.schedule[0] is 5; it must be an object"),
        (
            "maxReplicas: 9\nschedule: {name: a}",
            "spec.schedule is an object; it must be a list of at most 16 entries",
        ),
        (
            "maxReplicas: 9\ntraffic: {provider: HAProxy, targetPort: 80, listeners: [{port: 80}], retries: {attempts: 11}}",
            "spec.traffic.retries.attempts is 11; it must be a whole number from 0 to 10",
        ),
    ] {
        assert_eq!(refusal(with(more)), sentence);
    }
    for (kpi, start) in [
        (
            "perReplica: 0.5",
            "spec.kpis[0].perReplica is 0.5; it must be a whole number, or a quantity in quotes",
        ),
        ("perReplica: .inf", "spec.kpis[0].perReplica is \".inf\"; it must be a number above 0"),
        ("perReplica: null", "spec.kpis[0].perReplica is missing; type Load needs it"),
        (
            "perReplica: {a: 1}",
            "spec.kpis[0].perReplica is an object; it must be a whole number, or a quantity",
        ),
        (
            "perReplica: 1, source: 5",
            "spec.kpis[0].source is 5; it must be text of 1 to 63 characters, in quotes",
        ),
    ] {
        let message = refusal(with_kpi(kpi, "maxReplicas: 9"));
        assert!(message.starts_with(start), "{message}");
    }
    let target = yaml("scaleTargetRef: {kind: '', name: ''}\nmaxReplicas: 3\nschedule: []\nkpis: []");
    let message = refusal(target);
    assert!(
        message
            .contains("spec.scaleTargetRef.kind is \"\"; it must be text of 1 to 63 characters: letters and"),
        "{message}"
    );
    let seventeen: String =
        (0..17).map(|n| format!("- {{name: k{n}, type: Load, query: y, perReplica: 1}}\n")).collect();
    let message =
        refusal(yaml(&format!("scaleTargetRef: {{kind: A, name: s}}\nmaxReplicas: 3\nkpis:\n{seventeen}")));
    assert_eq!(message, "spec.kpis is a list of 17 entries; it must be a list of at most 16 entries");
}

#[test]
fn an_object_of_another_kind_is_refused() {
    let valid = with("maxReplicas: 9");
    for (found, instead, sentence) in [
        (
            "apiVersion: plimsoll.dev/v1alpha1",
            "apiVersion: plimsoll.dev/v9",
            "apiVersion is \"plimsoll.dev/v9\"; it must be plimsoll.dev/v1alpha1",
        ),
        (
            "apiVersion: plimsoll.dev/v1alpha1\n",
            "",
            "apiVersion is missing; it must be plimsoll.dev/v1alpha1",
        ),
        (
            "kind: ScalableService",
            "kind: scalableservice",
            "kind is \"scalableservice\"; it must be ScalableService",
        ),
        (
            "kind: ScalableService",
            "kind: ScalabelService",
            "kind is \"ScalabelService\"; it must be ScalableService",
        ),
        ("kind: ScalableService", "kind: Budget", "kind is \"Budget\"; it must be ScalableService"),
        (
            "kind: ScalableService\n",
            "",
            "kind is missing; it must be ScalableService, or that of an object beside it",
        ),
        ("metadata: {name: s}\n", "", "metadata is missing; it must be an object"),
        ("{name: s}", "{}", "metadata.name is missing; it must be text of 1 to 253 characters"),
        ("{name: s}", "{name: S_1}", "metadata.name is \"S_1\"; it must be text of 1 to 253 characters"),
    ] {
        let message = refusal(valid.replacen(found, instead, 1));
        assert!(message.starts_with(sentence), "{message}");
    }
    let head = valid.split("spec:").next().unwrap();
    assert_eq!(refusal(format!("{head}spec:\n")), "spec is missing; it must be an object");
    let none = "the file has 0 objects of kind ScalableService; it must have exactly one";
    assert_eq!(refusal(""), none);
    assert_eq!(refusal("# nothing\n---\n"), none);
    assert_eq!(refusal("apiVersion: apps/v1\nkind: Deployment\n"), none);
    assert_eq!(refusal(format!("{valid}---\n{valid}")), none.replace('0', "2"));
    let page = refusal("<html><body>404</body></html>");
    assert!(
        page.starts_with("a document is \"<html><body>404</body></html>\"; it must be an object"),
        "{page}"
    );
}

#[test]
fn a_duplicate_key_is_refused_with_its_path() {
    for (text, path) in [
        (with("maxReplicas: 9\nmaxReplicas: 8"), "spec.maxReplicas"),
        (with_kpi("perReplica: 1, query: y", "maxReplicas: 9"), "spec.kpis[0].query"),
        (with("maxReplicas: 9") + "kind: ScalableService\n", "kind"),
        (
            with("maxReplicas: 9").replace("{name: s}\nspec", "{name: s, labels: {a: b, a: c}}\nspec"),
            "metadata.labels.a",
        ),
    ] {
        assert_eq!(refusal(text), format!("{path} is set twice; it must be set once"));
    }
    let two = "{name: n, start: 0 8 * * *, duration: 1h, minReplicas: 1}";
    let message = refusal(with(&format!("maxReplicas: 9\nschedule: [{two}, {two}]")));
    assert_eq!(message, "spec.schedule has the name \"n\" twice; names must be unique");
}

#[test]
fn invalid_yaml_is_refused_in_plain_words_with_its_line() {
    for (text, start) in [
        (with("maxReplicas: [1"), "line 7, column 16: this is not YAML: a comma or ] is missing"),
        (with("maxReplicas: \"1"), "line "),
        (with(&format!("x: {}", "[".repeat(500))), "line 7, column "),
        ("a: &a [x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b]\nd: *e\n".to_owned(), "line 4, column "),
    ] {
        let message = refusal(&text);
        assert!(message.starts_with(start), "{text}: {message}");
    }
    let bomb: String = (1..10)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(",")))
        .collect();
    let message = refusal(format!("a0: &a0 [x]\n{bomb}"));
    assert!(message.contains("has too many values"), "{message}");
    let message = refusal([with("maxReplicas: 9").as_bytes(), b"# \xff\n"].concat());
    assert!(message.contains("has the byte 0xff; the text must be UTF-8"), "{message}");
}

#[test]
fn a_value_of_megabytes_produces_a_short_sentence() {
    let long = "x".repeat(10_000_000);
    for text in [
        with(&format!("maxReplicas: {long}")),
        with(&format!("maxReplicas: 9\n{long}: 1")),
        with(&format!("maxReplicas: 9\nperiod: {long}")),
        with_kpi(&format!("perReplica: \"{long}\""), "maxReplicas: 9"),
        with_kpi(&format!("perReplica: 1, source: {long}"), "maxReplicas: 9"),
        with("maxReplicas: 9").replace("kind: Scal", &format!("kind: {long}\nx: Scal")),
    ] {
        refusal(text);
    }
}

#[test]
fn unusual_valid_specs_are_accepted() {
    let valid = with("maxReplicas: 9");
    for text in [
        format!("kind: Deployment\n---\t\n{valid}"),
        format!("apiVersion: plimsoll.dev/v1alpha1\nkind: CapacityBudget\n---\n{valid}"),
        format!("\u{feff}---\n{valid}"),
        format!("%YAML 1.2\n---\n{valid}...\n"),
        valid.replace('\n', "\r\n"),
        valid.replace("{name: s}", "{name: s, uid: a, generation: 2, creationTimestamp: null, managedFields: [{manager: m, fieldsV1: {f:spec: {}}}]}")
            + "status: {observedGeneration: 2, whatever: [1]}\n",
        valid.replace("{name: s}", "{generateName: s-}"),
        with("maxReplicas: 0x0A\nminReplicas: 1e0\nschedule: null"),
        with_kpi("perReplica: 1Ei", "maxReplicas: 9"),
        format!("apiVersion: v1\nkind: List\nitems:\n- {}", valid.replace('\n', "\n  ")),
        "{\"apiVersion\": \"plimsoll.dev/v1alpha1\", \"kind\": \"ScalableService\", \"metadata\": {\"name\": \"s\"}, \
         \"spec\": {\"scaleTargetRef\": {\"kind\": \"A\", \"name\": \"s\"}, \"maxReplicas\": 10, \"kpis\": \
         [{\"name\": \"load\", \"type\": \"Load\", \"query\": \"x\", \"perReplica\": \"10\"}]}}"
            .to_owned(),
    ] {
        accepted(&text);
    }
    let inline = "kind: Deployment\n--- {apiVersion: plimsoll.dev/v1alpha1, kind: ScalableService, metadata: {name: s}, \
                  spec: {scaleTargetRef: {kind: A, name: s}, maxReplicas: 7, kpis: [{name: load, type: Load, query: x, perReplica: 1}]}}\n";
    assert_eq!(accepted(inline).max_replicas, 7);
}

#[test]
fn every_example_is_accepted() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let objects = manifest::objects(&std::fs::read(&path).unwrap()).unwrap();
            for object in &objects {
                let invalid = match manifest::kind(object) {
                    manifest::SERVICE => manifest::service(object).err(),
                    manifest::BUDGET => manifest::budget(object).err(),
                    _ => None,
                };
                assert_eq!(invalid, None, "{}", path.display());
            }
        }
    }
}

#[test]
fn every_pattern_of_the_schemas_has_a_description() {
    let mut found = Vec::new();
    for (_, crd) in plimsoll::cli::generate::crds().unwrap() {
        collect(&serde_saphyr::from_str(&crd).unwrap(), &mut found);
    }
    found.sort();
    found.dedup();
    let mut described: Vec<_> = PATTERNS.iter().map(|(pattern, _)| (*pattern).to_owned()).collect();
    described.sort();
    assert_eq!(found, described);
}

fn collect(schema: &Value, patterns: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            patterns.extend(fields.get("pattern").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, patterns));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, patterns)),
        _ => {}
    }
}

/// Answers to lines, by a service with a Load whose empty answer is 0 and an Objective.
fn answers(lines: &str) -> Vec<Value> {
    let spec = accepted(&yaml(
        "scaleTargetRef: {kind: Deployment, name: s}\nmaxReplicas: 10\nbehavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n\
         kpis:\n- {name: load, type: Load, query: x, perReplica: 10, onEmpty: Zero}\n- {name: slow, type: Objective, query: x, atMost: 1}",
    ));
    let mut output = Vec::new();
    run(&spec, lines.as_bytes(), &mut output).unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn error(line: &str) -> String {
    let good = r#"{"time": 9, "replicas": 4, "kpis": {"load": 35, "slow": 0.5}}"#;
    let answers = answers(&format!("{line}\n{good}"));
    assert_eq!(answers.len(), 2, "{line}");
    assert_eq!(answers[1]["replicas"], 4, "the stream continues");
    let message = answers[0]["error"].as_str().unwrap_or_else(|| panic!("accepted: {line}")).to_owned();
    assert!(message.len() < 900, "{message}");
    message
}

#[test]
fn an_invalid_line_is_reported_with_its_field() {
    let count = "it must be a whole number from 0 to 2147483647";
    let seconds = "it must be a number of seconds from -62135596800 to 221845391999";
    let answer = "it must be a number, null, or an object such as {\"state\": \"Empty\"}";
    for (line, sentence) in [
        (r#"{"time": 0, "replicas": 4, "kpis": {}} and more"#,
         r#""and more" (column 40) follows the object; a line must be one object and nothing else"#.to_owned()),
        (r#"[0, 4]"#, "the line is a list of 2 entries; it must be an object with time, replicas and kpis".to_owned()),
        ("5", "the line is 5; it must be an object with time, replicas and kpis".to_owned()),
        ("{}", format!("time is missing; {seconds}")),
        (r#"{"time": "now", "replicas": 4, "kpis": {}}"#, format!("time is \"now\"; {seconds}")),
        (r#"{"time": 1e300, "replicas": 4, "kpis": {}}"#, format!("time is 1e+300; {seconds}")),
        (r#"{"time": 0, "kpis": {}}"#, format!("replicas is missing; {count}")),
        (r#"{"time": 0, "replicas": 4.5, "kpis": {}}"#, format!("replicas is 4.5; {count}")),
        (r#"{"time": 0, "replicas": 2147483648, "kpis": {}}"#, format!("replicas is 2147483648; {count}")),
        (r#"{"time": 0, "replicas": -1, "kpis": {}}"#, format!("replicas is -1; {count}")),
        (r#"{"time": 0, "replicas": 4, "readyReplicas": true, "kpis": {}}"#, format!("readyReplicas is true; {count}")),
        (r#"{"time": 0, "replicas": 4, "held": -4, "kpis": {}}"#, format!("held is -4; {count}")),
        (r#"{"time": 0, "replicas": 4, "readyreplicas": 4, "kpis": {}}"#,
         "readyreplicas is not a known field (did you mean readyReplicas?); allowed are time, replicas, readyReplicas, kpis and held".to_owned()),
        (r#"{"time": 0, "replicas": 4}"#, "kpis is missing; it must be an object with a number for each KPI by its name".to_owned()),
        (r#"{"time": 0, "replicas": 4, "kpis": [35]}"#,
         "kpis is a list of 1 entry; it must be an object with a number for each KPI by its name".to_owned()),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": "35"}}"#, format!("kpis.load is \"35\"; {answer}")),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": 1, "load": 2}}"#, "kpis.load is set twice; it must be set once".to_owned()),
        (r#"{"time": 0, "time": 5, "replicas": 4, "kpis": {}}"#, "time is set twice; it must be set once".to_owned()),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": {"State": "Empty"}}}"#,
         "kpis.load.State is not a known field (did you mean state?); allowed is state".to_owned()),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": {}}}"#,
         "kpis.load.state is missing; it must be Stale, Empty, Partial, NaN or Error".to_owned()),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": {"state": "Fresh"}}}"#,
         "kpis.load.state is \"Fresh\"; it must be Stale, Empty, Partial, NaN or Error".to_owned()),
    ] {
        assert_eq!(error(line), sentence, "{line}");
    }
    for (line, start) in [
        (
            r#"{"time": 0, "replicas": 4, "kpis": {}} {"time": 1, "replicas": 9, "kpis": {}}"#,
            "\"{\\\"time\\\"",
        ),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": NaN}}"#, "kpis.load is not JSON at"),
        (r#"{"time": 1e400, "replicas": 4, "kpis": {}}"#, "time has a number out of range at"),
        (r#"{"time": 0, "replicas": 4, "kpis": {"load": 3"#, "kpis"),
        ("time: 0", "the line is not JSON at"),
    ] {
        let message = error(line);
        assert!(message.starts_with(start), "{message}");
    }
    let long = "x".repeat(10_000_000);
    error(&format!(r#"{{"time": 0, "replicas": 4, "kpis": {{"load": "{long}"}}}}"#));
    error(&format!(r#"{{"time": 0, "replicas": 4, "{long}": 1, "kpis": {{}}}}"#));
    error(&long);
}

/// `onEmpty: Zero` applies only to a Load for which Prometheus has no series.
#[test]
fn a_line_can_give_a_state_instead_of_a_number() {
    let line = |time: i32, state: &str| {
        format!(r#"{{"time": {time}, "replicas": 4, "kpis": {{"load": {state}, "slow": 0.5}}}}"#)
    };
    for (state, replicas, code) in [
        (r#"{"state": "Empty"}"#, 1, "ScaledDown"),
        (r#"{"state": "Stale"}"#, 4, "KpiNotFresh"),
        (r#"{"state": "Partial"}"#, 4, "KpiNotFresh"),
        (r#"{"state": "NaN"}"#, 4, "KpiNotFresh"),
        (r#"{"state": "Error"}"#, 4, "KpiNotFresh"),
        ("null", 4, "KpiNotFresh"),
    ] {
        let answers = answers(&[line(0, "40"), line(600, state)].join("\n"));
        assert_eq!(answers[1]["replicas"], replicas, "{state}: {}", answers[1]);
        let codes: Vec<_> =
            answers[1]["reasons"].as_array().unwrap().iter().map(|reason| &reason["code"]).collect();
        assert!(codes.iter().any(|found| *found == code), "{state}: {codes:?}");
    }
}

#[test]
fn unusual_valid_lines_are_answered() {
    for line in [
        "{\"time\":0,\"replicas\":4,\"kpis\":{\"lo\\u0061d\":95,\"slow\":0.1}}",
        "\u{feff}{\"time\":0,\"replicas\":4.0,\"kpis\":{\"load\":95,\"slow\":0.1}}\r",
        "  {\"time\":-5.5,\"replicas\":4,\"readyReplicas\":null,\"kpis\":{\"load\":95,\"slow\":0.1,\"other\":null}}",
    ] {
        assert_eq!(answers(line)[0]["replicas"], 10, "{line}");
    }
}
