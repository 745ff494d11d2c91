//! Invalid files and lines: one sentence each, with the field, what was found and what is allowed.

use std::fs;

use super::run::{plan, plan_in};

const SERVICE: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: web}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  maxReplicas: 20
  kpis: [{name: load, type: Load, query: x, perReplica: "1"}]
"#;

const BUDGET: &str = r#"
---
apiVersion: plimsoll.dev/v1alpha1
kind: CapacityBudget
metadata: {name: db}
spec:
  resource: connections
  limit: {type: Value, value: 60}
"#;

/// The sentence for a line after a valid one.
fn refused(line: &str) -> String {
    let answers = plan(&(SERVICE.to_owned() + BUDGET), &format!("{{\"time\": 5}}\n{line}\n{{\"time\": 5}}"));
    assert_eq!(answers.code, Some(1), "{line}: {:?}", answers.lines);
    assert_eq!(answers.lines.len(), 3, "the lines around it are answered");
    assert!(answers.lines[2]["services"]["default/web"]["granted"] == 1, "{:?}", answers.lines);
    assert_eq!(answers.lines[1]["line"], 2);
    answers.lines[1]["error"].as_str().unwrap().to_owned()
}

#[test]
fn an_invalid_line_gets_one_sentence_and_the_next_ones_are_answered() {
    for (line, sentence) in [
        (
            "[]",
            "the line is a list of 0 entries; it must be an object with time, services, budgets and nodes",
        ),
        ("{\"time\": 4}", "time is 4; it must not be before the time of the previous line, 5"),
        ("{}", "time is missing; it must be a number of seconds from -62135596800 to 221845391999"),
        (
            "{\"time\": \"5\"}",
            "time is \"5\"; it must be a number of seconds from -62135596800 to 221845391999",
        ),
        ("{\"time\": 5, \"time\": 6}", "time is set twice; it must be set once"),
        (
            "{\"time\": 5, \"service\": {}}",
            "service is not a known field (did you mean services?); allowed are time, services, budgets and nodes",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/wep\": {}}}",
            "services.default/wep is unknown (did you mean default/web?); it must be in the files",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"wanted\": -1}}}",
            "services.default/web.wanted is -1; it must be a whole number from 0 to 2147483647",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"wanted\": 1.5}}}",
            "services.default/web.wanted is 1.5; it must be a whole number",
        ),
        ("{\"time\": 5, \"services\": {\"web\": {}}}", "services.web is unknown; it must be in the files"),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"ready\": -1}}}",
            "services.default/web.ready is -1; it must be a whole number from 0 to 2147483647",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"replicas\": 3, \"ready\": 4}}}",
            "services.default/web.ready is 4; it must be at most 3, the number of pods",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"replicas\": 3, \"pods\": 2, \"ready\": 3}}}",
            "services.default/web.ready is 3; it must be at most 2, the number of pods",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"replicas\": 1, \"nodes\": {\"a\": 1}}}}",
            "services.default/web.nodes is set, but the line has no nodes; it must be absent, or the line must have nodes",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"replicas\": 1, \"nodes\": {\"a\": 1}}}, \"nodes\": {}}",
            "services.default/web.nodes.a is unknown; it must be among the nodes",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"replicas\": 2, \"nodes\": {\"node-a\": 1, \"node-bb\": 1}}}, \"nodes\": {\"node-a\": {}, \"node-b\": {}}}",
            "services.default/web.nodes.node-bb is unknown (did you mean node-b?); it must be among the nodes",
        ),
        (
            "{\"time\": 5, \"services\": {\"default/web\": {\"replicas\": 2, \"nodes\": {\"a\": 1, \"b\": 2147483647}}}, \"nodes\": {\"a\": {}, \"b\": {}}}",
            "services.default/web.nodes has 2147483648 pods in total; it must have at most 2, the number of pods",
        ),
        (
            "{\"time\": 5, \"budgets\": {\"dp\": {}}}",
            "budgets.dp is unknown (did you mean db?); it must be in the files",
        ),
        (
            "{\"time\": 5, \"budgets\": {\"db\": {\"limit\": 7}}}",
            "budgets.db.limit is 7; it must be absent, since the limit is that of limit.value",
        ),
        (
            "{\"time\": 5, \"budgets\": {\"db\": {\"used\": 7}}}",
            "budgets.db.used is 7; it must be absent, since the budget has no usage",
        ),
        (
            "{\"time\": 5, \"nodes\": {\"a\": {\"allocatable\": {\"cpu\": \"many\"}}}}",
            "nodes.a.allocatable.cpu is \"many\"; it must be a quantity of at least 0, such as 60 or \"250m\"",
        ),
        (
            "{\"time\": 5, \"nodes\": {\"a\": {\"allocatable\": {\"gpu\": 1}}}}",
            "nodes.a.allocatable.gpu is not a known field (did you mean cpu?); allowed are cpu, memory and pods",
        ),
    ] {
        assert_eq!(refused(line), sentence, "{line}");
    }
}

#[test]
fn every_mistake_in_the_files_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("a.yaml", SERVICE);
    write("team/b.yml", SERVICE);
    write("team/c.yaml", &BUDGET.replace("value: 60", "value: -1"));
    write(
        "d.yaml",
        &SERVICE
            .replace("{name: web}\nspec", "{name: one}\nspec")
            .replace("maxReplicas: 20", "maxReplicas: 0"),
    );
    write("e.json", "{");
    write("notes.txt", "not read: {");
    let answers = plan_in(folder.path(), "{\"time\": 5}");
    assert_eq!(answers.code, Some(1));
    assert!(answers.lines.is_empty());
    let mistakes: Vec<&str> = answers.errors.trim().lines().collect();
    assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
    for sentence in [
        "d.yaml: ScalableService default/one: spec.maxReplicas is 0; it must be a whole number from 1 to 100000",
        "b.yml: ScalableService default/web is defined twice; it must be defined once",
        "c.yaml: CapacityBudget db: spec.limit.value is \"-1\"",
        "e.json: ",
    ] {
        assert!(mistakes.iter().any(|mistake| mistake.contains(sentence)), "{sentence}: {mistakes:#?}");
    }
}

#[test]
fn a_cycle_of_dependencies_is_refused() {
    let depends = |name: &str, on: &str| {
        let named = SERVICE.replace("{name: web}\nspec", &format!("{{name: {name}}}\nspec"));
        named.replace("  kpis", &format!("  dependsOn: [{{name: {on}}}]\n  kpis"))
    };
    let manifests = [depends("a", "b"), depends("b", "c"), depends("c", "a")].join("---");
    let answers = plan(&manifests, "{\"time\": 5}");
    assert_eq!(answers.code, Some(1));
    assert!(
        answers.errors.contains(
            "spec.dependsOn in the namespace default has the cycle a -> b -> c -> a; it must have none"
        ),
        "{}",
        answers.errors
    );
}

#[test]
fn files_without_a_service_are_refused() {
    let answers = plan(BUDGET.trim_start_matches("\n---"), "");
    assert_eq!(answers.code, Some(1));
    assert!(
        answers.errors.contains("there is no ScalableService; there must be at least one"),
        "{}",
        answers.errors
    );
    let answers = plan_in(std::path::Path::new("/does/not/exist"), "");
    assert!(answers.errors.contains("/does/not/exist: No such file"), "{}", answers.errors);
}

const OBJECTS: &str = r#"
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  strategy: {rollingUpdate: {maxSurge: 1}}
  template: {spec: {containers: [{name: app, resources: {requests: {cpu: 250m}}}]}}
"#;

/// The mistakes in the files, without the path of the file.
fn mistakes(manifests: &str) -> Vec<String> {
    let answers = plan(manifests, "{\"time\": 5}");
    let without_path = |line: &str| line.split_once("all.yaml: ").unwrap().1.to_owned();
    let mistakes: Vec<String> = answers.errors.trim().lines().map(without_path).collect();
    assert_eq!(
        (answers.code, answers.lines.len()),
        if mistakes.is_empty() { (Some(0), 1) } else { (Some(1), 0) }
    );
    mistakes
}

#[test]
fn objects_of_the_same_name_are_refused() {
    assert_eq!(
        mistakes(&[SERVICE, OBJECTS, OBJECTS].concat()),
        [
            "Namespace default is defined twice; it must be defined once",
            "Deployment default/web is defined twice; it must be defined once",
        ]
    );
    let others =
        OBJECTS.replace("name: default", "name: other").replace("kind: Deployment", "kind: StatefulSet");
    assert_eq!(mistakes(&[SERVICE, OBJECTS, &others].concat()), [""; 0], "another name, and another kind");
    let generated = OBJECTS.replace("metadata: {name:", "metadata: {generateName:");
    assert_eq!(mistakes(&[SERVICE, &generated, &generated].concat()), [""; 0], "each gets a name of its own");
}

#[test]
fn invalid_pods_and_rollouts_are_refused_with_the_field() {
    for (valid, invalid, sentence) in [
        (
            "cpu: 250m",
            "cpu: 1.5 cores",
            "spec.template.spec.containers[0].resources.requests.cpu is \"1.5 cores\"; it must be a quantity of at least 0, such as \"250m\"",
        ),
        (
            "cpu: 250m",
            "memory: -1Gi",
            "spec.template.spec.containers[0].resources.requests.memory is \"-1Gi\"; it must be a quantity of at least 0, such as \"250m\"",
        ),
        (
            "maxSurge: 1",
            "maxSurge: lots",
            "spec.strategy.rollingUpdate.maxSurge is \"lots\"; it must be a whole number of at least 0, or a percentage such as \"25%\"",
        ),
        (
            "maxSurge: 1",
            "maxSurge: -1",
            "spec.strategy.rollingUpdate.maxSurge is -1; it must be a whole number of at least 0, or a percentage such as \"25%\"",
        ),
    ] {
        let objects = SERVICE.to_owned() + &OBJECTS.replace(valid, invalid);
        assert_eq!(mistakes(&objects), [format!("Deployment default/web: {sentence}")]);
    }
    assert_eq!(mistakes(&(SERVICE.to_owned() + &OBJECTS.replace("250m", "1"))), [""; 0], "a number");
}

/// As the kubelet mounts a ConfigMap: links to files in a hidden directory.
#[test]
#[cfg(unix)]
fn hidden_files_and_directories_are_skipped() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("..2026_07_01_12_00_00.1");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("web.yaml"), SERVICE).unwrap();
    symlink(data.file_name().unwrap(), folder.path().join("..data")).unwrap();
    symlink("..data/web.yaml", folder.path().join("web.yaml")).unwrap();
    fs::write(folder.path().join(".web.yaml"), "{").unwrap();
    let answers = plan_in(folder.path(), "{\"time\": 5}");
    assert_eq!(answers.code, Some(0), "{}", answers.errors);
    assert_eq!(answers.lines[0]["services"]["default/web"]["granted"], 1);
    let answers = plan_in(&data, "{\"time\": 5}");
    assert_eq!(answers.code, Some(0), "the directory itself may be hidden: {}", answers.errors);
}
