//! The compared systems, and how each expresses a scaling rule.

use crate::{
    prelude::*,
    stage::{Stage, idle_deployment},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Plimsoll with `period: 1s`, the minimum; otherwise with its defaults.
    Plimsoll,
    /// Plimsoll with its defaults, including the period of 15 s.
    Defaults,
    /// KEDA with a trigger of type prometheus, and the HorizontalPodAutoscaler that it creates; with their defaults.
    Keda,
    /// The cluster's own HorizontalPodAutoscaler on the pods' CPU, with its defaults; it can't query Prometheus.
    Cpu,
}

#[derive(Debug, Clone)]
pub struct Rule<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// PromQL of a total. `Cpu` uses the CPU of its pods instead.
    pub query: &'a str,
    pub per_replica: &'a str,
    pub min: u32,
    pub max: u32,
}

impl System {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Defaults => "plimsollDefaults",
            Self::Keda => "keda",
            Self::Cpu => "hpaCpu",
        }
    }

    pub fn prefix(self) -> &'static str {
        match self {
            Self::Plimsoll => "ours",
            Self::Defaults => "defaults",
            Self::Keda => "keda",
            Self::Cpu => "cpu",
        }
    }

    pub fn names(self, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{}-{number}", self.prefix())).collect()
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Plimsoll | Self::Defaults)
    }

    pub fn manifest(self, rule: &Rule<'_>) -> String {
        let Rule { namespace, name, query, per_replica, min, max } = rule;
        match self {
            Self::Plimsoll | Self::Defaults => format!(
                r#"---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  minReplicas: {min}
  maxReplicas: {max}
{}  kpis:
  - {{name: load, type: Load, perReplica: "{per_replica}", query: '{query}'}}
"#,
                if self == Self::Plimsoll { "  period: 1s\n" } else { "" }
            ),
            Self::Keda => format!(
                r#"---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{name: {name}}}
  minReplicaCount: {min}
  maxReplicaCount: {max}
  triggers:
  - type: prometheus
    metadata: {{serverAddress: "http://prometheus.monitoring:9090", threshold: "{per_replica}", query: '{query}'}}
"#
            ),
            Self::Cpu => format!(
                r#"---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
  minReplicas: {min}
  maxReplicas: {max}
  metrics:
  - {{type: Resource, resource: {{name: cpu, target: {{type: AverageValue, averageValue: "{per_replica}"}}}}}}
"#
            ),
        }
    }

    pub fn wait(self, stage: &Stage, namespace: &str) -> Result<()> {
        let conditions: &[(&str, &str)] = match self {
            Self::Plimsoll | Self::Defaults => &[("scalableservices", "MetricsAvailable")],
            Self::Keda => &[("scaledobjects", "Ready"), ("horizontalpodautoscalers", "ScalingActive")],
            Self::Cpu => &[("horizontalpodautoscalers", "ScalingActive")],
        };
        for (kind, condition) in conditions {
            let words = format!("wait {kind} --all --for=condition={condition} --timeout=240s");
            stage.cluster.kubectl_in(namespace, &words)?;
        }
        Ok(())
    }

    pub fn remove(self, stage: &Stage, namespace: &str) -> Result<()> {
        let kind = match self {
            Self::Plimsoll | Self::Defaults => "scalableservices",
            Self::Keda => "scaledobjects",
            Self::Cpu => "horizontalpodautoscalers",
        };
        stage.cluster.kubectl_in(namespace, &format!("delete {kind} --all")).map(drop)
    }
}

/// Waits until the API server can query a metrics API. The error has the last condition of its APIService.
pub fn wait_for_api(stage: &Stage, name: &str) -> Result<()> {
    wait_for(&format!("the API {name}"), Duration::from_secs(240), || {
        let api = stage.cluster.get("default", "apiservice", name)?;
        ensure!(api.is("Available"), "{}", api.says("Available"));
        Ok(true)
    })
}

/// A Deployment that fits no node: its pods stay Pending and cost no memory, so that only the scaling
/// is measured.
pub fn unschedulable(namespace: &str, name: &str, replicas: u32) -> String {
    idle_deployment(namespace, name, replicas, "{plimsoll.dev/bench: nowhere}")
}
