//! The engine's memory of a service, and the events that invalidate it.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::{Effect, Kind, Scope},
    history::{History, Version},
    world::World,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::manifests::{DialService, deployment, dial};

const NAMESPACE: &str = "memory";
/// scaleDown.stabilizationWindowSeconds.
const WINDOW: u64 = 120;
const ORDERS: &str = r#"sum(orders{namespace="memory"})"#;
const CPU: &str = r#"avg(cpu_used{namespace="memory"})"#;

/// A service at 10 replicas, which its KPI `cpu` justifies; its load alone needs 3. The cpu has just fallen so that it needs
/// 4.
struct Fallen {
    fell: Instant,
}

impl Fallen {
    async fn begin(world: &World, kind: &str, target: &History<'_>) -> Self {
        world.prometheus.set(ORDERS, 300.0);
        world.prometheus.set(CPU, 0.7);
        world.objects.apply(&format!(
            r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: web, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{{kind}, name: web}}
  maxReplicas: 20
  period: 1s
  kpis:
  - {{name: orders, type: Load, query: '{ORDERS}', perReplica: "100"}}
  - {{name: cpu, type: Utilization, query: '{CPU}', target: "0.7"}}
  behavior: {{scaleDown: {{stabilizationWindowSeconds: {WINDOW}}}}}
"#
        ));
        // Longer than the window, so that the load's history fills it.
        target.stays("at 10", Duration::from_secs(WINDOW + 10), |target| target.replicas() == 10).await;
        world.prometheus.set(CPU, 0.25);
        let fell = Instant::now();
        target.stays("at 10", Duration::from_secs(10), |target| target.replicas() == 10).await;
        Self { fell }
    }

    /// The replicas stay until the end of the window. Then they follow the cpu `within` a time.
    async fn is_followed_after_the_window(&self, target: &History<'_>, within: Duration) {
        let left = Duration::from_secs(WINDOW - 1).saturating_sub(self.fell.elapsed());
        target.stays("at 10 for the window", left, |target| target.replicas() == 10).await;
        target.wait("at 4 after the window", within, |target| target.replicas() == 4).await;
        assert_eq!(target.replicas(), [10, 4]);
    }
}

const DEPLOYMENT: &str = "kind: Deployment";

/// A new leader recovers only the history of the load: past proposals of a Utilization can't be recovered.
#[tokio::test(start_paused = true)]
async fn replicas_justified_by_a_utilization_are_kept_for_a_window_after_a_change_of_leader() {
    let world = World::default();
    let leader = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 10);
    let target = world.follow("deployments", NAMESPACE, "web");
    let fallen = Fallen::begin(&world, DEPLOYMENT, &target).await;
    leader.kill().await;
    let _follower = world.operator("plimsoll-1");
    fallen.is_followed_after_the_window(&target, Duration::from_secs(60)).await;
}

/// There was no other leader meanwhile, so the memory is kept and the end of the window does not change.
#[tokio::test(start_paused = true)]
async fn api_server_outage_with_a_lost_lease_keeps_the_memory() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 10);
    let target = world.follow("deployments", NAMESPACE, "web");
    let fallen = Fallen::begin(&world, DEPLOYMENT, &target).await;
    // The leader keeps the lease for 10 s without a renewal.
    let away = world.server.outage();
    sleep(Duration::from_secs(20)).await;
    away.end();
    fallen.is_followed_after_the_window(&target, Duration::from_secs(5)).await;
}

/// The load during the outage is unknown, so the replicas are kept for a window from the first turn after the outage.
#[tokio::test(start_paused = true)]
async fn replicas_are_kept_for_a_window_after_a_long_api_server_outage() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 10);
    let target = world.follow("deployments", NAMESPACE, "web");
    Fallen::begin(&world, DEPLOYMENT, &target).await;
    let away = world.server.outage();
    world.prometheus.set(CPU, 0.7);
    sleep(Duration::from_secs(2 * WINDOW)).await;
    world.prometheus.set(CPU, 0.25);
    away.end();
    let window = Duration::from_secs(WINDOW - 1);
    target.stays("at 10 for a window", window, |target| target.replicas() == 10).await;
    target.wait("at 4 after it", Duration::from_secs(20), |target| target.replicas() == 4).await;
}

#[tokio::test(start_paused = true)]
async fn failed_read_of_a_custom_resources_scale_keeps_the_memory() {
    let world = World::default();
    let workers = Kind::custom("example.com", "v1", "Worker", "workers", json!({}));
    world.server.serve(workers.with_scale());
    let _operator = world.operator("plimsoll-0");
    world.objects.apply(&format!(
        "{{apiVersion: example.com/v1, kind: Worker, metadata: {{name: web, namespace: {NAMESPACE}}}, spec: {{replicas: 10}}}}"
    ));
    world.objects.patch_status("workers", NAMESPACE, "web", json!({"status": {"replicas": 10}}));
    let target = world.follow("workers", NAMESPACE, "web");
    let fallen = Fallen::begin(&world, "apiVersion: example.com/v1, kind: Worker", &target).await;
    for scope in [Scope::all().verb("get").resource("workers"), Scope::all().verb("discover")] {
        let failed = world.server.fault(scope, Effect::Status { code: 500, retry_after: None });
        let service = world.follow("scalableservices", NAMESPACE, "web");
        // Discovery is repeated after a minute at the latest.
        let refused = Duration::from_secs(70);
        service.wait("refused", refused, |version| version.condition("Ready").contains("ScaleFailed")).await;
        failed.end();
        service
            .wait("ready", Duration::from_secs(5), |version| version.condition("Ready").starts_with("True"))
            .await;
    }
    fallen.is_followed_after_the_window(&target, Duration::from_secs(5)).await;
}

/// The second object immediately follows the first one, under the same name.
#[tokio::test(start_paused = true)]
async fn recreated_service_has_no_memory_of_its_predecessor() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 4);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    let service = DialService { window: 20, ..DialService::on(NAMESPACE, "web") };
    service.apply(&world);
    let target = world.follow("deployments", NAMESPACE, "web");
    target.wait("at 2", Duration::from_secs(40), |target| target.replicas() == 2).await;
    // Longer than the window, so that 2 are enough by the first object's whole history.
    target.stays("at 2", Duration::from_secs(30), |target| target.replicas() == 2).await;
    world.objects.delete("scalableservices", NAMESPACE, "web");
    world.objects.patch("deployments", NAMESPACE, "web", json!({"spec": {"replicas": 7}}));
    service.apply(&world);
    target.stays("at 7 for its window", Duration::from_secs(19), |target| target.replicas() == 7).await;
    target.wait("at 2 after it", Duration::from_secs(10), |target| target.replicas() == 2).await;
    let service = world.follow("scalableservices", NAMESPACE, "web");
    let scaled = |version: &Version| version.number("/status/replicas") == 2;
    let (version, _) = service.wait("at 2", Duration::from_secs(5), scaled).await;
    let first = version.0["status"]["decisions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((first["from"].as_i64(), first["to"].as_i64()), (Some(7), Some(2)), "{version:?}");
}

#[tokio::test(start_paused = true)]
async fn changed_target_keeps_its_replicas_for_a_window() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 4);
    deployment(&world, NAMESPACE, "other", 9);
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    DialService { window: 20, ..DialService::on(NAMESPACE, "web") }.apply(&world);
    let [web, other] = ["web", "other"].map(|name| world.follow("deployments", NAMESPACE, name));
    web.wait("at 2", Duration::from_secs(40), |target| target.replicas() == 2).await;
    web.stays("at 2", Duration::from_secs(30), |target| target.replicas() == 2).await;
    let change = json!({"spec": {"scaleTargetRef": {"name": "other"}}});
    world.objects.patch("scalableservices", NAMESPACE, "web", change);
    other.stays("at 9 for its window", Duration::from_secs(19), |target| target.replicas() == 9).await;
    other.wait("at 2 after it", Duration::from_secs(10), |target| target.replicas() == 2).await;

    // The same applies to another Deployment of the same name.
    other.stays("at 2", Duration::from_secs(30), |target| target.replicas() == 2).await;
    world.objects.delete("deployments", NAMESPACE, "other");
    deployment(&world, NAMESPACE, "other", 8);
    other.stays("at 8 for its window", Duration::from_secs(19), |target| target.replicas() == 8).await;
    other.wait("at 2 after it", Duration::from_secs(10), |target| target.replicas() == 2).await;
}
