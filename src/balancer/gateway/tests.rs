//! Plans, acceptance and probe requests, from objects as the API server returns them.

use std::slice::from_ref;

use kube::api::DynamicObject;
use plimsoll_api::Percent;
use serde_json::{Value, json};

use super::{
    Acceptance, Gateway, ORIGINALS_ANNOTATION, Plan, Route, Share, accepted, plan, put_back, questions,
};

fn object(kind: &str, more: Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
        "metadata": {"name": "shop", "namespace": "a", "uid": "u", "resourceVersion": "7", "generation": 3},
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    serde_json::from_value(object).unwrap()
}

fn route(rules: &Value, parents: &Value) -> Route {
    let spec = json!({"parentRefs": [{"name": "front"}], "hostnames": ["*.example.com"], "rules": rules});
    Route::of(&object("HTTPRoute", json!({"spec": spec, "status": {"parents": parents}}))).unwrap()
}

fn main_rule(backends: &Value) -> Route {
    route(&json!([{"name": "other"}, {"name": "main", "backendRefs": backends}]), &json!([]))
}

fn shares(primary: i64) -> [Share; 2] {
    [("primary", "a", "web", None, primary), ("b", "z", "web", Some(80), 100 - primary)].map(
        |(backend, namespace, service, port, weight)| Share {
            backend: backend.into(),
            namespace: namespace.into(),
            service: service.into(),
            port,
            weight: Percent::clamped(weight),
        },
    )
}

#[test]
fn only_differing_weights_of_the_named_rule_are_patched_with_tests() {
    let backends =
        json!([{"name": "web", "port": 80}, {"name": "web", "namespace": "z", "port": 80, "weight": 0}]);
    let Plan::Change(change) = plan(&main_rule(&backends), "main", &shares(100), &[], "shop") else {
        panic!("a change")
    };
    assert_eq!(change.what, "web 1 -> 100");
    let expected = json!([
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "test", "path": "/spec/rules/1/name", "value": "main"},
        {"op": "test", "path": "/spec/rules/1/backendRefs/0/name", "value": "web"},
        {"op": "add", "path": "/spec/rules/1/backendRefs/0/weight", "value": 100},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
    ]);
    let (record, rest) = change.patch.split_last().unwrap();
    assert_eq!(json!(rest), expected);
    let original: Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
    let weight = |namespace: Option<&str>, weight: i32| match namespace {
        None => json!({"name": "web", "port": 80, "weight": weight}),
        Some(namespace) => json!({"name": "web", "namespace": namespace, "port": 80, "weight": weight}),
    };
    let (before, given) =
        ([weight(None, 1), weight(Some("z"), 0)], [weight(None, 100), weight(Some("z"), 0)]);
    assert_eq!(original, json!({"main": {"by": "shop", "before": before, "given": given}}));
    let wanted = json!([{"name": "web", "weight": 40}, {"name": "web", "namespace": "z", "port": 80, "weight": 60},
                       {"name": "old", "port": 80, "weight": 0}]);
    assert_eq!(plan(&main_rule(&wanted), "main", &shares(40), &[], "shop"), Plan::InSync);
}

#[test]
fn a_removed_standby_gets_weight_0() {
    let backends =
        json!([{"name": "web", "weight": 0}, {"name": "web", "namespace": "z", "port": 80, "weight": 100}]);
    let [primary, standby] = shares(100);
    let Plan::Change(change) =
        plan(&main_rule(&backends), "main", from_ref(&primary), from_ref(&standby), "shop")
    else {
        panic!("a change")
    };
    assert_eq!(change.what, "web 0 -> 100, web 100 -> 0");
    let removed = json!([{"name": "web", "weight": 100}]);
    assert_eq!(
        plan(&main_rule(&removed), "main", &[primary], &[standby], "shop"),
        Plan::InSync,
        "it may be missing from the rule"
    );
}

#[test]
fn a_rule_that_cant_be_changed_is_refused_with_the_reason() {
    let both = json!([{"name": "web"}, {"name": "web", "namespace": "z", "port": 80}]);
    let twice = route(&json!([{"name": "main"}, {"name": "main"}]), &json!([]));
    let unnamed = route(&json!([{"backendRefs": both}]), &json!([]));
    let stranger = json!([{"name": "web"}, {"name": "web", "namespace": "z", "port": 80}, {"name": "old"}]);
    for (route, words) in [
        (twice, "more than one rule named main"),
        (unnamed, "none of its rules has a name"),
        (main_rule(&json!([{"name": "web"}])), "no backendRef for Service z/web port 80 (b)"),
        (
            main_rule(&json!([{"name": "web"}, {"name": "web", "port": 81}])),
            "more than one backendRef for Service a/web",
        ),
        (main_rule(&stranger), "a backendRef old with weight 1"),
    ] {
        let Plan::Refused(sentence) = plan(&route, "main", &shares(100), &[], "shop") else {
            panic!("{words}")
        };
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn two_shares_of_one_service_are_refused() {
    let [primary, standby] = shares(100);
    let same = Share { namespace: "a".into(), ..standby };
    let backends = json!([{"name": "web", "port": 80, "weight": 100}]);
    let Plan::Refused(sentence) = plan(&main_rule(&backends), "main", &[primary, same], &[], "shop") else {
        panic!("its weight would alternate between 0 and 100")
    };
    assert!(sentence.contains("one backendRef web for both b and another backend"), "{sentence}");
}

#[test]
fn acceptance_needs_every_condition_at_the_current_generation() {
    let parent = |accepted: (&str, i64), resolved: (&str, i64)| {
        let condition = |type_: &str, (status, of): (&str, i64)| {
            json!({"type": type_, "status": status, "reason": "R", "message": "m", "observedGeneration": of,
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        json!([{"parentRef": {"name": "front", "namespace": "a"}, "controllerName": "c",
                "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", resolved)]}])
    };
    let acceptance = |parents: Value| accepted(&route(&json!([]), &parents));
    assert_eq!(acceptance(parent(("True", 3), ("True", 3))), Acceptance::Yes);
    assert!(matches!(acceptance(json!([])), Acceptance::Waiting(_)), "no status");
    assert!(
        matches!(acceptance(parent(("True", 3), ("True", 2))), Acceptance::Waiting(_)),
        "older generation"
    );
    assert!(matches!(acceptance(parent(("True", 3), ("Unknown", 3))), Acceptance::Waiting(_)));
    assert!(matches!(acceptance(parent(("True", 3), ("False", 3))), Acceptance::No(_)));
    assert!(
        matches!(acceptance(parent(("False", 2), ("True", 3))), Acceptance::Waiting(_)),
        "False of an older generation is ignored too"
    );
}

/// NGINX Gateway Fabric reports on each listener, and never on a port.
#[test]
fn statuses_of_single_listeners_count_for_the_parent() {
    let status = |section: &str, accepted: &str, of: i64| {
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "R", "message": "m", "observedGeneration": of,
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        json!({"parentRef": {"name": "front", "namespace": "a", "sectionName": section}, "controllerName": "c",
               "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", "True")]})
    };
    let acceptance = |parents: &Value, statuses: Value| {
        let spec = json!({"parentRefs": parents, "rules": []});
        accepted(
            &Route::of(&object("HTTPRoute", json!({"spec": spec, "status": {"parents": statuses}}))).unwrap(),
        )
    };
    let (all, web) =
        (json!([{"name": "front", "port": 80}]), json!([{"name": "front", "sectionName": "web"}]));
    assert_eq!(acceptance(&all, json!([status("web", "True", 3)])), Acceptance::Yes);
    let one = json!([status("other", "False", 3), status("web", "True", 3)]);
    assert_eq!(acceptance(&all, one), Acceptance::Yes);
    assert!(matches!(acceptance(&all, json!([status("web", "False", 3)])), Acceptance::No(_)));
    assert!(matches!(
        acceptance(&all, json!([status("web", "False", 3), status("other", "True", 2)])),
        Acceptance::Waiting(_)
    ));
    assert!(matches!(acceptance(&web, json!([status("other", "True", 3)])), Acceptance::Waiting(_)));
    assert!(matches!(
        acceptance(&web, json!([status("other", "True", 3), status("web", "False", 3)])),
        Acceptance::No(_)
    ));
    // A status for the whole parent takes precedence over one for a listener.
    let both = json!([{"name": "front"}, {"name": "front", "sectionName": "web"}]);
    let mut whole = status("", "False", 3);
    whole["parentRef"] = json!({"name": "front"});
    assert!(matches!(acceptance(&both, json!([whole, status("web", "True", 3)])), Acceptance::No(_)));
}

#[test]
fn a_probe_request_meets_a_match_of_the_rule() {
    let gateway = |status: Value| {
        let listeners = json!([{"name": "web", "port": 80, "protocol": "HTTP", "hostname": "shop.example.com"},
                               {"name": "tcp", "port": 90, "protocol": "TCP"}]);
        Gateway::of(&object("Gateway", json!({"spec": {"listeners": listeners}, "status": status}))).unwrap()
    };
    let rules = json!([{"matches": [{"method": "POST"}, {"path": {"type": "PathPrefix", "value": "/x"},
                                                         "headers": [{"name": "t", "value": "1"}]}]}]);
    let route = route(&rules, &json!([]));
    let asked = |gateway| questions(&route, &route.rules[0], &route.parents[0], &gateway);
    assert!(asked(gateway(json!({}))).unwrap_err().contains("no address"));
    let asked = asked(gateway(json!({"addresses": [{"value": "192.0.2.1"}]}))).unwrap();
    assert_eq!(asked.len(), 1);
    let one = &asked[0];
    assert_eq!(
        (one.host.as_str(), one.path.as_str(), one.port, one.tls),
        ("shop.example.com", "/x", 80, false)
    );
    assert_eq!(one.headers, [("t".to_owned(), "1".to_owned())]);
}

#[test]
fn only_listeners_that_accept_the_route_are_probed() {
    let listener = |name: &str, port: u16, allowed: Value| {
        let mut listener = json!({"name": name, "port": port, "protocol": "HTTP"});
        listener["allowedRoutes"] = allowed;
        listener
    };
    let from = |from: &str| json!({"namespaces": {"from": from}});
    let listeners = json!([
        listener("default", 1, json!({})),
        listener("same", 2, from("Same")),
        listener("all", 3, from("All")),
        listener("some", 4, from("Selector")),
        listener("grpc", 5, json!({"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]})),
        listener("http", 6, json!({"namespaces": {"from": "All"}, "kinds": [{"kind": "HTTPRoute"}]})),
    ]);
    let status = json!({"addresses": [{"value": "192.0.2.1"}]});
    let mut gateway = object("Gateway", json!({"spec": {"listeners": listeners}, "status": status}));
    let route = route(&json!([{}]), &json!([]));
    let ports = |gateway: &DynamicObject| -> Vec<u16> {
        let gateway = Gateway::of(gateway).unwrap();
        let asked = questions(&route, &route.rules[0], &route.parents[0], &gateway).unwrap();
        asked.iter().map(|question| question.port).collect()
    };
    assert_eq!(ports(&gateway), [1, 2, 3, 6], "in the route's namespace");
    gateway.metadata.namespace = Some("infra".into());
    assert_eq!(ports(&gateway), [3, 6], "in another one");
}

/// A route with these weights of its two backends and this annotation.
fn annotated(weights: [i32; 2], record: &Value) -> Route {
    let [web, standby] = weights;
    let backends = json!([{"name": "web", "weight": web}, {"name": "web", "namespace": "z", "port": 80, "weight": standby}]);
    let spec = json!({"rules": [{"name": "main", "backendRefs": backends}]});
    let annotations = json!({ORIGINALS_ANNOTATION: record.to_string()});
    let metadata = json!({"name": "shop", "namespace": "a", "uid": "u", "resourceVersion": "7", "annotations": annotations});
    Route::of(&object("HTTPRoute", json!({"metadata": metadata, "spec": spec}))).unwrap()
}

/// The annotation after a service has changed the weights of a rule from 3 and 1.
fn record(by: &str) -> Value {
    let backends =
        json!([{"name": "web", "weight": 3}, {"name": "web", "namespace": "z", "port": 80, "weight": 1}]);
    let Plan::Change(change) = plan(&main_rule(&backends), "main", &shares(100), &[], by) else {
        panic!("a change")
    };
    serde_json::from_str(change.patch.last().unwrap()["value"].as_str().unwrap()).unwrap()
}

#[test]
fn put_back_restores_the_weights_before_the_first_change() {
    // 3 and 1 became 100 and 0, and then 40 and 60.
    let Plan::Change(second) = plan(&annotated([100, 0], &record("shop")), "main", &shares(40), &[], "shop")
    else {
        panic!("a change")
    };
    let recorded = serde_json::from_str(second.patch.last().unwrap()["value"].as_str().unwrap()).unwrap();
    let change = put_back(&annotated([40, 60], &recorded), "shop").unwrap();
    assert_eq!(change.what, "web 40 -> 3, web 60 -> 1");
    let remove = json!({"op": "remove", "path": "/metadata/annotations/plimsoll.dev~1original-weights"});
    assert_eq!(change.patch.last().unwrap(), &remove);
}

#[test]
fn put_back_skips_rules_changed_by_another_client_or_service() {
    let change = put_back(&annotated([90, 10], &record("shop")), "shop").unwrap();
    assert_eq!(change.what, "rule main was changed by another client since and stays as it is");
    assert!(change.patch.iter().all(|operation| !operation["path"].as_str().unwrap().ends_with("/weight")));
    assert_eq!(put_back(&annotated([100, 0], &record("another")), "shop"), None);
    let mut forged = record("shop");
    forged["main"]["before"][0]["weight"] = json!(-1);
    let change = put_back(&annotated([100, 0], &forged), "shop").unwrap();
    assert!(change.what.contains("stays as it is"), "invalid weight: {}", change.what);
    assert_eq!(put_back(&annotated([100, 0], &json!("no record")), "shop"), None);
}
