//! Objects that the operator can't read, since they predate a schema or bypassed it.

use std::time::Duration;

use plimsoll_harness::world::World;
use serde_json::json;

use crate::manifests::{DialService, deployment, dial};

const NAMESPACE: &str = "life-unreadable";
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn unreadable_service_claims_no_target_and_has_no_ready_metric() {
    let world = World::default();
    let operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 3);
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    DialService::on(NAMESPACE, "web").apply(&world);
    let target = world.follow("deployments", NAMESPACE, "web");
    target.wait("scaled by the first service", SOON, |version| version.replicas() == 6).await;
    let ready = |name: &str| {
        operator.metric(&format!(
            "plimsoll_condition{{namespace=\"{NAMESPACE}\",name=\"{name}\",type=\"Ready\",status=\"True\"}}"
        ))
    };
    world.until("ready in the metrics", SOON, || ready("web").filter(|ready| ready == "1.0")).await;
    DialService { target: "web", min: 9, ..DialService::on(NAMESPACE, "younger") }.apply(&world);
    let younger = world.follow("scalableservices", NAMESPACE, "younger");
    younger
        .wait("in conflict", SOON, |version| version.condition("Ready").starts_with("False ScalerConflict"))
        .await;

    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"maxReplicas": "many"}}));
    world.until("without metrics", SOON, || ready("web").is_none().then_some(())).await;
    target.wait("scaled by the other service", SOON, |version| version.replicas() == 9).await;
    younger.wait("ready", SOON, |version| version.condition("Ready").starts_with("True")).await;

    world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"maxReplicas": 10}}));
    world.until("ready in the metrics again", SOON, || ready("web").filter(|ready| ready == "1.0")).await;
}
