//! A real Kubernetes cluster on one machine: up, down, status, and fault injection for tests.
//!
//! Node 1 is the host itself, node 2 a network namespace in another zone. All traffic
//! stays on the machine: loopback, a bridge of our own, and the pods.

mod addons;
mod bare;
mod cgroup;
mod client;
mod control_plane;
pub mod gateway_api;
mod image;
mod lifecycle;
mod network;
mod node;
mod node_config;
mod oci;
mod packages;
mod pki;
mod preflight;
mod programs;
mod progress;
pub mod releases;
mod state;
mod status;
mod sysctl;
mod teardown;

pub use addons::prometheus_for;
pub use bare::BareApiServer;
pub use client::Client;
pub use image::{Archive, Image};
pub use network::node_address;
pub use node::PAUSE_IMAGE;
pub use programs::{KEDA, METRICS_SERVER, Module, Programs};
pub use state::{Record, cache_folder};
pub use status::Status;

use crate::{prelude::*, process::Daemon};
use fs_err::File;
use lifecycle::import;
use node::Node;
use state::State;
use std::ops::Deref;

/// Lock file: only one run at a time changes the cluster. It is outside of the state folder, which `down` removes.
const LOCK: &str = "/run/lock/plimsoll-dev.lock";
const NODE_DEADLINE: Duration = Duration::from_secs(60);
/// Time for a control plane program to exit gracefully. The API server would wait a minute for open watches.
const STOP_GRACE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub nodes: u8,
    /// How often Prometheus scrapes pods, at least 100 ms.
    pub scrape_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 1, scrape_interval: Duration::from_secs(1) }
    }
}

impl Options {
    pub fn of_running_cluster() -> Option<Self> {
        let record = State::default().record()?;
        Some(Self { nodes: record.nodes, scrape_interval: Duration::from_millis(record.scrape_interval_ms) })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    Etcd,
    ApiServer,
    Kubelet(u8),
    KubeProxy(u8),
}

/// A cluster on this machine. It keeps running when this value is dropped.
#[derive(Debug)]
pub struct Cluster {
    state: State,
    programs: Programs,
    kubeconfig: PathBuf,
    client: Client,
    etcd: Daemon,
    api_server: Daemon,
    controller_manager: Daemon,
    scheduler: Daemon,
    nodes: Vec<Node>,
}

/// The administrator's kubectl and helm.
impl Deref for Cluster {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Cluster {
    pub fn prepare() -> Result<Programs> {
        preflight::check()?;
        packages::ensure()?;
        Programs::ensure()
    }

    /// Creates a cluster, or makes the running one match the options: restarts dead programs, adds or removes nodes.
    ///
    /// The first call on a machine builds Kubernetes, which takes about ten minutes on two cores.
    pub fn up(options: &Options) -> Result<Self> {
        let Options { nodes, scrape_interval } = *options;
        ensure!((1..=network::NODE_COUNT).contains(&nodes), "nodes is {nodes}; it must be 1 or 2");
        let shortest = Duration::from_millis(100);
        ensure!(
            scrape_interval >= shortest,
            "scrape_interval is {scrape_interval:?}; it must be at least {shortest:?}"
        );
        let programs = Self::prepare()?;
        let _one_change_at_a_time = lock()?;
        let state = State::default();
        let cluster = Self::describe(state, programs, nodes)?;
        let record = cluster.state.record().filter(|_| cluster.etcd.is_running());
        match record {
            Some(record) => cluster
                .adjust(&record, options)
                .context("cannot repair the running cluster; `cargo xtask cluster down` removes it")?,
            None => cluster.create(options).with_context(|| {
                let logs = cluster.state.text("logs");
                format!("no cluster (logs are in {logs}; `cargo xtask cluster down` removes the remains)")
            })?,
        }
        cluster.state.write_record(&record_of(options))?;
        Ok(cluster)
    }

    pub fn attach() -> Result<Self> {
        preflight::require_root()?;
        let state = State::default();
        let up = "`cargo xtask cluster up` creates one";
        let record = state.record().with_context(|| format!("no cluster runs on this machine; {up}"))?;
        let cluster = Self::describe(state, Programs::find()?, record.nodes)?;
        let is_alive = cluster.control_plane().iter().any(|daemon| daemon.is_running());
        ensure!(is_alive, "the cluster of this machine is dead; {up}");
        Ok(cluster)
    }

    /// Removes the cluster and everything that it left on the machine; does nothing without a cluster.
    pub fn down() -> Result<()> {
        preflight::require_root()?;
        let _one_change_at_a_time = lock()?;
        teardown::all(&State::default())
    }

    /// The administrator's kubeconfig; its context is `plimsoll-dev`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn state_folder(&self) -> &Path {
        self.state.root()
    }

    pub fn program_folders(&self) -> &[PathBuf] {
        self.programs.folders()
    }

    pub fn program(&self, name: &str) -> Result<PathBuf> {
        self.programs.path(name)
    }

    /// Loads an image onto every node under a full name (`plimsoll.local/app:1`), unless it is there with this content.
    ///
    /// Pods use it with `imagePullPolicy: Never`.
    pub fn load_image(&self, name: &str, image: &Image) -> Result<()> {
        let archive = image.build(name)?;
        self.nodes.iter().try_for_each(|node| import(node, &archive))?;
        let record = self.images_folder()?.join(name.replace(['/', ':'], "_"));
        Ok(fs::write(&record, serde_json::to_string(&archive)?)?)
    }

    /// Stops a program gracefully; the containers and programs that it manages keep running.
    pub fn stop(&self, component: Component) -> Result<()> {
        self.daemon(component)?.stop(STOP_GRACE)
    }

    pub fn kill9(&self, component: Component) -> Result<()> {
        self.daemon(component)?.kill9()
    }

    /// Restarts a program; waits until etcd or the API server answers.
    pub fn start(&self, component: Component) -> Result<()> {
        let daemon = self.daemon(component)?;
        daemon.start()?;
        match component {
            Component::Etcd => control_plane::wait_for_etcd(daemon),
            Component::ApiServer => control_plane::wait_for_api_server(daemon, &self.state, &self.programs),
            _ => Ok(()),
        }
    }

    pub fn node_numbers(&self) -> impl Iterator<Item = u8> {
        self.nodes.iter().map(|node| node.number)
    }

    /// Fails a node as a power cut would: its programs and all its containers are killed.
    pub fn stop_node(&self, number: u8) -> Result<()> {
        self.node(number)?.kill()
    }

    /// Restarts a node; it is ready some seconds later.
    pub fn start_node(&self, number: u8) -> Result<()> {
        self.node(number)?.start()
    }

    /// Waits until every node is ready and accepts pods: the NotReady taint is removed a moment later.
    pub fn wait_for_nodes(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| {
            let name = node.name();
            let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints[*].key}"#;
            node.kubelet.wait_until(&format!("readiness of node {name}"), NODE_DEADLINE, || {
                Ok(self.kubectl(&["get", "node", &name, "--output", path])? == "True")
            })
        })
    }

    fn describe(state: State, programs: Programs, nodes: u8) -> Result<Self> {
        Ok(Self {
            kubeconfig: state.kubeconfig(),
            client: Client::of_machine(programs.path("kubectl")?, programs.path("helm")?, state.kubeconfig()),
            etcd: control_plane::etcd(&state, &programs)?,
            api_server: control_plane::api_server(&state, &programs)?,
            controller_manager: control_plane::controller_manager(&state, &programs)?,
            scheduler: control_plane::scheduler(&state, &programs)?,
            nodes: (1..=nodes).map(|number| Node::new(&state, &programs, number)).collect::<Result<_>>()?,
            state,
            programs,
        })
    }

    fn control_plane(&self) -> [&Daemon; 4] {
        [&self.etcd, &self.api_server, &self.controller_manager, &self.scheduler]
    }

    fn images_folder(&self) -> Result<PathBuf> {
        let folder = self.state.path("images");
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn node(&self, number: u8) -> Result<&Node> {
        let index = usize::from(number).checked_sub(1);
        let node = index.and_then(|index| self.nodes.get(index));
        node.with_context(|| format!("there is no node {number}; this cluster has {}", self.nodes.len()))
    }

    fn daemon(&self, component: Component) -> Result<&Daemon> {
        Ok(match component {
            Component::Etcd => &self.etcd,
            Component::ApiServer => &self.api_server,
            Component::Kubelet(number) => &self.node(number)?.kubelet,
            Component::KubeProxy(number) => &self.node(number)?.kube_proxy,
        })
    }
}

fn record_of(options: &Options) -> Record {
    let interval = u64::try_from(options.scrape_interval.as_millis()).unwrap_or(u64::MAX);
    Record { nodes: options.nodes, scrape_interval_ms: interval }
}

fn lock() -> Result<File> {
    fs::create_dir_all("/run/lock")?;
    programs::lock(Path::new(LOCK))
}
