//! The objects of balancers: ownership of their replicas, missing permissions, interrupted removal.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::{Effect, Scope},
    history::Version,
    world::{World, setup},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::manifests::{DialService, deployment, dial, traffic};

const NAMESPACE: &str = "balancers";
const SOON: Duration = Duration::from_secs(30);

/// A service `web` with balancers; `more` is merged into its `spec.traffic`.
fn serve(world: &World, more: &Value) {
    deployment(world, NAMESPACE, "web", 2);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    DialService::on(NAMESPACE, "web").apply(world);
    let traffic = traffic(more);
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": traffic}}));
}

/// Changes `spec.traffic`, and waits until that generation is applied.
async fn change(world: &World, traffic: &Value) {
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": traffic}}));
    let service = world.objects.get("scalableservices", NAMESPACE, "web").unwrap();
    let generation = service["metadata"]["generation"].to_string();
    let applied = || {
        let balancers = world.objects.get("deployments", NAMESPACE, "web-lb")?;
        let found = balancers["metadata"]["annotations"]["plimsoll.dev/applied-generation"].as_str()?;
        (found == generation).then_some(())
    };
    world.until("the spec is applied", SOON, applied).await;
    sleep(Duration::from_secs(2)).await;
}

fn replicas(world: &World) -> Option<i64> {
    world.objects.get("deployments", NAMESPACE, "web-lb")?["spec"]["replicas"].as_i64()
}

async fn until_replicas(world: &World, wanted: i64) {
    let fits = || (replicas(world) == Some(wanted)).then_some(());
    world.until(&format!("{wanted} balancers"), SOON, fits).await;
}

#[tokio::test(start_paused = true)]
async fn externally_scaled_balancers_keep_their_replicas_when_the_spec_changes() {
    let world = World::default();
    let _operator = world.operator_of("plimsoll-0", setup("plimsoll"));
    serve(&world, &json!({}));
    until_replicas(&world, 2).await;
    world.objects.patch("deployments", NAMESPACE, "web-lb", json!({"spec": {"replicas": 4}}));
    for timeout in ["20s", "40s"] {
        change(&world, &json!({"drain": {"timeout": timeout}})).await;
        assert_eq!(replicas(&world), Some(4), "{timeout}");
    }
    // Control: a number of replicas in the spec is restored after any other change.
    change(&world, &json!({"replicas": 3})).await;
    until_replicas(&world, 3).await;
    world.objects.patch("deployments", NAMESPACE, "web-lb", json!({"spec": {"replicas": 4}}));
    change(&world, &json!({"drain": {"timeout": "50s"}})).await;
    until_replicas(&world, 3).await;
}

#[tokio::test(start_paused = true)]
async fn balancers_keep_their_replicas_when_the_spec_no_longer_sets_them() {
    let world = World::default();
    let _operator = world.operator_of("plimsoll-0", setup("plimsoll"));
    serve(&world, &json!({"replicas": 3}));
    until_replicas(&world, 3).await;
    change(&world, &json!({"replicas": null})).await;
    assert_eq!(replicas(&world), Some(3));
    world.objects.patch("deployments", NAMESPACE, "web-lb", json!({"spec": {"replicas": 5}}));
    change(&world, &json!({"drain": {"timeout": "20s"}})).await;
    assert_eq!(replicas(&world), Some(5));
}

#[tokio::test(start_paused = true)]
async fn balancers_use_the_targets_priority_class_and_keep_it_after_its_deletion() {
    let world = World::default();
    let mut setup = setup("plimsoll");
    setup.pod.priority_class_name = Some("edge".to_owned());
    let _operator = world.operator_of("plimsoll-0", setup);
    serve(&world, &json!({}));
    let class = || {
        let balancers = world.objects.get("deployments", NAMESPACE, "web-lb")?;
        balancers["spec"]["template"]["spec"]["priorityClassName"].as_str().map(str::to_owned)
    };
    world.until("the operator's default", SOON, || (class()? == "edge").then_some(())).await;
    let template = json!({"spec": {"template": {"spec": {"priorityClassName": "shop-critical"}}}});
    world.objects.patch("deployments", NAMESPACE, "web", template);
    world.until("that of the target", SOON, || (class()? == "shop-critical").then_some(())).await;
    world.objects.delete("deployments", NAMESPACE, "web");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(class().as_deref(), Some("shop-critical"));
}

#[tokio::test(start_paused = true)]
async fn nearly_full_balancer_is_reported_in_a_condition() {
    let world = World::default();
    let _operator = world.operator_of("plimsoll-0", setup("plimsoll"));
    serve(&world, &json!({}));
    let service = world.follow("scalableservices", NAMESPACE, "web");
    let two = |version: &Version| version.number("/status/traffic/readyBalancers") == 2;
    service.wait("with two balancers", SOON, two).await;
    assert_eq!(service.last().condition("TrafficHeadroom"), "", "no balancer has reported yet");
    let pods = world.objects.list("pods", NAMESPACE);
    let pod = pods.iter().find(|pod| pod["metadata"]["labels"]["plimsoll.dev/balancer"] == "web").unwrap();
    for (percent, begins) in
        [(30, "True HeadroomLeft"), (92, "False BalancersSaturated"), (60, "True HeadroomLeft")]
    {
        let entry = json!({"pod": pod["metadata"]["name"], "inSync": true, "saturation": percent});
        let status = json!({"status": {"traffic": {"balancers": [entry]}}});
        world.objects.patch_status("scalableservices", NAMESPACE, "web", status);
        let reported = |version: &Version| version.condition("TrafficHeadroom").starts_with(begins);
        service.wait(begins, Duration::from_secs(60), reported).await;
    }
}

/// The existing objects of the balancers, as `PLURAL/NAME`.
fn left(world: &World) -> Vec<String> {
    let kinds =
        ["services", "serviceaccounts", "roles", "rolebindings", "poddisruptionbudgets", "deployments"];
    let named = |plural: &str| -> Vec<String> {
        let objects = world.objects.list(plural, NAMESPACE).into_iter();
        let ours = objects.filter(|object| object["metadata"]["labels"]["plimsoll.dev/balancer"] == "web");
        ours.map(|object| format!("{plural}/{}", object["metadata"]["name"].as_str().unwrap_or_default()))
            .collect()
    };
    kinds.iter().flat_map(|plural| named(plural)).collect()
}

/// Without `traffic.enabled` the chart gives the operator neither images nor permissions for balancers.
#[tokio::test(start_paused = true)]
async fn operator_without_balancers_creates_no_objects_and_names_the_chart_value() {
    let world = World::default();
    let operator = world.operator("plimsoll-0");
    serve(&world, &json!({}));
    let service = world.follow("scalableservices", NAMESPACE, "web");
    let disabled = |version: &Version| {
        let synced = version.condition("TrafficSynced");
        synced.starts_with("False") && synced.contains("traffic.enabled")
    };
    service.wait("naming traffic.enabled", SOON, disabled).await;
    service.stays("naming traffic.enabled", Duration::from_secs(60), disabled).await;
    let applies = |shape: &str| shape.starts_with("patch(apply)") && !shape.contains("scalableservices");
    let applied = world.server.calls().into_iter().filter(|call| applies(&call.shape));
    assert_eq!(applied.count(), 0, "nothing is applied");
    assert_eq!(left(&world), Vec::<String>::new());
    // Control: an operator with balancers creates them for the same service.
    operator.terminate().await;
    let _operator = world.operator_with_balancers("plimsoll-1");
    let all = || (left(&world).len() == 7).then_some(());
    world.until("all objects of the balancers", SOON, all).await;
    service.wait("no longer naming traffic.enabled", SOON, |version| !disabled(version)).await;
}

#[tokio::test(start_paused = true)]
async fn interrupted_removal_is_finished_by_the_next_operator() {
    let world = World::default();
    let first = world.operator_of("plimsoll-0", setup("plimsoll"));
    serve(&world, &json!({}));
    until_replicas(&world, 2).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(left(&world).len(), 7);
    let refused = world.server.fault(
        Scope::all().verb("delete").resource("roles"),
        Effect::Status { code: 500, retry_after: None },
    );
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": null}}));
    let begun = || (left(&world).len() < 7).then_some(());
    world.until("the removal has begun", SOON, begun).await;
    sleep(Duration::from_secs(5)).await;
    first.kill().await;
    refused.end();
    assert!(!left(&world).is_empty(), "the removal was not interrupted");
    let _second = world.operator_of("plimsoll-0", setup("plimsoll"));
    let removed = || left(&world).is_empty().then_some(());
    world.until("everything is removed", Duration::from_secs(60), removed).await;
}

/// The applied generation is read from the response to the apply: another client may change the object before the next turn.
#[tokio::test(start_paused = true)]
async fn balancers_changed_right_after_the_apply_are_repaired_in_the_next_turn() {
    let world = World::default();
    let _operator = world.operator_with_balancers("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 2);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    DialService { period: "15s", ..DialService::on(NAMESPACE, "web") }.apply(&world);
    let traffic = traffic(&json!({"replicas": 2}));
    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": traffic}}));
    let balancers = || world.objects.get("deployments", NAMESPACE, "web-lb");
    world.until("the balancers are applied", Duration::from_secs(30), balancers).await;
    world.objects.patch("deployments", NAMESPACE, "web-lb", json!({"spec": {"replicas": 7}}));
    let replicas = || balancers().and_then(|balancers| balancers["spec"]["replicas"].as_i64());
    assert_eq!(replicas(), Some(7));
    let repaired = || (replicas() == Some(2)).then_some(());
    world.until("the balancers are repaired", Duration::from_secs(30), repaired).await;
}
