//! Marks on the pods to be deleted first (`pod-deletion-cost`), and their removal.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::{Effect, Scope},
    world::World,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::manifests::{DialService, deployment, dial, traffic};

const NAMESPACE: &str = "marks";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The deletion costs of the marked pods.
fn costs(world: &World) -> Vec<String> {
    let pods = world.objects.list("pods", NAMESPACE);
    let cost = |pod: &Value| pod["metadata"]["annotations"][COST].as_str().map(str::to_owned);
    pods.iter().filter_map(cost).collect()
}

/// Pods are drained and marked, but the scale can't be written. Then the service is deleted, or loses `spec.traffic`.
#[tokio::test(start_paused = true)]
async fn pods_no_longer_due_for_deletion_lose_their_mark() {
    for deleted in [true, false] {
        let world = World::default();
        let _operator = world.operator_with_balancers("plimsoll-0");
        deployment(&world, NAMESPACE, "web", 4);
        world.prometheus.set(&dial(NAMESPACE), 35.0);
        DialService::on(NAMESPACE, "web").apply(&world);
        let traffic = traffic(&json!({"drain": {"timeout": "5s"}}));
        world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": traffic}}));
        let service = world.follow("scalableservices", NAMESPACE, "web");
        let balanced = Duration::from_secs(20);
        service
            .wait("balanced", balanced, |version| version.number("/status/traffic/readyBalancers") == 2)
            .await;
        let scales = Scope::all().verb("update").resource("deployments").subresource("scale");
        let _refused = world.server.fault(scales, Effect::Status { code: 403, retry_after: None });
        world.prometheus.set(&dial(NAMESPACE), 15.0);
        let marked = || (costs(&world).len() == 2).then_some(());
        world.until("two pods are marked", Duration::from_secs(30), marked).await;
        sleep(Duration::from_secs(120)).await;
        assert_eq!(costs(&world).len(), 2, "the service still drains them");
        if deleted {
            world.objects.delete("scalableservices", NAMESPACE, "web");
        } else {
            world.objects.patch("scalableservices", NAMESPACE, "web", json!({"spec": {"traffic": null}}));
        }
        let unmarked = || costs(&world).is_empty().then_some(());
        world.until("no pod is marked", Duration::from_secs(120), unmarked).await;
    }
}
