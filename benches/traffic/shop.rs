//! The sample shop's programs: replicas that can be killed, and the open-loop load.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use plimsoll::balancer::{Server, ServerState};
use serde::Deserialize;

use crate::support::{Client, eventually};

/// How long a replica works on a request.
pub const SERVICE_TIME: &str = "20ms";

/// Replicas in one process: it listens on every address of 127.0.0.0/8, and each replica has one of them.
pub struct Replicas {
    program: PathBuf,
    name: &'static str,
    net: u8,
    count: u8,
    port: u16,
    service_time: &'static str,
    process: Option<Child>,
}

impl Replicas {
    pub async fn start(program: &Path, name: &'static str, net: u8, count: u8) -> Self {
        Self::start_with(program, name, net, count, SERVICE_TIME).await
    }

    /// The same with another service time.
    pub async fn start_with(
        program: &Path,
        name: &'static str,
        net: u8,
        count: u8,
        service_time: &'static str,
    ) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let program = program.to_owned();
        let mut replicas = Self { program, name, net, count, port, service_time, process: None };
        replicas.spawn().await;
        replicas
    }

    /// Starts the process, if it does not run, and waits until it answers.
    pub async fn spawn(&mut self) {
        if self.process.is_some() {
            return;
        }
        let mut command = Command::new(&self.program);
        command.args(["serve", "--workers=10000", "--service-jitter=0", "--service-time", self.service_time]);
        command.arg(format!("--listen=0.0.0.0:{}", self.port)).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()); // its greeting
        self.process = Some(command.spawn().unwrap());
        let address = self.address(1);
        eventually("the shop answers", || async { Client::new(address).get("/readyz", &[]).await.ok() })
            .await;
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn names(&self) -> Vec<String> {
        (1..=self.count).map(|number| format!("{}-{number}", self.name)).collect()
    }

    pub fn servers(&self, state: ServerState) -> Vec<(String, Server)> {
        let server = |number| Server { address: self.address(number), state };
        self.names().into_iter().zip((1..=self.count).map(server)).collect()
    }

    fn address(&self, number: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 1, self.net, number), self.port).into()
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The report of a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub sent: u64,
    pub ok: u64,
    pub http_errors: u64,
    pub transport_errors: u64,
    pub p99: Option<f64>,
}

impl Summary {
    pub fn lost(&self) -> u64 {
        assert_eq!(
            self.sent,
            self.ok + self.http_errors + self.transport_errors,
            "every request is accounted"
        );
        self.http_errors + self.transport_errors
    }

    /// Latencies of successful responses, in milliseconds.
    pub fn p99_ms(&self) -> f64 {
        crate::figures::milliseconds(Duration::from_secs_f64(self.p99.unwrap_or_default()))
    }
}

/// Requests per connection, by the name of the figures.
pub const CONNECTIONS: [(&str, u32); 2] = [("keepAlive", 1_000_000), ("fresh", 1)];

/// The load generator.
pub struct Load(Child);

impl Load {
    /// `rate` requests a second until it is stopped; a connection carries `per_connection` of them.
    pub fn start(program: &Path, url: &str, rate: u32, per_connection: u32, more: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(["load", "--target", url, "--shape", &format!("{rate}@1h"), "--timeout=5s"]);
        command.arg(format!("--requests-per-connection={per_connection}"));
        command.args(more).stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Stops, and waits for requests in progress.
    pub async fn finish(self) -> Summary {
        #[derive(Deserialize)]
        struct Last {
            summary: Summary,
        }
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        let output = tokio::task::spawn_blocking(move || self.0.wait_with_output().unwrap()).await.unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let last: Last = serde_json::from_str(output.lines().last().expect("an account")).unwrap();
        last.summary
    }
}
