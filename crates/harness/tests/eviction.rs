//! An eviction applies to one pod, not to a successor of the same name.

// A panic fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use plimsoll::actuate::Evictor;
use plimsoll_harness::{
    apiserver::{Effect, Scope},
    election::lead,
    world::World,
};
use tokio::time::sleep;

const POD: &str =
    "{apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: shop}, spec: {containers: []}}";

/// The pod terminates before its eviction arrives, and a StatefulSet creates a new pod of the same name.
#[tokio::test(start_paused = true)]
async fn eviction_does_not_affect_a_new_pod_of_the_same_name() {
    let world = World::default();
    let leader = lead(&world.server, world.clock.clone()).await;
    let permit = leader.permit(Duration::from_secs(10));
    let evictor = Evictor::new(world.server.client_without_retries("plimsoll-0"));
    world.objects.apply(POD);
    let since = world.clock.now();
    let evictions = Scope::all().resource("pods").subresource("eviction");
    let late = world.server.fault(evictions, Effect::Latency(Duration::from_secs(2)));
    let replaced = async {
        sleep(Duration::from_secs(1)).await;
        world.objects.delete("pods", "shop", "web-0");
        world.objects.apply(POD);
    };
    let (evicted, ()) = tokio::join!(evictor.evict("shop", "web-0", since, &permit), replaced);
    assert!(evicted.is_ok(), "the old pod no longer exists: {evicted:?}");
    assert!(world.objects.get("pods", "shop", "web-0").is_some(), "the new pod was evicted");

    // Control: without a successor the same call evicts.
    late.end();
    let since = world.clock.now();
    evictor.evict("shop", "web-0", since, &permit).await.unwrap();
    assert!(world.objects.get("pods", "shop", "web-0").is_none());
}
