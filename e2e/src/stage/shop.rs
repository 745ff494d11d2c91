//! The sample shop in the cluster: a Deployment with a Service, or a queue with its workers.

use super::Stage;
use crate::{cluster::PAUSE_IMAGE, prelude::*};

/// Time until all pods are ready: the images are on the nodes, and two cores start about ten pods in ten seconds.
const READY_WITHIN: Duration = Duration::from_secs(90);

#[derive(Debug, Clone)]
pub struct Shop<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub replicas: u32,
    pub workers: u32,
    pub service_time: &'a str,
    pub startup: &'a str,
    pub more: &'a [&'a str],
}

impl<'a> Shop<'a> {
    /// A shop that serves a request in 20 ms and is ready immediately.
    pub const fn of(namespace: &'a str, name: &'a str, replicas: u32) -> Self {
        Self { namespace, name, replicas, workers: 4, service_time: "20ms", startup: "0s", more: &[] }
    }

    pub fn deploy(&self, stage: &Stage) -> Result<()> {
        stage.cluster.apply(&self.manifest(&stage.built.shop_image))?;
        stage.cluster.rolled_out(self.namespace, self.name, READY_WITHIN)
    }

    pub fn url(&self, stage: &Stage) -> Result<String> {
        service_url(stage, self.namespace, self.name, 8080)
    }

    pub fn serve(&self, stage: &Stage) -> Result<String> {
        self.deploy(stage)?;
        self.url(stage)
    }

    pub fn manifest(&self, image: &str) -> String {
        let Self { namespace, name, replicas, workers, service_time, startup, more } = self;
        let more: String = more.iter().map(|argument| format!(", {argument:?}")).collect();
        let arguments = format!(
            r#"["serve", "--workers={workers}", "--service-time={service_time}", "--startup={startup}"{more}]"#
        );
        deployment(namespace, name, *replicas, image, &arguments) + &service(namespace, name, 8080)
    }
}

/// A queue `NAME` and its workers `NAME-worker`.
#[derive(Debug, Clone)]
pub struct Queue<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub job_time: &'a str,
}

impl Queue<'_> {
    pub fn deploy(&self, stage: &Stage) -> Result<()> {
        let Self { namespace, name, job_time } = self;
        let image = &stage.built.shop_image;
        let worker = format!("{name}-worker");
        let arguments = format!(r#"["work", "--queue=http://{name}:8080", "--job-time={job_time}"]"#);
        let manifest = queue(namespace, name, image) + &deployment(namespace, &worker, 1, image, &arguments);
        stage.cluster.apply(&manifest)?;
        stage.cluster.rolled_out(namespace, name, READY_WITHIN)
    }

    pub fn url(&self, stage: &Stage) -> Result<String> {
        service_url(stage, self.namespace, self.name, 8080)
    }
}

/// Deployment and Service of a queue without workers: jobs stay in it until a client takes them.
pub fn queue(namespace: &str, name: &str, image: &str) -> String {
    deployment(namespace, name, 1, image, r#"["queue"]"#) + &service(namespace, name, 8080)
}

/// URL of a Service for clients on the host, where kube-proxy's rules apply too.
pub fn service_url(stage: &Stage, namespace: &str, name: &str, port: u16) -> Result<String> {
    let service = stage.cluster.get(namespace, "service", name)?;
    Ok(format!("http://{}:{port}", service.text("/spec/clusterIP")))
}

/// A Deployment of idle programs, on the nodes of a nodeSelector.
pub fn idle_deployment(namespace: &str, name: &str, replicas: u32, nodes: &str) -> String {
    let pods = idle_pods(name, nodes);
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         replicas: {replicas}\n{pods}"
    )
}

/// Selector and template of idle pods, for a workload's spec.
pub fn idle_pods(name: &str, nodes: &str) -> String {
    format!(
        r"  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      nodeSelector: {nodes}
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: idle, image: '{PAUSE_IMAGE}', imagePullPolicy: Never, resources: {{requests: {{cpu: 1m, memory: 4Mi}}}}}}
"
    )
}

fn deployment(namespace: &str, name: &str, replicas: u32, image: &str, arguments: &str) -> String {
    format!(
        r#"---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{prometheus.io/scrape: "true", prometheus.io/port: "8080"}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
      - name: app
        image: {image}
        imagePullPolicy: Never
        args: {arguments}
        ports: [{{name: http, containerPort: 8080}}]
        resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}
        readinessProbe: {{httpGet: {{path: /readyz, port: http}}, periodSeconds: 1}}
"#
    )
}

fn service(namespace: &str, name: &str, port: u16) -> String {
    format!(
        r"---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: {port}, targetPort: http}}]
"
    )
}
