//! NGINX in its own container: the driver gets its processes and reloads it only through the supervisor, which also answers
//! the health check.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use plimsoll::balancer::{
    Driver,
    ServerState::{Drain, Ready},
    nginx::Nginx,
};
use plimsoll_api::Percent;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    proxy::{Proxy, wanted},
    support::{Reached as _, Replica, eventually, program::signal},
};

/// The supervisor with its NGINX; both are stopped on drop.
pub struct Supervisor(Child);

impl Supervisor {
    pub fn start(proxy: &Proxy) -> Self {
        let log = fs::File::create(proxy.folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["lb-agent", "supervise", "--folder"])
            .arg(&proxy.folder)
            .args(["--port", &proxy.paths.health.to_string()])
            .args(["--nginx-port", &proxy.paths.own.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Self(child.unwrap())
    }

    /// Sends a signal, and returns whether the supervisor then exited successfully.
    fn end(&mut self, signal: &str) -> bool {
        Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        self.0.wait().unwrap().success()
    }
}

/// The first line of the answer to the kubelet's health check.
pub async fn health(proxy: &Proxy) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.paths.health)).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end("-TERM");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_in_another_container_is_reloaded_and_drained_through_its_supervisor() {
    let replica = Replica::start("checkout-0", Duration::ZERO).await;
    let empty = wanted(&json!({}));
    let (ready, drains) = (empty.with([replica.server(Ready)]), empty.with([replica.server(Drain)]));
    let proxy = Proxy::new();
    let driver = Driver::Nginx(Nginx::supervised(proxy.paths.clone()));
    let error = driver.sync(&empty).await.unwrap_err();
    assert!(error.is_down(), "{error}");
    for signal in ["-TERM", "-QUIT"] {
        let mut supervisor = Supervisor::start(&proxy);
        eventually("NGINX serves", || async { driver.sync(&ready).await.ok() }).await;
        let mode = fs::metadata(&proxy.paths.supervisor).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "another user must not have access");
        let master = driver.epoch().await.unwrap();
        let usage = driver.usage().await.unwrap();
        assert_eq!(
            (usage.connections, usage.requests),
            (Some(Percent::ZERO), Some(Percent::ZERO)),
            "the usage must be known"
        );
        let outcome = driver.sync(&drains).await.unwrap();
        assert!(outcome.in_sync && outcome.reloaded, "{outcome:#?}\n{}", proxy.log());
        assert_eq!(driver.epoch().await.unwrap(), master);
        let pods = [replica.name.clone()];
        eventually("the old worker has exited", || async {
            (driver.drained(&drains, &pods).await.unwrap() == pods).then_some(())
        })
        .await;
        assert!(driver.sync(&ready).await.unwrap().reloaded);
        assert!(supervisor.end(signal), "{signal}: {}", proxy.log());
        let error = driver.epoch().await.unwrap_err();
        assert!(error.is_down(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_fails_when_no_worker_of_nginx_answers() {
    let proxy = Proxy::new();
    let driver = Driver::Nginx(Nginx::supervised(proxy.paths.clone()));
    let wanted = wanted(&json!({}));
    assert!(driver.sync(&wanted).await.unwrap_err().is_down());
    let _supervisor = Supervisor::start(&proxy);
    eventually("NGINX serves", || async { driver.sync(&wanted).await.ok() }).await;
    assert_eq!(health(&proxy).await, "HTTP/1.1 200 OK");
    let master = driver.epoch().await.unwrap().pid;
    let workers = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    let workers: Vec<u32> = workers.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(!workers.is_empty());
    workers.iter().for_each(|pid| signal("-STOP", *pid));
    assert_eq!(health(&proxy).await, "HTTP/1.1 503 Service Unavailable");
    workers.iter().for_each(|pid| signal("-CONT", *pid));
    eventually("it answers again", || async { (health(&proxy).await == "HTTP/1.1 200 OK").then_some(()) })
        .await;
}
