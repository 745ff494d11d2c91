//! Memory and CPU of the agent beside a balancer with 500 endpoints, idle and with 50 changes a second.
//!
//! The agent is the real process with a real HAProxy on this machine; the endpoints are EndpointSlices that the bench
//! writes to the cluster's API server. No operator is needed.

use super::{figures::put, process::cpu_seconds};
use crate::{
    cluster::{Cluster, Options},
    metrics::{applied, applied_within, sample},
    prelude::*,
    process::{process_of, run as run_program, signal_process},
    stage::{Built, Profile, release},
};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader};

const NAMESPACE: &str = "bench-agent";
const CRDS: [&str; 2] = ["scalableservices.plimsoll.dev", "capacitybudgets.plimsoll.dev"];
const SLICES: usize = 5;
const ENDPOINTS_OF_SLICE: usize = 100;
const CHANGES_PER_SECOND: u32 = 50;
const MEASURED: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(30);
/// The agent's port; no program of the cluster uses it.
const PORT: u16 = 29_102;

pub fn run() -> Result<Value> {
    let built = Built::make(Profile::Image)?;
    let program = release(&built.workspace)?;
    let cluster = Cluster::up(&Options::of_running_cluster().unwrap_or_default())?;
    // A chart does not adopt foreign CRDs, so those that the bench has created are deleted at the end.
    let [services, budgets] = CRDS;
    let defined = cluster.kubectl(&["get", "crd", services]).is_ok();
    if !defined {
        cluster.apply(&run_program(&built.plimsoll, &["crds"])?)?;
    }
    let folder = std::env::temp_dir().join(format!("plimsoll-{NAMESPACE}"));
    let _absent_is_fine = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    cluster.apply(&manifest())?;
    let measured = measure(&cluster, &program, &folder);
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    if !defined {
        cluster.kubectl(&["delete", "crd", services, budgets])?;
    }
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(cluster: &Cluster, program: &Path, folder: &Path) -> Result<Value> {
    let agent = Running::start(
        Command::new(program)
            .args(["lb-agent", "run", "--service=shop", "--gate-port=29103", "--log=warn"])
            .args([format!("--port={PORT}"), format!("--folder={}", folder.display())])
            .env("KUBECONFIG", cluster.kubeconfig())
            .envs([("POD_NAMESPACE", NAMESPACE), ("POD_NAME", "shop-lb-bench")]),
    )?;
    let http = ureq::Agent::new_with_defaults();
    let page = |path: &str| -> Result<String> {
        Ok(http.get(format!("http://127.0.0.1:{PORT}{path}")).call()?.body_mut().read_to_string()?)
    };
    wait_for("the agent's configuration", PATIENCE, || Ok(page("/startz").is_ok()))?;
    let _haproxy = Running::start(
        Command::new("haproxy")
            .args(["-W", "-db", "-f"])
            .arg(folder.join("haproxy.cfg"))
            .args(["-S", &format!("{},mode,600", folder.join("master.sock").display())])
            .stderr(Stdio::null()),
    )?;
    let programmed = format!("plimsoll_balancer_programmed {}", SLICES * ENDPOINTS_OF_SLICE);
    wait_for("all endpoints in HAProxy", PATIENCE, || {
        Ok(page("/metrics")?.lines().any(|line| line == programmed))
    })?;
    eprintln!("  {} endpoints", SLICES * ENDPOINTS_OF_SLICE);

    let proxy = Proxy::start(cluster)?;
    let mut figures = json!({
        "what": "the process `plimsoll lb-agent run` with a real HAProxy and the cluster's API server",
        "endpoints": SLICES * ENDPOINTS_OF_SLICE,
        "changesPerSecond": CHANGES_PER_SECOND,
        "measured_s": MEASURED.as_secs(),
        "caveats": "each change is one endpoint's readiness, sent as a whole slice of 100; resident memory includes the \
                    program's pages in use; API server, HAProxy and bench share the machine's cores",
    });
    let (idle, ()) = agent.used(|| {
        sleep(MEASURED);
        Ok(())
    })?;
    put(&mut figures, "idle", idle);
    let before = page("/metrics")?;
    let (mut changing, changes) = agent.used(|| change(&http, &proxy))?;
    // The last changes may be in flight, and status is written at most once a second.
    sleep(Duration::from_secs(3));
    let after = page("/metrics")?;
    put(&mut changing, "changes", json!(changes));
    put(&mut changing, "applied", json!(applied(&after) - applied(&before)));
    put(&mut changing, "reloads", json!(sample(&after, "plimsoll_balancer_reloads_total")));
    let (before, after) = ([before], [after]);
    put(&mut changing, "p50AtMost_ms", json!(applied_within(&before, &after, 0.5)));
    put(&mut changing, "p99AtMost_ms", json!(applied_within(&before, &after, 0.99)));
    put(&mut figures, "changing", changing);
    let service = cluster.get(NAMESPACE, "scalableservice", "shop")?;
    let entry = service.pointer("/status/traffic/balancers/0").unwrap_or(&Value::Null);
    let (in_sync, all) = (entry.get("inSync") == Some(&json!(true)), SLICES * ENDPOINTS_OF_SLICE);
    ensure!(
        in_sync && entry.get("programmed") == Some(&json!(all)),
        "at the end the agent must be in sync with every endpoint, but its entry in status is {entry}"
    );
    Ok(figures)
}

fn change(http: &ureq::Agent, proxy: &Proxy) -> Result<u32> {
    let begin = Instant::now();
    let pause = Duration::from_secs(1) / CHANGES_PER_SECOND;
    let total = CHANGES_PER_SECOND * u32::try_from(MEASURED.as_secs())?;
    for number in 0..total {
        sleep((begin + pause * number).saturating_duration_since(Instant::now()));
        // One endpoint becomes unready and ready again, then the next: nearly all are ready all the time.
        let (turn, ready) = (number as usize / 2, number % 2 == 1);
        let (slice, place) = (turn % SLICES, turn / SLICES % ENDPOINTS_OF_SLICE);
        let patch = json!([{"op": "replace", "path": format!("/endpoints/{place}/conditions/ready"), "value": ready}]);
        let url = format!(
            "{}/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/shop-{slice}",
            proxy.url
        );
        let request = http.patch(&url).header("content-type", "application/json-patch+json");
        request.send(patch.to_string()).with_context(|| url.clone())?;
    }
    Ok(total)
}

/// A ScalableService whose target does not exist, so that an operator does not act on it, and the slices.
fn manifest() -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: shop, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: none}}
  maxReplicas: 10
  kpis: [{{name: load, type: Load, perReplica: \"1\", query: 'vector(1)'}}]
  traffic: {{provider: HAProxy, targetPort: 8080, listeners: [{{port: 28080}}]}}
"
    );
    for slice in 0..SLICES {
        text += &format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: shop-{slice}
  namespace: {NAMESPACE}
  labels: {{kubernetes.io/service-name: shop-endpoints, endpointslice.kubernetes.io/managed-by: plimsoll-bench}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints:
"
        );
        for place in 0..ENDPOINTS_OF_SLICE {
            text += &format!(
                "- addresses: [10.255.{slice}.{place}]
  conditions: {{ready: true, serving: true, terminating: false}}
  nodeName: node-1
  zone: a
  targetRef: {{kind: Pod, namespace: {NAMESPACE}, name: shop-7d9c5f6b7-{slice}{place:03}}}
"
            );
        }
    }
    text
}

struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let shown = format!("cannot start {:?}", command.get_program());
        Ok(Self(command.stdin(Stdio::null()).spawn().context(shown)?))
    }

    fn used<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(Value, T)> {
        let (before, begin) = (cpu_seconds(self.0.id())?, Instant::now());
        let done = work()?;
        let cores = (cpu_seconds(self.0.id())? - before) / begin.elapsed().as_secs_f64();
        let status = process_of(self.0.id()).context("the agent has exited")?.status()?;
        let mebibytes =
            |kibibytes: Option<u64>| kibibytes.map(|number| (number as f64 / 1024.0 * 10.0).round() / 10.0);
        let figures = json!({
            "cpuCores": (cores * 1e4).round() / 1e4,
            "residentMiB": mebibytes(status.vmrss),
            "residentMostMiB": mebibytes(status.vmhwm),
            "anonymousMiB": mebibytes(status.rssanon),
        });
        Ok((figures, done))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal_process(self.0.id(), Signal::TERM);
        let _ended = self.0.wait();
    }
}

/// A proxy to the API server, on the loopback without TLS.
struct Proxy {
    url: String,
    _process: Running,
}

impl Proxy {
    fn start(cluster: &Cluster) -> Result<Self> {
        let mut command = cluster.kubectl_command(&["proxy", "--port=0"]);
        let mut process = Running::start(command.stdout(Stdio::piped()))?;
        let output = process.0.stdout.take().context("no output of kubectl proxy")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().filter(|address| address.contains(':'));
        let address = address.with_context(|| format!("kubectl proxy printed no address: {line:?}"))?;
        Ok(Self { url: format!("http://{address}"), _process: process })
    }
}
