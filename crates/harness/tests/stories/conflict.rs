//! Two scalers with one target: the older ScalableService, or a scaler of another kind, keeps it.

use std::time::Duration;

use plimsoll_harness::{
    apiserver::Kind,
    history::{History, Version},
    world::World,
};
use serde_json::json;
use tokio::time::sleep;

use crate::manifests::{DialService, autoscaler, deployment, dial};

const NAMESPACE: &str = "life-conflict";
const SOON: Duration = Duration::from_secs(10);
/// The operator checks for KEDA every 15 s, and then lists its objects immediately.
const KEDA_FOUND: Duration = Duration::from_secs(40);

const SCALED_OBJECT: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web-so, namespace: life-conflict}
spec: {scaleTargetRef: {name: web}, triggers: [{type: cpu, metricType: Utilization, metadata: {value: "50"}}]}
"#;

#[tokio::test(start_paused = true)]
async fn hpa_older_service_or_scaled_object_keeps_its_target_until_deleted() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    deployment(&world, NAMESPACE, "web", 3);
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    autoscaler(&world, NAMESPACE, "web");
    DialService::on(NAMESPACE, "web").apply(&world);
    let target = world.follow("deployments", NAMESPACE, "web");
    let service = world.follow("scalableservices", NAMESPACE, "web");
    kept_by(&world, "web", &target, "HorizontalPodAutoscaler web-hpa", SOON, 3).await;
    world.objects.delete("horizontalpodautoscalers", NAMESPACE, "web-hpa");
    works(&service, &target, 6).await;

    DialService { target: "web", min: 9, ..DialService::on(NAMESPACE, "a-younger") }.apply(&world);
    kept_by(&world, "a-younger", &target, "ScalableService web", SOON, 6).await;
    world.prometheus.set(&dial(NAMESPACE), 45.0);
    works(&service, &target, 5).await;
    world.objects.delete("scalableservices", NAMESPACE, "web");
    works(&world.follow("scalableservices", NAMESPACE, "a-younger"), &target, 9).await;
    world.objects.delete("scalableservices", NAMESPACE, "a-younger");

    world.server.serve(Kind::custom("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", json!({})));
    DialService::on(NAMESPACE, "web").apply(&world);
    works(&service, &target, 5).await;
    world.objects.apply(SCALED_OBJECT);
    kept_by(&world, "web", &target, "ScaledObject web-so", KEDA_FOUND, 5).await;
    world.prometheus.set(&dial(NAMESPACE), 25.0);
    target.stays("untouched", Duration::from_secs(3), |version| version.replicas() == 5).await;
    world.objects.delete("scaledobjects", NAMESPACE, "web-so");
    works(&service, &target, 3).await;
    assert_eq!(target.replicas(), [3, 6, 5, 9, 5, 3]);
}

/// The service reports the scaler that keeps the target, and does not touch the target.
async fn kept_by(
    world: &World,
    name: &str,
    target: &History<'_>,
    keeper: &str,
    within: Duration,
    replicas: i64,
) {
    let service = world.follow("scalableservices", NAMESPACE, name);
    service
        .wait(&format!("in conflict with {keeper}"), within, |version| {
            let ready = version.condition("Ready");
            ready.starts_with("False ScalerConflict") && ready.contains(keeper)
        })
        .await;
    let generation = target.last().generation();
    target
        .stays("untouched", Duration::from_secs(3), |version| {
            version.generation() == generation && version.replicas() == replicas
        })
        .await;
    world.explain(NAMESPACE, name, &[keeper]).await;
}

/// The service recovers after the other scaler is deleted.
async fn works(service: &History<'_>, target: &History<'_>, replicas: i64) {
    target.wait(&format!("at {replicas}"), SOON, |version| version.replicas() == replicas).await;
    service.wait("ready", SOON, |version| version.condition("Ready").starts_with("True")).await;
}

/// A period that is longer than a story, so that only an event triggers a turn.
const SELDOM: &str = "10m";

#[tokio::test(start_paused = true)]
async fn late_target_is_scaled_as_soon_as_it_exists() {
    let world = World::default();
    let _operator = world.operator("plimsoll-0");
    world.prometheus.set(&dial(NAMESPACE), 55.0);
    DialService { period: SELDOM, ..DialService::on(NAMESPACE, "web") }.apply(&world);
    let service = world.follow("scalableservices", NAMESPACE, "web");
    let missing = |version: &Version| version.condition("Ready").starts_with("False TargetNotFound");
    service.wait("without a target", SOON, missing).await;
    sleep(Duration::from_secs(60)).await;
    deployment(&world, NAMESPACE, "web", 3);
    let target = world.follow("deployments", NAMESPACE, "web");
    target.wait("at 6", Duration::from_secs(2), |version| version.replicas() == 6).await;
    service.wait("ready", SOON, |version| version.condition("Ready").starts_with("True")).await;
    world.objects.delete("deployments", NAMESPACE, "web");
    service.wait("without a target", Duration::from_secs(2), missing).await;
}

/// Another scaler of a target.
#[derive(Clone, Copy, Debug)]
enum Other {
    Autoscaler,
    OlderService,
    ScaledObject,
}

impl Other {
    fn create(self, world: &World) {
        match self {
            Self::Autoscaler => autoscaler(world, NAMESPACE, "web"),
            Self::OlderService => {
                DialService { target: "web", period: SELDOM, ..DialService::on(NAMESPACE, "older") }
                    .apply(world);
            }
            Self::ScaledObject => world.objects.apply(SCALED_OBJECT),
        }
    }

    fn delete(self, world: &World) {
        let (plural, name) = match self {
            Self::Autoscaler => ("horizontalpodautoscalers", "web-hpa"),
            Self::OlderService => ("scalableservices", "older"),
            Self::ScaledObject => ("scaledobjects", "web-so"),
        };
        world.objects.delete(plural, NAMESPACE, name);
    }
}

#[tokio::test(start_paused = true)]
async fn service_in_conflict_scales_as_soon_as_the_other_scaler_is_deleted() {
    for other in [Other::Autoscaler, Other::OlderService, Other::ScaledObject] {
        let world = World::default();
        world.server.serve(Kind::custom("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", json!({})));
        let _operator = world.operator("plimsoll-0");
        world.prometheus.set(&dial(NAMESPACE), 25.0);
        deployment(&world, NAMESPACE, "web", 3);
        other.create(&world);
        // The older of two services keeps the target, and their ages are compared in seconds.
        sleep(Duration::from_secs(2)).await;
        DialService { period: SELDOM, min: 6, ..DialService::on(NAMESPACE, "web") }.apply(&world);
        let service = world.follow("scalableservices", NAMESPACE, "web");
        let conflict = |version: &Version| version.condition("Ready").starts_with("False ScalerConflict");
        service.wait(&format!("in conflict with {other:?}"), SOON, conflict).await;
        sleep(Duration::from_secs(60)).await;
        let target = world.follow("deployments", NAMESPACE, "web");
        assert_eq!(target.last().replicas(), 3, "{other:?} keeps the target");
        other.delete(&world);
        let should = format!("at 6 once {other:?} is deleted");
        target.wait(&should, Duration::from_secs(2), |version| version.replicas() == 6).await;
        sleep(Duration::from_secs(60)).await;
        if matches!(other, Other::OlderService) {
            // A service that is created now is the younger one.
            continue;
        }
        other.create(&world);
        service.wait(&format!("in conflict with {other:?} again"), Duration::from_secs(3), conflict).await;
    }
}
