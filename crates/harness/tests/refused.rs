//! The rules of the CRD on the real API server: each sample in `tests/refused` is refused by its rule only.
//!
//! The first line of a sample is the rule's message.

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
    let crd = root.join("crds/scalableservices.plimsoll.dev.yaml");
    server.kubectl(&["create", "--filename", crd.to_str().unwrap()], "").unwrap();
    let name = "crd/scalableservices.plimsoll.dev";
    let rules =
        rules(&serde_json::from_str(&server.kubectl(&["get", name, "--output=json"], "").unwrap()).unwrap());
    let mut messages = Vec::new();
    for entry in fs::read_dir(root.join("tests/refused")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let message = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a comment");
        let broken = broken(&server, path.to_str().unwrap(), &rules);
        assert_eq!(broken, [message], "{}", path.display());
        messages.push(message.to_owned());
    }
    for rule in &rules {
        let count = messages.iter().filter(|message| *message == rule).count();
        assert_eq!(count, 1, "samples for the rule {rule:?}; there must be one for each");
    }
    assert_eq!(messages.len(), rules.len());
}

/// The rules that the API server names in the refusal of a file.
fn broken(server: &BareApiServer, path: &str, rules: &[String]) -> Vec<String> {
    let create = ["create", "--namespace=default", "--dry-run=server", "--filename", path];
    // The schema of a new resource is served a moment after it is established.
    for _ in 0..50 {
        let refusal = server.kubectl(&create, "").expect_err("the API server accepts it").to_string();
        if !refusal.contains("no matches for kind") {
            return rules.iter().filter(|rule| refusal.contains(&format!(": {rule}"))).cloned().collect();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the kind is not served");
}
