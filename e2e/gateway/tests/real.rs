//! Plimsoll steers an HTTPRoute: with a real API server and the Gateway API's own definitions, the stand-in with a real
//! HAProxy, and Plimsoll's controller in a child process.
// Clippy recognizes the test functions, but not their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "support/fixture.rs"]
mod fixture;

use std::time::Duration;

use kube::Client;
use plimsoll::{
    actuate,
    balancer::gateway::{Plan, Route, Share, plan, policy},
    clock::Clock,
    lease::{Leader, Leadership, LeaseConfig, LeaseParams, elect, identity},
    random::Random,
};
use plimsoll_api::{Percent, Traffic};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use fixture::Fixture;

fn weights(route: &Value, rule: usize) -> Vec<i64> {
    let backends = route.pointer(&format!("/spec/rules/{rule}/backendRefs")).and_then(Value::as_array);
    backends.into_iter().flatten().filter_map(|backend| backend.get("weight")?.as_i64()).collect()
}

/// The part that Plimsoll must not touch: the spec without the weights of the steered rule.
fn others(route: &Value) -> Value {
    let mut spec = route.get("spec").cloned().unwrap_or_default();
    for backend in
        spec.pointer_mut("/rules/1/backendRefs").and_then(Value::as_array_mut).into_iter().flatten()
    {
        backend.as_object_mut().and_then(|fields| fields.remove("weight"));
    }
    spec
}

#[tokio::test]
async fn plimsoll_child_process() {
    fixture::run_child_process().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_follows_failover_and_lies_in_the_gateways_status_are_not_trusted() {
    let mut fixture = Fixture::set().await;

    // A cluster without the Gateway API.
    fixture.plimsoll(None).await;
    fixture.wait_for("False RouteNotFound", Duration::from_secs(20)).await;
    assert!(fixture.message().await.contains("does not serve HTTPRoute"), "{}", fixture.message().await);

    // The Gateway API is installed while Plimsoll runs.
    fixture.install_gateway_api();
    fixture
        .wait_until("the CRDs are noticed", Duration::from_secs(60), |text| {
            text.contains("HTTPRoute shop does not exist")
        })
        .await;

    // The first programming: status accepts the route seconds before HAProxy serves it.
    fixture.lie("early").await;
    fixture.stand_in();
    fixture.route();
    let claimed = fixture.accepted_at(1, Duration::from_secs(20)).await;
    let served = fixture.wait_for_true(Duration::from_secs(30)).await;
    let late = served.duration_since(claimed);
    assert!(late >= Duration::from_secs(3), "True {late:?} after the claim, though served only after 4 s");
    assert_eq!(fixture.answers(20).await, ["web"; 20], "True, but web does not answer");
    fixture.lie("").await;

    // A standby takes over: only the weights of the one rule change.
    let before = fixture.get("httproute", "shop").await;
    assert_eq!(weights(&before, 1), [100, 0]);
    fixture.plimsoll(Some(100)).await;
    fixture.wait_for_weights("web 0, web-b 100").await;
    let after = fixture.get("httproute", "shop").await;
    assert_eq!(weights(&after, 1), [0, 100]);
    assert_eq!((weights(&after, 0), others(&after)), (vec![7, 3], others(&before)));
    assert_eq!(fixture.answers(20).await, ["web-b"; 20]);

    // Requests follow weights in between.
    fixture.plimsoll(Some(30)).await;
    fixture.wait_for_weights("web 70, web-b 30").await;
    let answers = fixture.answers(400).await;
    let standby = answers.iter().filter(|answer| *answer == "web-b").count();
    assert!((80..=160).contains(&standby), "{standby} of 400 went to the standby, whose share is 30 %");

    // Status stays at an older generation: correct weights and answers are not enough.
    fixture.lie("stale").await;
    fixture.plimsoll(Some(100)).await;
    fixture
        .wait_until("the stale status is noticed", Duration::from_secs(20), |text| {
            text.starts_with("Unknown RouteProgressing") && text.contains("have not accepted it yet")
        })
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(weights(&fixture.get("httproute", "shop").await, 1), [0, 100]);
    assert!(fixture.status().await.starts_with("Unknown RouteProgressing"), "{}", fixture.status().await);
    fixture.lie("").await;
    fixture.wait_for_true(Duration::from_secs(20)).await;

    // Status has a parentRef for each listener, though the route refers to the Gateway.
    fixture.lie("sections").await;
    fixture.plimsoll(Some(90)).await;
    fixture.wait_for_weights("web 10, web-b 90").await;
    let status = fixture.get("httproute", "shop").await;
    assert_eq!(status.pointer("/status/parents/0/parentRef/sectionName"), Some(&json!("http")), "{status}");
    fixture.lie("").await;

    // Back to a primary without endpoints, which keeps its weight: its whole share is answered with 503.
    fixture.lie("empty-503").await;
    fixture.endpoints("web", false).await;
    fixture.plimsoll(Some(60)).await;
    fixture.wait_for("False RouteNotServing", Duration::from_secs(30)).await;
    assert!(fixture.message().await.contains("answers 503"), "{}", fixture.message().await);

    // The standby gets all requests, and status reports it too early.
    fixture.lie("early,empty-503").await;
    fixture.plimsoll(Some(100)).await;
    let serves = fixture.wait_for_true(Duration::from_secs(40)).await;
    assert_eq!(fixture.answers(40).await, ["web-b"; 40], "True, but the standby does not answer all");
    assert!(serves.elapsed() < Duration::from_secs(10));

    // An invalid route is reported and not changed.
    fixture.lie("").await;
    let spec = json!([{"op": "remove", "path": "/spec/rules/1/backendRefs/1"}]).to_string();
    fixture.kubectl(&["patch", "httproute", "shop", "--type=json", "--patch", &spec]);
    fixture.wait_for("False RouteRefused", Duration::from_secs(20)).await;
    assert_eq!(weights(&fixture.get("httproute", "shop").await, 1), [0]);

    a_concurrent_edit_is_never_lost(&fixture).await;
}

/// Holds a lease of its own until the election is dropped.
async fn lead(client: Client) -> (Leader, JoinSet<()>) {
    let random = Random::system();
    let config = LeaseConfig {
        namespace: "default".to_owned(),
        name: "test".to_owned(),
        identity: identity("test", &random),
        params: LeaseParams::default(),
    };
    let (elector, leader) = elect(client, config, Clock::system(), random);
    let mut election = JoinSet::new();
    election.spawn(elector.run(std::future::pending()));
    leader.leadership().wait_for(Leadership::is_leading).await.unwrap();
    (leader, election)
}

/// An edit between the read and the write: the write fails as a whole, and the next one keeps the edit.
async fn a_concurrent_edit_is_never_lost(fixture: &Fixture) {
    fixture.stop().await;
    fixture.route();
    let shares = |primary| {
        [("primary", "web", None, primary), ("standby", "web-b", Some(80), 100 - primary)].map(
            |(backend, service, port, weight)| Share {
                backend: backend.to_owned(),
                namespace: "default".to_owned(),
                service: service.to_owned(),
                port,
                weight: Percent::clamped(weight),
            },
        )
    };
    let patch = || async {
        let seen = fixture.route_object().await;
        match plan(&Route::of(&seen).unwrap(), "main", &shares(40), &[], "shop") {
            Plan::Change(change) => change.patch,
            _ => panic!("there is something to change"),
        }
    };
    let stale = patch().await;
    // The rules swap places: an index alone would select the invalid rule.
    let swap = json!([{"op": "move", "from": "/spec/rules/1", "path": "/spec/rules/0"}]).to_string();
    fixture.kubectl(&["patch", "httproute", "shop", "--type=json", "--patch", &swap]);
    let edited = fixture.get("httproute", "shop").await;
    let client = fixture.client.clone();
    let (leader, _election) = lead(client.clone()).await;
    let permit = || leader.permit(Duration::from_secs(10));
    let error = actuate::patch_route(&client, "default", "shop", stale, &permit()).await.unwrap_err();
    assert!(actuate::is_stale(&error), "{error:?}");
    assert_eq!(fixture.get("httproute", "shop").await.get("spec"), edited.get("spec"));
    // On the present route the write succeeds, and changes the right rule.
    let write = || async { actuate::patch_route(&client, "default", "shop", patch().await, &permit()).await };
    let mut written = write().await;
    // The stand-in writes its status for the edited route at any time, which makes what was read stale.
    for _ in 0..5 {
        match &written {
            Err(error) if actuate::is_stale(error) => written = write().await,
            _ => break,
        }
    }
    let object = written.unwrap();
    assert_eq!(plan(&Route::of(&object).unwrap(), "main", &shares(40), &[], "shop"), Plan::InSync);
    let now = fixture.get("httproute", "shop").await;
    assert_eq!((weights(&now, 0), weights(&now, 1)), (vec![40, 60], vec![7, 3]));
    // A weight that the schema refuses is not a conflict.
    let invalid = vec![json!({"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": -1})];
    let error = actuate::patch_route(&client, "default", "shop", invalid, &permit()).await.unwrap_err();
    assert!(!actuate::is_stale(&error), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_without_a_route_equivalent_become_a_policy_which_must_be_accepted() {
    let mut fixture = Fixture::set().await;
    fixture.install_gateway_api();
    fixture.stand_in();
    fixture.route();
    fixture.traffic(&json!({"algorithm": "RoundRobin", "retries": {"attempts": 1}}));
    fixture.plimsoll(None).await;

    // A cluster without Envoy Gateway: the weights are right, but other fields of spec.traffic are not in force.
    fixture.wait_for("False PolicyNotServed", Duration::from_secs(40)).await;
    assert!(fixture.message().await.contains("which algorithm, retries of spec.traffic needs"));
    assert_eq!(weights(&fixture.get("httproute", "shop").await, 1), [100, 0]);

    // Envoy Gateway is installed while Plimsoll runs.
    fixture.install_envoy_gateway();
    let pending = "Unknown RouteProgressing: no controller has accepted BackendTrafficPolicy web yet";
    fixture.wait_for(pending, Duration::from_secs(40)).await;
    let written = fixture.get("backendtrafficpolicy", "web").await;
    let at = |path: &str| written.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/spec/loadBalancer/type"), "RoundRobin");
    assert_eq!(at("/spec/retry/numRetries"), 1);
    assert_eq!(
        (at("/spec/targetRefs/0/name"), at("/spec/targetRefs/0/sectionName")),
        (json!("shop"), json!("main"))
    );
    assert_eq!(at("/metadata/ownerReferences/0/kind"), "ScalableService");

    // A condition without a generation, or of an older one, does not count.
    fixture.policy_is("True", "Accepted", 0);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(fixture.status().await.starts_with("Unknown RouteProgressing"), "{}", fixture.status().await);
    fixture.policy_is("True", "Accepted", 1);
    fixture.wait_for_true(Duration::from_secs(20)).await;
    assert!(fixture.message().await.ends_with("BackendTrafficPolicy web (algorithm, retries) is accepted"));

    // A foreign edit is reverted, and the earlier acceptance no longer counts.
    let edit = json!({"spec": {"retry": {"numRetries": 9}}}).to_string();
    fixture.kubectl(&["patch", "backendtrafficpolicy", "web", "--type=merge", "--patch", &edit]);
    fixture.wait_for("Unknown RouteProgressing", Duration::from_secs(30)).await;
    let now = fixture.get("backendtrafficpolicy", "web").await;
    assert_eq!(now.pointer("/spec"), written.pointer("/spec"));
    assert_eq!(now.pointer("/metadata/generation"), Some(&json!(3)), "written, edited, reverted");
    fixture.policy_is("False", "Conflicted", 3);
    fixture.wait_for("False PolicyNotAccepted", Duration::from_secs(30)).await;
    assert!(fixture.message().await.contains("(Conflicted): set by the test"), "{}", fixture.message().await);

    // The policy is deleted once no field needs it.
    fixture.traffic(&json!({"algorithm": null, "retries": null}));
    fixture.wait_for_true(Duration::from_secs(20)).await;
    assert_eq!(fixture.kubectl(&["get", "backendtrafficpolicies", "--output=name"]), "");

    // A foreign policy has the same name.
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "shop"});
    let mut foreign = json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
        "metadata": {"name": "web", "namespace": "default"}, "spec": {"targetRefs": [target]}});
    fixture.apply(&foreign.to_string());
    fixture.traffic(&json!({"slowStart": "5s"}));
    fixture.wait_for("False PolicyFailed", Duration::from_secs(20)).await;
    assert!(fixture.message().await.contains("does not belong to this ScalableService"));
    let left = fixture.get("backendtrafficpolicy", "web").await;
    assert_eq!(left.pointer("/spec"), foreign.pointer("/spec"));

    // Envoy Gateway's own definition accepts every value that a user may set, and knows every field.
    for traffic in EVERY_FIELD {
        let mut fields: Value = serde_json::from_str(traffic).unwrap();
        fields["provider"] = json!("Gateway");
        fields["gateway"] = json!({"httpRoute": "shop", "rule": "main"});
        let traffic: Traffic = serde_json::from_value(fields).unwrap();
        foreign["metadata"]["name"] = json!("every-field");
        foreign["spec"] = policy(&traffic, traffic.gateway.as_ref().unwrap()).unwrap();
        fixture.takes(&foreign).unwrap_or_else(|error| panic!("{foreign}: {error}"));
    }
    foreign["spec"]["loadBalancer"]["unheard"] = json!("of");
    let refused = fixture.takes(&foreign).unwrap_err();
    assert!(refused.contains("unheard"), "control: {refused}");
}

const EVERY_FIELD: &[&str] = &[
    r#"{"algorithm": "RoundRobin", "slowStart": "1500ms"}"#,
    r#"{"algorithm": "RandomOfTwo", "slowStart": "10m"}"#,
    r#"{"algorithm": "LeastConnections", "slowStart": "1m"}"#,
    r#"{"algorithm": "SourceHash", "retries": {"attempts": 0}}"#,
    r#"{"healthCheck": {}, "retries": {"attempts": 10, "retryOn": ["ConnectFailure"]}}"#,
    r#"{"healthCheck": {"path": "/fit", "interval": "100ms", "rise": 10, "fall": 1,
        "passive": {"consecutiveErrors": 1000}}}"#,
];
