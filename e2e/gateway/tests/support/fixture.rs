//! Starts the API server, the replicas, the stand-in and Plimsoll.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use plimsoll::{balancer::gateway::route_resource, controller};
use plimsoll_e2e::cluster::{BareApiServer, gateway_api};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Environment variable with the configuration file of Plimsoll's child process.
const CONFIG: &str = "PLIMSOLL_CONFIG_OF_TEST";
const HOST: &str = "shop.example.com";

pub struct Fixture {
    server: BareApiServer,
    folder: TempDir,
    pub client: Client,
    /// Port of the listener.
    port: u16,
    /// Ports of the replicas of `web` and `web-b`.
    replicas: [u16; 2],
    plimsoll: Mutex<Option<Child>>,
    stand_in: Option<Child>,
}

/// Status, reason and message of a condition.
pub fn condition(object: &Value, type_: &str) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found =
        conditions.into_iter().flatten().find(|one| one.get("type").is_some_and(|name| name == type_));
    let text = |field: &str| found.and_then(|one| one.get(field)?.as_str()).unwrap_or_default().to_owned();
    format!("{} {}: {}", text("status"), text("reason"), text("message"))
}

impl Fixture {
    pub async fn set() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = TempDir::new().unwrap();
        let server = BareApiServer::start(folder.path()).unwrap();
        let config = kube::config::Kubeconfig::read_from(server.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let replicas = [replica("127.0.0.2", "web").await, replica("127.0.0.3", "web-b").await];
        let fixture =
            Self { server, folder, client, port, replicas, plimsoll: Mutex::default(), stand_in: None };
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let definition = root.join("crds/scalableservices.plimsoll.dev.yaml");
        fixture.define(&definition);
        fixture.apply(OBJECTS);
        for name in ["web", "web-b"] {
            fixture.endpoints(name, true).await;
        }
        let config = "sources: [{name: default, url: 'http://127.0.0.1:9'}]\n\
                      balancers: {agentImage: a, haproxyImage: b, nginxImage: c}\n";
        std::fs::write(fixture.folder.path().join("plimsoll.yaml"), config).unwrap();
        fixture
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.server.kubectl(arguments, "").unwrap()
    }

    pub fn apply(&self, yaml: &str) {
        self.server.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename=-"], yaml).unwrap();
    }

    pub async fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "--output=json"])).unwrap()
    }

    pub async fn route_object(&self) -> DynamicObject {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &route_resource());
        api.get("shop").await.unwrap()
    }

    pub fn install_gateway_api(&self) {
        self.define(&gateway_api::definitions().unwrap());
        self.apply(&GATEWAY.replace("PORT", &self.port.to_string()));
    }

    pub fn install_envoy_gateway(&self) {
        self.define(&gateway_api::backend_traffic_policy().unwrap());
    }

    /// Applies resource definitions, of a file or of all files of a folder, and waits until they are served.
    fn define(&self, path: &Path) {
        self.kubectl(&["apply", "--server-side", "--filename", &path.display().to_string()]);
        // A new definition has no conditions at first, on which `kubectl wait` fails immediately.
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"];
        for _ in 0..20 {
            if self.server.kubectl(&established, "").is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.kubectl(&established);
    }

    /// Changes fields of `spec.traffic`.
    pub fn traffic(&self, fields: &Value) {
        let patch = json!({"spec": {"traffic": fields}}).to_string();
        self.kubectl(&["patch", "scalableservice", "web", "--type=merge", "--patch", &patch]);
    }

    /// Writes the policy's status for this generation, as Envoy Gateway's controller would.
    pub fn policy_is(&self, accepted: &str, reason: &str, generation: i64) {
        let status = json!({"status": {"ancestors": [{
            "ancestorRef": {"name": "front"}, "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
            "conditions": [{
                "type": "Accepted", "status": accepted, "reason": reason, "message": "set by the test",
                "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        }]}});
        let patch = status.to_string();
        let kind =
            ["patch", "backendtrafficpolicy", "web", "--subresource=status", "--type=merge", "--patch"];
        self.kubectl(&[kind.as_slice(), &[&patch]].concat());
    }

    /// Whether the API server accepts an object and knows every field of it.
    pub fn takes(&self, object: &Value) -> Result<String, String> {
        let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"];
        self.server.kubectl(&arguments, &object.to_string()).map_err(|error| format!("{error:#}"))
    }

    /// Replaces the route with the user's version, without weights that Plimsoll set.
    pub fn route(&self) {
        self.kubectl(&["delete", "httproute", "shop", "--ignore-not-found"]);
        self.apply(ROUTE);
    }

    pub async fn lie(&self, words: &str) {
        let annotation = format!("plimsoll.dev/lies={words}");
        self.kubectl(&["annotate", "gateway", "front", "--overwrite", &annotation]);
        sleep(Duration::from_millis(300)).await;
    }

    pub fn stand_in(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll-gateway"))
            .args(["--address=127.0.0.1", "--loopback", "--folder"])
            .arg(self.folder.path())
            .env("KUBECONFIG", self.server.kubeconfig())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.stand_in = Some(child);
    }

    /// Writes the Service's EndpointSlice: its one replica if `ready`, otherwise none.
    pub async fn endpoints(&self, service: &str, ready: bool) {
        let (address, port) = match service {
            "web" => ("192.0.2.2", self.replicas[0]),
            _ => ("192.0.2.3", self.replicas[1]),
        };
        let endpoints =
            if ready { json!([{"addresses": [address], "conditions": {"ready": true}}]) } else { json!([]) };
        self.apply(
            &json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {
                    "name": service, "namespace": "default", "labels": {"kubernetes.io/service-name": service},
                },
                "endpoints": endpoints, "ports": [{"port": port}],
            })
            .to_string(),
        );
    }

    /// Restarts Plimsoll, with this weight of the standby in the last written status.
    pub async fn plimsoll(&self, standby: Option<i64>) {
        self.stop().await;
        if let Some(weight) = standby {
            let status = json!({"status": {"failover": {
                "state": "Shifting", "since": "2026-01-01T00:00:00Z", "active": "standby",
                "backends": [{"name": "standby", "weight": weight, "ready": true}],
            }}});
            let api: Api<plimsoll_api::ScalableService> = Api::namespaced(self.client.clone(), "default");
            api.patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["plimsoll_child_process", "--exact", "--nocapture"])
            .env("KUBECONFIG", self.server.kubeconfig())
            .env(CONFIG, self.folder.path().join("plimsoll.yaml"))
            .spawn()
            .unwrap();
        *self.plimsoll.lock().unwrap() = Some(child);
    }

    pub async fn stop(&self) {
        let child = self.plimsoll.lock().unwrap().take();
        if let Some(child) = child {
            end(child);
        }
    }

    /// Status, reason and message of TrafficSynced.
    pub async fn status(&self) -> String {
        condition(&self.get("scalableservice", "web").await, "TrafficSynced")
    }

    pub async fn message(&self) -> String {
        self.status().await
    }

    pub async fn wait_for(&self, start: &str, within: Duration) -> Instant {
        self.wait_until(start, within, |text| text.starts_with(start)).await
    }

    pub async fn wait_for_true(&self, within: Duration) -> Instant {
        self.wait_for("True RouteInSync", within).await
    }

    /// Waits until the condition reports these weights as in force.
    pub async fn wait_for_weights(&self, weights: &str) {
        self.wait_until(weights, Duration::from_secs(20), |text| {
            text.starts_with("True") && text.contains(weights)
        })
        .await;
    }

    pub async fn wait_until(&self, what: &str, within: Duration, fits: impl Fn(&str) -> bool) -> Instant {
        let begin = Instant::now();
        loop {
            let text = self.status().await;
            if fits(&text) {
                eprintln!("{:>5.1} s until {what}: {text}", begin.elapsed().as_secs_f64());
                return Instant::now();
            }
            assert!(begin.elapsed() < within, "no {what} within {within:?}: {text}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until status accepts this generation of the route, and returns when.
    pub async fn accepted_at(&self, generation: i64, within: Duration) -> Instant {
        let begin = Instant::now();
        loop {
            let route = self.get("httproute", "shop").await;
            let observed =
                route.pointer("/status/parents/0/conditions/0/observedGeneration").and_then(Value::as_i64);
            if observed >= Some(generation) {
                return Instant::now();
            }
            assert!(begin.elapsed() < within, "the route is not accepted: {route}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Names of the replicas that answer so many requests, each on a new connection; the status instead if it is not 200.
    pub async fn answers(&self, times: usize) -> Vec<String> {
        let mut answers = Vec::new();
        for _ in 0..times {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = answer.rsplit("\r\n").next().unwrap_or_default().to_owned();
            answers.push(if status == "200" { body } else { status });
        }
        answers
    }
}

/// Ends Plimsoll with SIGTERM, so that it releases its lease.
fn end(mut child: Child) {
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let _ = child.wait();
}

/// Runs Plimsoll in a child process, which is this test program again. Without the variable it does nothing.
pub async fn run_child_process() {
    let Some(config) = std::env::var_os(CONFIG) else { return };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = controller::Options {
        config: config.into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        namespaces: vec!["default".to_owned()],
        pod_name: "plimsoll-0".to_owned(),
        pod_namespace: "default".to_owned(),
    };
    controller::run(options).await.unwrap();
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(child) = self.plimsoll.lock().unwrap().take() {
            end(child);
        }
        if let Some(mut child) = self.stand_in.take() {
            // It exits, with its HAProxy, when its standard input ends.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Starts a replica that answers every request with its name; returns its port.
async fn replica(address: &str, name: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}",
                    name.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

const OBJECTS: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: none}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-b, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
# Frozen: the shares are those that the test writes to the status.
metadata: {name: web, namespace: default, annotations: {plimsoll.dev/failover-freeze: the test}}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  maxReplicas: 4
  period: 1s
  kpis:
  - {name: load, type: Load, query: up, perReplica: '10'}
  traffic:
    provider: Gateway
    gateway: {httpRoute: shop, rule: main}
  failover:
    backends:
    - name: standby
      service: {name: web-b, port: 80}
";

const GATEWAY: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: stand-in}
spec: {controllerName: plimsoll.dev/stand-in}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: default}
spec:
  gatewayClassName: stand-in
  listeners:
  - {name: http, port: PORT, protocol: HTTP}
";

const ROUTE: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: front}]
  hostnames: [shop.example.com]
  rules:
  - name: images
    matches: [{path: {type: PathPrefix, value: /images}}]
    backendRefs:
    - {name: web, port: 80, weight: 7}
    - {name: web-b, port: 80, weight: 3}
  - name: main
    timeouts: {request: 10s}
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {set: [{name: x-shop, value: main}]}
    backendRefs:
    - {name: web, port: 80, weight: 100}
    - {name: web-b, port: 80, weight: 0}
";
