//! The systems that are compared, and one rule in the words of each.

use anyhow::Result;

use crate::stage::Stage;

/// Who scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Plimsoll with `period: 1s`, the shortest that it allows; all else by default.
    Plimsoll,
    /// KEDA with a trigger of type prometheus, and the HorizontalPodAutoscaler that it makes; all by default.
    Keda,
}

/// One Deployment to be scaled.
#[derive(Debug, Clone)]
pub struct Rule<'a> {
    /// Of the Deployment and of what scales it.
    pub namespace: &'a str,
    /// Of both.
    pub name: &'a str,
    /// PromQL of a total.
    pub query: &'a str,
    /// What one replica carries of it.
    pub per_replica: u32,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
}

impl System {
    /// Key of its figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Keda => "keda",
        }
    }

    /// A part of objects' names.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Plimsoll => "ours",
            Self::Keda => "theirs",
        }
    }

    /// The manifest of a rule.
    #[must_use]
    pub fn manifest(self, rule: &Rule<'_>) -> String {
        let Rule { namespace, name, query, per_replica, min, max } = rule;
        match self {
            Self::Plimsoll => format!(
                r#"---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  minReplicas: {min}
  maxReplicas: {max}
  period: 1s
  kpis:
  - {{name: load, type: Load, perReplica: "{per_replica}", query: '{query}'}}
"#
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
        }
    }

    /// Waits until it reads the metrics of everything that it scales in a namespace.
    pub fn wait(self, stage: &Stage, namespace: &str) -> Result<()> {
        let conditions: &[(&str, &str)] = match self {
            Self::Plimsoll => &[("scalableservices", "MetricsAvailable")],
            Self::Keda => &[("scaledobjects", "Ready"), ("horizontalpodautoscalers", "ScalingActive")],
        };
        for (kind, condition) in conditions {
            let condition = format!("--for=condition={condition}");
            let arguments = ["--namespace", namespace, "wait", kind, "--all", &condition, "--timeout=240s"];
            stage.cluster.kubectl(&arguments)?;
        }
        Ok(())
    }

    /// Removes everything with which it scales in a namespace.
    pub fn remove(self, stage: &Stage, namespace: &str) -> Result<()> {
        let kind = match self {
            Self::Plimsoll => "scalableservices",
            Self::Keda => "scaledobjects",
        };
        stage.cluster.kubectl(&["--namespace", namespace, "delete", kind, "--all", "--wait"]).map(drop)
    }
}

/// A Deployment of one replica that no node takes: its pods stay Pending and cost no memory, and nothing but the
/// scaling is measured.
#[must_use]
pub fn unschedulable(namespace: &str, name: &str) -> String {
    format!(
        r#"---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      nodeSelector: {{plimsoll.dev/bench: nowhere}}
      containers: [{{name: pause, image: "{}", imagePullPolicy: Never}}]
"#,
        crate::cluster::PAUSE_IMAGE
    )
}
