//! A real NGINX in a folder of its own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use plimsoll::balancer::{
    Driver, Outcome, Wanted,
    nginx::{Nginx, Paths},
};
use serde_json::{Value, json};

use crate::support::{self, balancer::free_port, eventually};

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
    master: Option<Child>,
}

impl Proxy {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, to listen on that address.
    pub fn on(listen: IpAddr) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("plimsoll-nginx-{}-{number}", std::process::id()));
        // A run that was killed may have had the same process id.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        let paths = Paths {
            listen,
            health: free_port(),
            own: (Ipv4Addr::LOCALHOST, free_port()).into(),
            ..Paths::in_folder(&folder)
        };
        let driver = Driver::Nginx(Nginx::new(paths.clone()));
        Self { driver, paths, folder, master: None }
    }

    /// Another driver of the same NGINX, as an agent that starts anew has.
    pub fn again(&self) -> Driver {
        Driver::Nginx(Nginx::new(self.paths.clone()))
    }

    /// Runs what is wanted.
    pub async fn start(wanted: &Wanted) -> Self {
        Self::new().run(wanted).await
    }

    /// The same, of one that does not run yet.
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
        // NGINX opens its standard output anew for its access log.
        let log = self.folder.join("nginx.log");
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-c"])
            .arg(&self.paths.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("these tests need the program `nginx` (Debian: apt-get install nginx-light)");
        self.master = Some(child);
    }

    /// Until it serves what is wanted.
    pub async fn up(&self, wanted: &Wanted) {
        eventually("NGINX serves", || async { self.driver.sync(wanted).await.ok() }).await;
    }

    /// Brings it about; it must be in sync then.
    pub async fn sync(&self, wanted: &Wanted) -> Outcome {
        let outcome = self.driver.sync(wanted).await.unwrap();
        assert!(outcome.in_sync, "{outcome:#?}");
        outcome
    }

    /// Workers that serve and those that finish what they have.
    pub async fn leaving(&self) -> u64 {
        self.driver.counters().await.unwrap().leaving
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.master.as_ref().unwrap().id();
        Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    }

    /// Ends it at once, with all that it has, and starts it again.
    pub async fn restart(&mut self) {
        self.signal("-TERM");
        self.master.take().unwrap().wait().unwrap();
        self.spawn();
        let served = || async { self.driver.counters().await };
        eventually("NGINX serves again", served).await;
    }

    /// The processes of the workers.
    pub fn workers(&self) -> Vec<u32> {
        let pid = self.master.as_ref().unwrap().id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("nginx.log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            Command::new("kill").args(["-TERM", &master.id().to_string()]).status().unwrap();
            drop(master.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Time for one who keeps a connection and one who doesn't.
pub const MOMENT: Duration = Duration::from_millis(300);
