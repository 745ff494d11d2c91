//! A namespace for one case: workloads that cost nothing, a dial that is the load, and the trail of an object.

mod trail;

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

pub use trail::{Sight, Trail};

use super::Theatre;
use crate::{
    cluster::PAUSE_IMAGE,
    process::{finish, wait_for},
    stage::{Stage, queue, service_url},
};

/// A namespace that is made anew and deleted, without waiting, when the case is over.
pub struct Scene<'a> {
    theatre: &'a Theatre,
    /// The cluster.
    pub stage: &'a Stage,
    /// Its name.
    pub namespace: &'static str,
}

impl<'a> Scene<'a> {
    /// An empty namespace.
    pub fn open(theatre: &'a Theatre, namespace: &'static str) -> Result<Self> {
        theatre.stage.fresh_namespace(namespace)?;
        Ok(Self { theatre, stage: &theatre.stage, namespace })
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all: Vec<&str> = ["--namespace", self.namespace].iter().chain(arguments).copied().collect();
        self.stage.cluster.kubectl(&all)
    }

    /// Applies YAML whose objects name this namespace.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.stage.cluster.apply(yaml).map(drop)
    }

    /// A HorizontalPodAutoscaler `NAME-hpa` on a Deployment. It never acts: there are no metrics of resources here.
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

    /// An object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.stage.get(self.namespace, kind, name)
    }

    /// What becomes of an object from now on.
    pub fn follow(&self, kind: &str, name: &str) -> Result<Trail> {
        Trail::of(&self.stage.cluster, self.namespace, kind, name)
    }

    /// [`Theatre::explain`] for a service of this namespace.
    pub fn explain(&self, name: &str, words: &[&str]) -> Result<()> {
        self.theatre.explain(self.namespace, name, words)
    }

    /// `kubectl plimsoll` in this namespace.
    pub fn plugin(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.stage.built.plugin);
        command.env("KUBECONFIG", self.stage.cluster.kubeconfig());
        command.args(arguments).args(["--namespace", self.namespace]);
        finish(command, "")
    }

    /// Waits until a ScalableService says Ready=True for its newest spec.
    pub fn wait_ready(&self, name: &str, within: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", within.as_secs());
        let service = format!("scalableservice/{name}");
        self.kubectl(&["wait", "--for=condition=Ready", &service, &timeout]).map(drop)
    }

    /// A Deployment of programs that do nothing, which are ready at once.
    pub fn idle_deployment(&self, name: &str, replicas: u32) -> Result<()> {
        let metadata = format!("{{name: {name}, namespace: {}}}", self.namespace);
        let pods = idle_pods(name);
        self.apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {metadata}\nspec:\n  replicas: {replicas}\n{pods}"
        ))?;
        let deployment = format!("deployment/{name}");
        self.kubectl(&["rollout", "status", &deployment, "--timeout=60s"]).map(drop)
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        let arguments = ["delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"];
        if let Err(error) = self.stage.cluster.kubectl(&arguments) {
            eprintln!("namespace {} stays: {error:#}", self.namespace);
        }
    }
}

/// Selector and template of pods that do nothing, for a workload's spec.
pub fn idle_pods(name: &str) -> String {
    format!(
        r"  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: idle, image: '{PAUSE_IMAGE}', imagePullPolicy: IfNotPresent, resources: {{requests: {{cpu: 1m, memory: 4Mi}}}}}}
"
    )
}

/// A load that is what the case says: a queue whose length is set, scraped as any other.
pub struct Dial {
    url: String,
}

impl Dial {
    /// The load that it shows, as PromQL.
    pub fn query(namespace: &str) -> String {
        format!(r#"sum(shop_queue_jobs{{namespace="{namespace}", app="dial"}})"#)
    }

    /// Deploys it, at zero.
    pub fn deploy(scene: &Scene<'_>) -> Result<Self> {
        scene.apply(&queue(scene.namespace, "dial", &scene.stage.built.shop_image))?;
        scene.kubectl(&["rollout", "status", "deployment/dial", "--timeout=60s"])?;
        let dial = Self { url: service_url(scene.stage, scene.namespace, "dial", 8080)? };
        // kube-proxy hears of a Service by a watch of its own, and its address may have been another's before.
        wait_for("the dial", Duration::from_secs(10), || dial.call("GET", "/", "").map(|_| true))?;
        Ok(dial)
    }

    /// Sets the load.
    pub fn set(&self, jobs: u64) -> Result<()> {
        let waiting = self.call("GET", "/", "")?;
        let now = waiting.get("waiting").and_then(Value::as_u64).context("the dial does not say its load")?;
        if jobs > now {
            self.call("POST", &format!("/jobs?n={}", jobs - now), "")?;
        } else if jobs < now {
            let taken = self.call("POST", &format!("/take?max={}", now - jobs), "")?;
            self.call("POST", "/done", &taken.to_string())?;
        }
        Ok(())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let answer = if method == "GET" { ureq::get(&url).call() } else { ureq::post(&url).send(body) };
        let text = answer.with_context(|| url.clone())?.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("{url} answered {text}"))
    }
}

/// A ScalableService on the namespace's dial: one replica for each 10 of it, a look every second.
pub struct DialService<'a> {
    /// Its name.
    pub name: &'a str,
    /// apiVersion, kind and name of what it scales.
    pub target: (&'a str, &'a str, &'a str),
    /// scaleDown.stabilizationWindowSeconds.
    pub window: u32,
}

impl<'a> DialService<'a> {
    /// On a Deployment of the same name: from 1 to 10 replicas, downward at once.
    pub fn on(name: &'a str) -> Self {
        Self { name, target: ("apps/v1", "Deployment", name), window: 0 }
    }

    /// Applies it.
    pub fn apply(&self, scene: &Scene<'_>) -> Result<()> {
        let Self { name, target: (version, kind, target), window } = self;
        let namespace = scene.namespace;
        let query = Dial::query(namespace);
        scene.apply(&format!(
            r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{apiVersion: {version}, kind: {kind}, name: {target}}}
  minReplicas: 1
  maxReplicas: 10
  period: 1s
  kpis:
  - {{name: dial, type: Load, query: '{query}', perReplica: "10"}}
  behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}
"#
        ))
    }
}
