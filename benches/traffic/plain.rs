//! The cost of the generated configuration compared with a minimal hand-written one for the same replicas: throughput, CPU
//! time per request, and added latency. Both alternate in one run, so their ratio does not depend on the speed of the
//! machine.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use plimsoll::balancer::{Server, ServerState::Ready};
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    RUNS,
    figures::spread,
    shop::{Load, Replicas},
    support::{Balancer, Client, Reached as _, balancer::free_port, eventually, wait, wanted},
};

const REPLICAS: u8 = 4;
/// Connections that each send one request after the other: enough to keep both cores busy.
const CONNECTIONS: usize = 64;
const MEASURED: Duration = Duration::from_secs(4);
/// Requests/s at which the added time is measured: far below the throughput, so that nothing queues.
const RATE: u32 = 300;
/// Linux's clock ticks in a second, for every program (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// Measures replicas alone, behind the plain configuration, and behind the generated one.
pub async fn measure(shop: &Path) -> Value {
    let replicas = Replicas::start_with(shop, "checkout", 4, REPLICAS, "0ms").await;
    let servers = replicas.servers(Ready);
    let direct = servers.first().expect("a replica").1.address;
    let generated = wanted(json!({})).with(servers.clone());
    let balancer = Balancer::start(&generated).await;
    let plain = Plain::start(&servers).await;
    let generated = (generated.front(), balancer.driver.observe().await.unwrap().epoch.pid);
    let plain = (plain.front, plain.process.id(), plain);
    let (mut all, mut ratios) = ([Figures::default(), Figures::default()], Figures::default());
    for run in 0..RUNS {
        let mut of = [Run::default(), Run::default()];
        // The order alternates, so that neither is always measured on a warmer machine.
        for place in [run % 2, (run + 1) % 2] {
            let (front, pid) = if place == 0 { generated } else { (plain.0, plain.1) };
            of[place] = Run::of(shop, front, pid, direct).await;
            all[place].add(&of[place]);
        }
        ratios.add(&of[0].over(&of[1]));
    }
    let [generated, plain] = all;
    json!({
        "what": "the generated haproxy.cfg beside a plain one of 20 lines, with the same HAProxy and replicas",
        "throughput": format!("{CONNECTIONS} keep-alive connections, closed loop; clients and replicas share the machine"),
        "added": format!("p99 at {RATE} requests/s, open loop, less the p99 of a replica without a balancer"),
        "generated": generated.value(),
        "plain": plain.value(),
        "ratio": ratios.value(),
    })
}

/// One measurement, or the ratio of two.
#[derive(Clone, Copy, Default)]
struct Run {
    requests_per_second: f64,
    cpu_us: f64,
    p99_ms: f64,
    added_p99_ms: f64,
}

impl Run {
    async fn of(shop: &Path, front: SocketAddr, pid: u32, direct: SocketAddr) -> Self {
        let (before, begin) = (cpu_seconds(pid), Instant::now());
        let answered = saturate(front).await;
        let cpu_us = (cpu_seconds(pid) - before) / answered as f64 * 1e6;
        let requests_per_second = answered as f64 / begin.elapsed().as_secs_f64();
        let p99_ms = p99(shop, front).await;
        Self { requests_per_second, cpu_us, p99_ms, added_p99_ms: p99_ms - p99(shop, direct).await }
    }

    fn over(&self, other: &Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second / other.requests_per_second,
            cpu_us: self.cpu_us / other.cpu_us,
            p99_ms: self.p99_ms / other.p99_ms,
            added_p99_ms: self.added_p99_ms / other.added_p99_ms,
        }
    }
}

#[derive(Default)]
struct Figures(Vec<Run>);

impl Figures {
    fn add(&mut self, run: &Run) {
        self.0.push(*run);
    }

    fn value(&self) -> Value {
        let of = |figure: fn(&Run) -> f64| {
            let rounded = |run| (figure(run) * 1e3).round() / 1e3;
            spread(&self.0.iter().map(rounded).collect::<Vec<_>>())
        };
        json!({
            "requestsPerSecond": of(|run| run.requests_per_second),
            "cpuOfRequest_us": of(|run| run.cpu_us),
            "p99_ms": of(|run| run.p99_ms),
            "addedP99_ms": of(|run| run.added_p99_ms),
        })
    }
}

/// Sends requests as fast as they are answered; returns the number of successful responses. None may fail.
async fn saturate(front: SocketAddr) -> u64 {
    let ready = Arc::new(Barrier::new(CONNECTIONS));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let ready = Arc::clone(&ready);
        clients.spawn(async move {
            let mut client = Client::new(front);
            ready.wait().await;
            let (begin, mut answered) = (Instant::now(), 0);
            while begin.elapsed() < MEASURED {
                assert_eq!(client.get("/", &[]).await.unwrap().status, 200);
                answered += 1;
            }
            answered
        });
    }
    clients.join_all().await.into_iter().sum()
}

/// Milliseconds, from the moment when a request was due.
async fn p99(shop: &Path, front: SocketAddr) -> f64 {
    let load = Load::start(shop, &format!("http://{front}/"), RATE, 1_000_000, &[]);
    tokio::time::sleep(MEASURED).await;
    let summary = load.finish().await;
    assert_eq!(summary.lost(), 0, "{summary:?}");
    summary.p99_ms()
}

/// CPU time of a process with its threads, in user and kernel: fields 14 and 15 of proc_pid_stat(5).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS
}

/// HAProxy with a minimal configuration.
struct Plain {
    front: SocketAddr,
    process: Child,
    folder: PathBuf,
}

impl Plain {
    async fn start(servers: &[(String, Server)]) -> Self {
        let front = (Ipv4Addr::LOCALHOST, free_port()).into();
        let folder = std::env::temp_dir().join(format!("plimsoll-plain-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = folder.join("haproxy.cfg");
        fs::write(&config, plain_config(front, servers)).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&config).stdin(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("the program `haproxy` is needed");
        let plain = Self { front, process, folder };
        eventually("the plain HAProxy answers", || async { Client::new(front).get("/", &[]).await.ok() })
            .await;
        wait(100).await;
        plain
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn plain_config(front: SocketAddr, servers: &[(String, Server)]) -> String {
    let mut config = format!(
        "global
    maxconn 4000
defaults
    mode http
    timeout connect 3s
    timeout client 30s
    timeout server 30s
frontend clients
    bind {front}
    option forwardfor
    default_backend shop
backend shop
    balance leastconn
    default-server check inter 2s
"
    );
    for (name, server) in servers {
        config += &format!("    server {name} {}\n", server.address);
    }
    config
}
