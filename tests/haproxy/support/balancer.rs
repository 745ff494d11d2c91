//! A real HAProxy in its own folder.

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

/// `spec.traffic` with the defaults and the fields of `more`.
pub fn traffic(more: Value) -> Traffic {
    let mut spec = json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]});
    let Value::Object(more) = more else { panic!("{more} is not an object") };
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
/// same port between the check and the use, so each claims 1,200 ports by listening on one port.
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
    /// Does not start HAProxy yet.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, listening on this address.
    pub fn on(listen: IpAddr) -> Self {
        let program = Program::new("haproxy");
        let folder = program.folder.clone();
        let paths = Paths { listen, metrics: free_port(), ..Paths::in_folder(&folder) };
        Self { driver: HaProxy::new(paths), folder, program }
    }

    /// Starts HAProxy with the wanted state.
    pub async fn start(wanted: &Wanted) -> Self {
        Self::new().run(wanted).await
    }

    /// The same for a balancer that is not running yet.
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

    /// Standard output and standard error so far.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Waits until HAProxy answers.
    pub async fn up(&self) {
        eventually("HAProxy answers", || async { self.driver.observe().await.ok() }).await;
    }

    /// Applies the wanted state; it must be in sync then.
    pub async fn sync(&self, wanted: &Wanted) -> Report {
        let report = self.driver.sync(wanted).await.unwrap();
        assert!(report.in_sync, "{report:#?}");
        report
    }

    /// The answer to a runtime command that the driver does not use.
    pub async fn ask(&self, command: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::UnixStream::connect(&self.driver.paths().admin).await.unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Kills the worker process; the master then exits too, like a container.
    pub async fn kill(&mut self) {
        let pid = self.driver.observe().await.unwrap().epoch.pid;
        signal("-KILL", pid);
        self.program.wait();
    }
}

/// Address for clients, and a copy with servers.
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
