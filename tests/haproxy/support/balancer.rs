//! A real HAProxy in a folder of its own.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
};

use plimsoll::balancer::{
    Listen, Resources, Server, Wanted,
    haproxy::{HaProxy, Paths, Report},
};
use plimsoll_api::Traffic;
use serde_json::{Value, json};

use super::eventually;

/// `spec.traffic` with the defaults and what `more` says.
pub fn traffic(more: Value) -> Traffic {
    let mut spec = json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]});
    let Value::Object(more) = more else { panic!("{more} is no object") };
    spec.as_object_mut().unwrap().extend(more);
    serde_json::from_value(spec).unwrap()
}

/// A service without replicas, with a listener on a free port.
pub fn wanted(more: Value) -> Wanted {
    Wanted {
        generation: 1,
        service: ("shop".to_owned(), "checkout".to_owned()),
        traffic: traffic(more),
        listeners: vec![Listen { port: free_port(), certificate: None }],
        servers: BTreeMap::new(),
        balancers: 1,
        gate: None,
        standbys: Vec::new(),
        authorities: BTreeMap::new(),
        resources: Resources::default(),
    }
}

/// A port without a listener, below the kernel's ephemeral range, and never the same twice. Two processes must not choose the
/// same port between the check and the use, so each has 1,200 ports of its own: it listens on a port that stands for them.
pub fn free_port() -> u16 {
    static OWN: LazyLock<(TcpListener, AtomicU16)> = LazyLock::new(|| {
        let claimed = |part: u16| {
            let claim = TcpListener::bind((Ipv4Addr::LOCALHOST, 19_900 + part)).ok()?;
            Some((claim, AtomicU16::new(20_000 + part * 1200)))
        };
        (0..10).find_map(claimed).expect("ten processes have all ports")
    });
    let mut ports = std::iter::repeat_with(|| OWN.1.fetch_add(1, Ordering::Relaxed));
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

pub struct Balancer {
    pub driver: HaProxy,
    pub folder: PathBuf,
    master: Option<Child>,
}

impl Balancer {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, to listen on that address.
    pub fn on(listen: IpAddr) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("plimsoll-haproxy-{}-{number}", std::process::id()));
        // A run that was killed may have had the same process id.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        let paths = Paths { listen, metrics: free_port(), ..Paths::in_folder(&folder) };
        Self { driver: HaProxy::new(paths), folder, master: None }
    }

    /// Runs what is wanted.
    pub async fn start(wanted: &Wanted) -> Self {
        Self::new().run(wanted).await
    }

    /// The same, of one that does not run yet.
    pub async fn run(self, wanted: &Wanted) -> Self {
        let mut balancer = self;
        let error = balancer.driver.sync(wanted).await.unwrap_err();
        assert!(error.is_down(), "{error}");
        balancer.spawn();
        balancer.up().await;
        balancer.sync(wanted).await;
        balancer
    }

    /// Starts the program, as the container would.
    pub fn spawn(&mut self) {
        let paths = self.driver.paths();
        let log = fs::File::create(self.folder.join("haproxy.log")).unwrap();
        let child = Command::new("haproxy")
            .args(["-W", "-db", "-f"])
            .arg(&paths.config)
            .arg("-S")
            .arg(&paths.master)
            .arg("-x")
            .arg(&paths.listening)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("these tests need the program `haproxy` (Debian: apt-get install haproxy)");
        self.master = Some(child);
    }

    /// What it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("haproxy.log")).unwrap_or_default()
    }

    /// Until it answers.
    pub async fn up(&self) {
        eventually("HAProxy answers", || async { self.driver.observe().await.ok() }).await;
    }

    /// Brings it about; it must be in sync then.
    pub async fn sync(&self, wanted: &Wanted) -> Report {
        let report = self.driver.sync(wanted).await.unwrap();
        assert!(report.in_sync, "{report:#?}");
        report
    }

    /// What it says, for a command that the driver has no word for.
    pub async fn ask(&self, command: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::UnixStream::connect(&self.driver.paths().admin).await.unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Kills the process that serves; the master then ends too, as a container does.
    pub async fn kill(&mut self) {
        let pid = self.driver.observe().await.unwrap().epoch.pid;
        signal("-KILL", pid);
        self.master.take().unwrap().wait().unwrap();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            signal("-TERM", master.id());
            drop(master.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn signal(signal: &str, pid: u32) {
    Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
}

/// Where clients reach it.
pub trait Reached {
    fn front(&self) -> SocketAddr;
    fn with(&self, servers: impl IntoIterator<Item = (String, Server)>) -> Wanted;
}

impl Reached for Wanted {
    fn front(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.listeners[0].port).into()
    }

    fn with(&self, servers: impl IntoIterator<Item = (String, Server)>) -> Wanted {
        Self { servers: servers.into_iter().collect(), ..self.clone() }
    }
}
