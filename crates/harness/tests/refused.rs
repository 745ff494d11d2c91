//! The rules of the CRDs on the real API server: each sample in `tests/refused` is refused by its rule only.
//!
//! The first line of a sample is the rule's message. A sample with a file of the same name in `tests/refused/before` is an update
//! of that object.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path, time::Duration};

use plimsoll_e2e::cluster::BareApiServer;
use serde_json::Value;

/// The messages of all CEL rules at any depth of the CRD that the API server returns.
fn rules(crd: &Value) -> Vec<String> {
    let own = crd.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    let own = own.filter_map(|rule| rule.get("message").and_then(Value::as_str)).map(str::to_owned);
    let below: Vec<String> = match crd {
        Value::Object(fields) => fields.values().flat_map(rules).collect(),
        Value::Array(items) => items.iter().flat_map(rules).collect(),
        _ => Vec::new(),
    };
    own.chain(below).collect()
}

#[test]
fn each_sample_is_refused_by_its_rule_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let server = BareApiServer::start(folder.path()).unwrap();
    let mut rules = Vec::new();
    for name in ["scalableservices.plimsoll.dev", "capacitybudgets.plimsoll.dev"] {
        let crd = root.join(format!("crds/{name}.yaml"));
        server.kubectl(&["create", "--filename", crd.to_str().unwrap()], "").unwrap();
        let crd = server.kubectl(&["get", "crd", name, "--output=json"], "").unwrap();
        rules.extend(self::rules(&serde_json::from_str(&crd).unwrap()));
    }
    let samples = root.join("tests/refused");
    let mut messages = Vec::new();
    for entry in fs::read_dir(&samples).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let message = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a comment");
        let before = samples.join("before").join(path.file_name().unwrap());
        let verb = if before.exists() {
            kubectl(&server, &["create"], &before).unwrap();
            "replace"
        } else {
            "create"
        };
        let refusal = kubectl(&server, &[verb, "--dry-run=server"], &path).expect_err("it is accepted");
        let broken: Vec<_> = rules.iter().filter(|rule| refusal.contains(&format!(": {rule}"))).collect();
        assert_eq!(broken, [message], "{}: {refusal}", path.display());
        messages.push(message.to_owned());
    }
    for rule in &rules {
        let count = messages.iter().filter(|message| *message == rule).count();
        assert_eq!(count, 1, "samples for the rule {rule:?}; there must be one for each");
    }
    assert_eq!(messages.len(), rules.len());
}

/// Runs `kubectl` with a file; the error is the refusal.
fn kubectl(server: &BareApiServer, arguments: &[&str], file: &Path) -> Result<String, String> {
    let file = ["--namespace=default", "--filename", file.to_str().unwrap()];
    // The schema of a new resource is served a moment after it is established.
    for _ in 0..50 {
        match server.kubectl(&[arguments, &file].concat(), "") {
            Err(refusal) if refusal.to_string().contains("no matches for kind") => {}
            result => return result.map_err(|refusal| refusal.to_string()),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the kind is not served");
}
