//! A real NGINX in its own folder.

use std::{
    ffi::OsStr,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use plimsoll::balancer::{
    Driver, Outcome, Wanted,
    nginx::{Nginx, Paths},
};
use serde_json::{Value, json};

use crate::support::{
    self,
    balancer::free_port,
    eventually,
    program::{self, Program},
};

/// A service without replicas, with a listener on a free port.
pub fn wanted(more: &Value) -> Wanted {
    let mut spec = json!({"provider": "NGINX"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    support::wanted(spec)
}

pub struct Proxy {
    pub driver: Driver,
    pub paths: Paths,
    pub folder: PathBuf,
    program: Program,
}

impl Proxy {
    /// Does not start NGINX yet.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, listening on this address.
    pub fn on(listen: IpAddr) -> Self {
        let program = Program::new("nginx");
        let folder = program.folder.clone();
        let paths = Paths {
            listen,
            health: free_port(),
            own: (Ipv4Addr::LOCALHOST, free_port()).into(),
            ..Paths::in_folder(&folder)
        };
        let driver = Driver::Nginx(Nginx::new(paths.clone()));
        Self { driver, paths, folder, program }
    }

    /// Another driver of the same NGINX, as in a restarted agent.
    pub fn again(&self) -> Driver {
        Driver::Nginx(Nginx::new(self.paths.clone()))
    }

    /// Starts NGINX with the wanted state.
    pub async fn start(wanted: &Wanted) -> Self {
        Self::new().run(wanted).await
    }

    /// The same for an NGINX that is not running yet.
    pub async fn run(self, wanted: &Wanted) -> Self {
        let mut proxy = self;
        let error = proxy.driver.sync(wanted).await.unwrap_err();
        assert!(error.is_down(), "{error}");
        proxy.spawn();
        proxy.up(wanted).await;
        proxy
    }

    /// Starts the program, as the container would.
    pub fn spawn(&mut self) {
        let arguments = ["-e", "stderr", "-c"].map(OsStr::new).into_iter();
        self.program.spawn(arguments.chain([self.paths.config.as_os_str()]));
    }

    /// Waits until NGINX serves the wanted state.
    pub async fn up(&self, wanted: &Wanted) {
        eventually("NGINX serves", || async { self.driver.sync(wanted).await.ok() }).await;
    }

    /// Applies the wanted state; it must be in sync then.
    pub async fn sync(&self, wanted: &Wanted) -> Outcome {
        let outcome = self.driver.sync(wanted).await.unwrap();
        assert!(outcome.in_sync, "{outcome:#?}");
        outcome
    }

    /// Number of old workers that finish their requests.
    pub async fn leaving(&self) -> u64 {
        self.driver.counters().await.unwrap().leaving
    }

    fn pid(&self) -> u32 {
        self.program.process.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: &str) {
        program::signal(signal, self.pid());
    }

    /// Kills NGINX with its connections, and starts it again.
    pub async fn restart(&mut self) {
        self.signal("-TERM");
        self.program.wait();
        self.spawn();
        let served = || async { self.driver.counters().await };
        eventually("NGINX serves again", served).await;
    }

    /// Process ids of the workers.
    pub fn workers(&self) -> Vec<u32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    pub fn log(&self) -> String {
        self.program.log()
    }
}

/// Time for some requests on kept and on fresh connections.
pub const MOMENT: Duration = Duration::from_millis(300);
