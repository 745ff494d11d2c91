//! A real HAProxy in a folder of its own.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use plimsoll::balancer::{
    Listen, Resources, Server, Wanted,
    haproxy::{HaProxy, Paths, Report},
};
use plimsoll_api::Traffic;
use serde_json::{Value, json};

use super::{
    eventually,
    program::{Program, signal},
};

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
    program: Program,
}

impl Balancer {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, to listen on that address.
    pub fn on(listen: IpAddr) -> Self {
        let program = Program::new("haproxy");
        let folder = program.folder.clone();
        let paths = Paths { listen, metrics: free_port(), ..Paths::in_folder(&folder) };
        Self { driver: HaProxy::new(paths), folder, program }
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
        let arguments = ["-W", "-db", "-f"].map(OsStr::new).into_iter();
        let arguments =
            arguments.chain([paths.config.as_os_str(), OsStr::new("-S"), paths.master.as_os_str()]);
        self.program.spawn(arguments.chain([OsStr::new("-x"), paths.listening.as_os_str()]));
    }

    /// What it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        self.program.log()
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
        self.program.wait();
    }
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
