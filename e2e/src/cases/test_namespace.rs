//! A namespace for one case: idle workloads, a dial for the load, and a log of an object's versions.

mod watch_log;

use super::Fixture;
use crate::{
    prelude::*,
    stage::{Dial, Stage, idle_deployment, scalable_service},
};

pub use watch_log::{Snapshot, WatchLog};

/// A new namespace, deleted without waiting when the case is over.
pub struct TestNamespace<'a> {
    fixture: &'a Fixture,
    pub stage: &'a Stage,
    pub namespace: &'static str,
}

impl<'a> TestNamespace<'a> {
    pub fn open(fixture: &'a Fixture, namespace: &'static str) -> Result<Self> {
        fixture.stage.fresh_namespace(namespace)?;
        Ok(Self { fixture, stage: &fixture.stage, namespace })
    }

    /// kubectl in this namespace; blanks separate its arguments.
    pub fn kubectl(&self, words: &str) -> Result<String> {
        self.stage.cluster.kubectl_in(self.namespace, words)
    }

    pub fn patch(&self, object: &str, patch: &Value) -> Result<()> {
        self.stage.cluster.patch(self.namespace, object, patch)
    }

    /// Waits until all pods of a Deployment are of its newest template, and available.
    pub fn rolled_out(&self, deployment: &str, within: Duration) -> Result<()> {
        self.stage.cluster.rolled_out(self.namespace, deployment, within)
    }

    pub fn dial(&self) -> Result<Dial> {
        Dial::deploy(self.stage, self.namespace)
    }

    /// Applies YAML whose objects name this namespace.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.stage.cluster.apply(yaml).map(drop)
    }

    /// A HorizontalPodAutoscaler `NAME-hpa` on a Deployment. It never acts: the cluster serves no resource metrics.
    pub fn autoscale(&self, deployment: &str) -> Result<()> {
        let namespace = self.namespace;
        self.apply(&format!(
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
        ))
    }

    pub fn secret(&self, name: &str, type_: &str, data: &Value) -> Result<()> {
        let metadata = json!({"name": name, "namespace": self.namespace});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "stringData": data});
        self.apply(&secret.to_string())
    }

    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.stage.cluster.get(self.namespace, kind, name)
    }

    pub fn follow(&self, kind: &str, name: &str) -> Result<WatchLog> {
        WatchLog::of(&self.stage.cluster, self.namespace, kind, name)
    }

    pub fn explain(&self, name: &str, words: &[&str]) -> Result<()> {
        self.fixture.explain(self.namespace, name, words)
    }

    /// `kubectl plimsoll` in this namespace, found by kubectl in the PATH as a user's is.
    pub fn plugin(&self, arguments: &[&str]) -> Result<String> {
        self.stage.plugin(self.namespace, arguments)
    }

    /// Waits until a ScalableService has Ready=True for its newest spec.
    pub fn wait_ready(&self, name: &str, within: Duration) -> Result<()> {
        let timeout = within.as_secs();
        self.kubectl(&format!("wait --for=condition=Ready scalableservice/{name} --timeout={timeout}s"))?;
        Ok(())
    }

    /// A Deployment of idle programs, which are ready immediately.
    pub fn idle_deployment(&self, name: &str, replicas: u32) -> Result<()> {
        self.apply(&idle_deployment(self.namespace, name, replicas, "{}"))?;
        self.rolled_out(name, Duration::from_secs(60))
    }
}

impl Drop for TestNamespace<'_> {
    fn drop(&mut self) {
        let arguments = ["delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"];
        if let Err(error) = self.stage.cluster.kubectl(&arguments) {
            eprintln!("failed to delete namespace {}: {error:#}", self.namespace);
        }
    }
}

/// A ScalableService on the namespace's dial: one replica for each 10 of it, an evaluation every second.
pub struct DialService<'a> {
    pub name: &'a str,
    /// apiVersion, kind and name of the target.
    pub target: (&'a str, &'a str, &'a str),
    pub window: u32,
}

impl<'a> DialService<'a> {
    /// On a Deployment of the same name: from 1 to 10 replicas, with immediate scale-down.
    pub fn on(name: &'a str) -> Self {
        Self { name, target: ("apps/v1", "Deployment", name), window: 0 }
    }

    pub fn apply(&self, test: &TestNamespace<'_>) -> Result<()> {
        let (namespace, (version, kind, target)) = (test.namespace, self.target);
        let target = format!("{{apiVersion: {version}, kind: {kind}, name: {target}}}");
        let (query, window) = (Dial::query(namespace), self.window);
        let spec = format!(
            "kpis: [{{name: dial, type: Load, query: '{query}', perReplica: \"10\"}}]\n\
             behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}"
        );
        test.apply(&scalable_service((namespace, self.name), &target, 1..=10, &spec))
    }
}
