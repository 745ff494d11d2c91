//! NGINX in a container of its own: the driver knows its processes and reloads it through the supervisor alone.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use plimsoll::balancer::{
    Driver,
    ServerState::{Drain, Ready},
    nginx::Nginx,
};
use serde_json::json;

use crate::{
    proxy::{Proxy, wanted},
    support::{Reached as _, Replica, eventually},
};

/// The supervisor with its NGINX; both end with it.
struct Supervisor(Child);

impl Supervisor {
    fn start(proxy: &Proxy) -> Self {
        let log = fs::File::create(proxy.folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["lb-agent", "supervise", "--folder"])
            .arg(&proxy.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Self(child.unwrap())
    }

    /// Sends a signal, and returns whether it then ended without a failure.
    fn end(&mut self, signal: &str) -> bool {
        Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        self.0.wait().unwrap().success()
    }
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
        assert_eq!(mode & 0o777, 0o600, "who is another user can't ask");
        let master = driver.epoch().await.unwrap();
        assert!(driver.usage().await.unwrap().connections.is_some(), "it tells how full it is");
        let outcome = driver.sync(&drains).await.unwrap();
        assert!(outcome.in_sync && outcome.reloaded, "{outcome:#?}\n{}", proxy.log());
        assert_eq!(driver.epoch().await.unwrap(), master);
        let pods = [replica.name.clone()];
        eventually("the worker before is gone", || async {
            (driver.drained(&drains, &pods).await.unwrap() == pods).then_some(())
        })
        .await;
        assert!(driver.sync(&ready).await.unwrap().reloaded);
        assert!(supervisor.end(signal), "{signal}: {}", proxy.log());
        let error = driver.epoch().await.unwrap_err();
        assert!(error.is_down(), "{error}");
    }
}
