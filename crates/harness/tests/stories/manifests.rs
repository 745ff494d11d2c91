//! The manifests of the stories.

use plimsoll_harness::world::World;
use serde_json::{Value, json};

/// A Deployment of `replicas` pods.
pub fn deployment(world: &World, namespace: &str, name: &str, replicas: u32) {
    world.objects.apply(&format!(
        r"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app, image: app}}]}}
"
    ));
}

/// A HorizontalPodAutoscaler `NAME-hpa` on a Deployment.
pub fn autoscaler(world: &World, namespace: &str, deployment: &str) {
    world.objects.apply(&format!(
        r"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {deployment}-hpa, namespace: {namespace}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {deployment}}}
  minReplicas: 1
  maxReplicas: 10
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
"
    ));
}

/// A `spec.traffic` with HAProxy and one listener; `more` is merged into it.
pub fn traffic(more: &Value) -> Value {
    let mut traffic = json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]});
    json_patch::merge(&mut traffic, more);
    traffic
}

/// The load that [`DialService`] follows, as PromQL.
pub fn dial(namespace: &str) -> String {
    format!(r#"sum(shop_queue_jobs{{namespace="{namespace}", app="dial"}})"#)
}

/// A ScalableService on a load that the story sets: one replica for each 10 of it.
pub struct DialService<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The Deployment that it scales.
    pub target: &'a str,
    /// minReplicas.
    pub min: u32,
    /// Auto, Observe or Paused.
    pub mode: &'a str,
    /// scaleDown.stabilizationWindowSeconds.
    pub window: u32,
    /// The longest time between two turns.
    pub period: &'a str,
    /// scaleUp.
    pub up: &'a str,
}

impl<'a> DialService<'a> {
    /// For a Deployment of the same name: from 1 to 10 replicas, without delay in both directions.
    pub fn on(namespace: &'a str, name: &'a str) -> Self {
        let (target, mode, period, up) = (name, "Auto", "1s", "{}");
        Self { namespace, name, target, min: 1, mode, window: 0, period, up }
    }

    /// Applies the ScalableService.
    pub fn apply(&self, world: &World) {
        let Self { namespace, name, target, min, mode, window, period, up } = self;
        let query = dial(namespace);
        world.objects.apply(&format!(
            r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  mode: {mode}
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}
  minReplicas: {min}
  maxReplicas: 10
  period: {period}
  kpis:
  - {{name: dial, type: Load, query: '{query}', perReplica: "10"}}
  behavior: {{scaleUp: {up}, scaleDown: {{stabilizationWindowSeconds: {window}}}}}
"#
        ));
    }
}
