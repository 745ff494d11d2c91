//! Plans, words and questions, from objects as an API server has them.

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
fn only_wrong_weights_of_the_named_rule_are_changed_and_everything_is_tested() {
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
    let right = json!([{"name": "web", "weight": 40}, {"name": "web", "namespace": "z", "port": 80, "weight": 60},
                       {"name": "old", "port": 80, "weight": 0}]);
    assert_eq!(plan(&main_rule(&right), "main", &shares(40), &[], "shop"), Plan::InSync);
}

#[test]
fn a_standby_that_was_one_gives_its_weight_back() {
    let backends =
        json!([{"name": "web", "weight": 0}, {"name": "web", "namespace": "z", "port": 80, "weight": 100}]);
    let [primary, standby] = shares(100);
    let Plan::Change(change) =
        plan(&main_rule(&backends), "main", from_ref(&primary), from_ref(&standby), "shop")
    else {
        panic!("a change")
    };
    assert_eq!(change.what, "web 0 -> 100, web 100 -> 0");
    let gone = json!([{"name": "web", "weight": 100}]);
    assert_eq!(
        plan(&main_rule(&gone), "main", &[primary], &[standby], "shop"),
        Plan::InSync,
        "it needs no place any more"
    );
}

#[test]
fn what_cant_be_steered_is_said() {
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
        panic!("it would go to 0 and 100 in turn")
    };
    assert!(sentence.contains("one backendRef web for both b and another backend"), "{sentence}");
}

#[test]
fn only_the_word_of_everybody_on_this_generation_counts() {
    let parent = |accepted: (&str, i64), resolved: (&str, i64)| {
        let condition = |type_: &str, (status, of): (&str, i64)| {
            json!({"type": type_, "status": status, "reason": "R", "message": "m", "observedGeneration": of,
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        json!([{"parentRef": {"name": "front", "namespace": "a"}, "controllerName": "c",
                "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", resolved)]}])
    };
    let said = |parents: Value| accepted(&route(&json!([]), &parents));
    assert_eq!(said(parent(("True", 3), ("True", 3))), Acceptance::Yes);
    assert!(matches!(said(json!([])), Acceptance::Waiting(_)), "nobody");
    assert!(
        matches!(said(parent(("True", 3), ("True", 2))), Acceptance::Waiting(_)),
        "of an older generation"
    );
    assert!(matches!(said(parent(("True", 3), ("Unknown", 3))), Acceptance::Waiting(_)));
    assert!(matches!(said(parent(("True", 3), ("False", 3))), Acceptance::No(_)));
    assert!(
        matches!(said(parent(("False", 2), ("True", 3))), Acceptance::Waiting(_)),
        "an old no is none either"
    );
}

/// As NGINX Gateway Fabric does: of each listener, and never of a port.
#[test]
fn who_speaks_of_each_listener_is_understood() {
    let status = |section: &str, accepted: &str, of: i64| {
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "R", "message": "m", "observedGeneration": of,
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        json!({"parentRef": {"name": "front", "namespace": "a", "sectionName": section}, "controllerName": "c",
               "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", "True")]})
    };
    let said = |parents: &Value, said: Value| {
        let spec = json!({"parentRefs": parents, "rules": []});
        accepted(
            &Route::of(&object("HTTPRoute", json!({"spec": spec, "status": {"parents": said}}))).unwrap(),
        )
    };
    let (all, web) =
        (json!([{"name": "front", "port": 80}]), json!([{"name": "front", "sectionName": "web"}]));
    assert_eq!(said(&all, json!([status("web", "True", 3)])), Acceptance::Yes);
    assert_eq!(said(&all, json!([status("other", "False", 3), status("web", "True", 3)])), Acceptance::Yes);
    assert!(matches!(said(&all, json!([status("web", "False", 3)])), Acceptance::No(_)));
    assert!(matches!(
        said(&all, json!([status("web", "False", 3), status("other", "True", 2)])),
        Acceptance::Waiting(_)
    ));
    assert!(matches!(said(&web, json!([status("other", "True", 3)])), Acceptance::Waiting(_)));
    assert!(matches!(
        said(&web, json!([status("other", "True", 3), status("web", "False", 3)])),
        Acceptance::No(_)
    ));
    // What is said of the whole counts before what is said of a part.
    let both = json!([{"name": "front"}, {"name": "front", "sectionName": "web"}]);
    let mut whole = status("", "False", 3);
    whole["parentRef"] = json!({"name": "front"});
    assert!(matches!(said(&both, json!([whole, status("web", "True", 3)])), Acceptance::No(_)));
}

#[test]
fn a_gateway_is_asked_for_what_the_rule_is_for() {
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
fn only_listeners_that_take_the_route_are_asked() {
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

/// A route with these weights of its two backends, and what is recorded on it.
fn steered(weights: [i32; 2], record: &Value) -> Route {
    let [web, standby] = weights;
    let backends = json!([{"name": "web", "weight": web}, {"name": "web", "namespace": "z", "port": 80, "weight": standby}]);
    let spec = json!({"rules": [{"name": "main", "backendRefs": backends}]});
    let annotations = json!({ORIGINALS_ANNOTATION: record.to_string()});
    let metadata = json!({"name": "shop", "namespace": "a", "uid": "u", "resourceVersion": "7", "annotations": annotations});
    Route::of(&object("HTTPRoute", json!({"metadata": metadata, "spec": spec}))).unwrap()
}

/// What a service records when it gives a rule with the weights 3 and 1 its own.
fn record(by: &str) -> Value {
    let backends =
        json!([{"name": "web", "weight": 3}, {"name": "web", "namespace": "z", "port": 80, "weight": 1}]);
    let Plan::Change(change) = plan(&main_rule(&backends), "main", &shares(100), &[], by) else {
        panic!("a change")
    };
    serde_json::from_str(change.patch.last().unwrap()["value"].as_str().unwrap()).unwrap()
}

#[test]
fn weights_are_put_back_as_they_were_before_the_first_change() {
    // 3 and 1 became 100 and 0, and then 40 and 60.
    let Plan::Change(second) = plan(&steered([100, 0], &record("shop")), "main", &shares(40), &[], "shop")
    else {
        panic!("a change")
    };
    let recorded = serde_json::from_str(second.patch.last().unwrap()["value"].as_str().unwrap()).unwrap();
    let change = put_back(&steered([40, 60], &recorded), "shop").unwrap();
    assert_eq!(change.what, "web 40 -> 3, web 60 -> 1");
    let remove = json!({"op": "remove", "path": "/metadata/annotations/plimsoll.dev~1original-weights"});
    assert_eq!(change.patch.last().unwrap(), &remove);
}

#[test]
fn what_somebody_else_changed_since_or_recorded_is_left_alone() {
    let change = put_back(&steered([90, 10], &record("shop")), "shop").unwrap();
    assert_eq!(change.what, "rule main was changed by somebody else since and stays as it is");
    assert!(change.patch.iter().all(|operation| !operation["path"].as_str().unwrap().ends_with("/weight")));
    assert_eq!(put_back(&steered([100, 0], &record("another")), "shop"), None);
    let mut forged = record("shop");
    forged["main"]["before"][0]["weight"] = json!(-1);
    let change = put_back(&steered([100, 0], &forged), "shop").unwrap();
    assert!(change.what.contains("stays as it is"), "no weight of the Gateway API: {}", change.what);
    assert_eq!(put_back(&steered([100, 0], &json!("no record")), "shop"), None);
}
