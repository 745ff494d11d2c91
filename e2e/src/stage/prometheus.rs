//! Prometheus, and a proxy between it and the operator that makes it unreachable on demand.

use super::{Stage, shop::service_url};
use crate::prelude::*;

const NAMESPACE: &str = "monitoring";
const NAME: &str = "prometheus-faults";
/// Time until a Service routes to a ready pod.
const REACHABLE: Duration = Duration::from_secs(20);

pub struct Prometheus {
    agent: ureq::Agent,
    url: String,
}

impl Prometheus {
    pub fn of(stage: &Stage) -> Result<Self> {
        let url = service_url(stage, NAMESPACE, "prometheus", 9090)? + "/api/v1/query";
        Ok(Self { agent: ureq::Agent::new_with_defaults(), url })
    }

    /// The first value of the answer; `None` if it is empty.
    pub fn ask(&self, query: &str) -> Result<Option<f64>> {
        let answer = self.agent.get(&self.url).query("query", query).call();
        let text = answer.context("cannot query Prometheus")?.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&text)?;
        let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
        Ok(value.and_then(|value| value.parse().ok()))
    }
}

pub struct FaultProxy {
    control: String,
}

impl FaultProxy {
    pub const SOURCE: &str = "unsteady";
    pub const URL: &str = "http://prometheus-faults.monitoring:9090";

    /// Deploys the proxy in the first zone, where Prometheus is (a failure of node 2 must not affect Prometheus), and waits
    /// until it is ready.
    pub fn deploy(stage: &Stage) -> Result<Self> {
        let image = &stage.built.shop_image;
        stage.cluster.apply(&format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {NAME}, namespace: {NAMESPACE}}}
spec:
  selector: {{matchLabels: {{app: {NAME}}}}}
  template:
    metadata: {{labels: {{app: {NAME}}}}}
    spec:
      nodeSelector: {{topology.kubernetes.io/zone: zone-a}}
      containers:
      - name: proxy
        image: {image}
        imagePullPolicy: Never
        args: [proxy, --upstream=http://prometheus.{NAMESPACE}:9090]
        ports: [{{name: http, containerPort: 9090}}, {{name: control, containerPort: 9091}}]
        readinessProbe: {{httpGet: {{path: /-/fault, port: control}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {NAME}, namespace: {NAMESPACE}}}
spec:
  selector: {{app: {NAME}}}
  ports: [{{name: http, port: 9090, targetPort: http}}, {{name: control, port: 9091, targetPort: control}}]
"#
        ))?;
        stage.cluster.rolled_out(NAMESPACE, NAME, Duration::from_secs(60))?;
        let proxy = Self { control: service_url(stage, NAMESPACE, NAME, 9091)? };
        // A ready pod is not yet reachable: kube-proxy learns of it a moment later, on a busy machine even later.
        wait_for("the fault proxy's control port", REACHABLE, || proxy.heal().map(|()| true))?;
        Ok(proxy)
    }

    pub fn take_down(&self) -> Result<()> {
        self.switch("down")
    }

    pub fn heal(&self) -> Result<()> {
        self.switch("none")
    }

    fn switch(&self, mode: &str) -> Result<()> {
        let url = format!("{}/-/fault", self.control);
        let fault = json!({ "mode": mode });
        ureq::post(&url).header("content-type", "application/json").send(fault.to_string()).context(url)?;
        Ok(())
    }
}
