//! One node: containerd, kubelet and kube-proxy, with its own folder, cgroup and (from the second on) network.

use super::{
    cgroup,
    network::{self, node_name, node_namespace},
    node_config::{containerd_configuration, kube_proxy_configuration, kubelet_args, kubelet_configuration},
    pki,
    programs::Programs,
    state::State,
};
use crate::{
    prelude::*,
    process::{Daemon, arguments_of, find_program, processes, resident_bytes, run, signal_process},
};
use rustix::process::Signal;

/// Name of the image that holds a pod's namespaces; containerd would look up a short name at Docker's registry.
pub const PAUSE_IMAGE: &str = "plimsoll.local/pause:1";
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A node by its number: 1 is the host, 2 is a network namespace in another zone.
#[derive(Debug, Clone)]
pub struct Node {
    pub number: u8,
    state: State,
    pub containerd: Daemon,
    pub kubelet: Daemon,
    pub kube_proxy: Daemon,
}

impl Node {
    pub fn new(state: &State, programs: &Programs, number: u8) -> Result<Self> {
        let name = node_name(number);
        let daemon = |what: &str, program: PathBuf, args: Vec<String>| Daemon {
            name: format!("{what} of {name}"),
            program,
            args,
            netns: node_namespace(number),
            log: state.log(&format!("{name}-{what}")),
            pid_file: state.pid_file(&format!("{name}-{what}")),
        };
        let folder = |file: &str| state.text(&format!("{name}/{file}"));
        let containerd =
            find_program("containerd").context("containerd is missing; run `cargo xtask cluster up`")?;
        Ok(Self {
            number,
            state: state.clone(),
            containerd: daemon("containerd", containerd, vec!["--config".into(), folder("containerd.toml")]),
            kubelet: daemon("kubelet", programs.path("kubelet")?, kubelet_args(state, number)),
            kube_proxy: daemon(
                "kube-proxy",
                programs.path("kube-proxy")?,
                vec![format!("--config={}", folder("kube-proxy.json"))],
            ),
        })
    }

    pub fn name(&self) -> String {
        node_name(self.number)
    }

    pub fn folder(&self) -> PathBuf {
        self.state.path(&self.name())
    }

    /// Prepares a start: writes the configuration and creates the network and the cgroup.
    pub fn prepare(&self) -> Result<()> {
        fs::create_dir_all(self.folder().join("logs"))?;
        network::connect_node(&self.state, self.number)?;
        cgroup::create(&cgroup_of(self.number))?;
        let name = self.name();
        let folder = self.folder().display().to_string();
        let write = |file: &str, content: &str| fs::write(self.folder().join(file), content);
        write("containerd.toml", &containerd_configuration(&folder))?;
        write(
            "kubelet.json",
            &serde_json::to_string_pretty(&kubelet_configuration(&self.state, self.number))?,
        )?;
        let proxy = kube_proxy_configuration(&pki::kubeconfig(&self.state, "kube-proxy"), self.number, &name);
        Ok(write("kube-proxy.json", &serde_json::to_string_pretty(&proxy)?)?)
    }

    pub fn start_containerd(&self) -> Result<()> {
        self.containerd.start()?;
        self.containerd
            .wait_until("answer of containerd", READY_DEADLINE, || self.ctr(&["version"]).map(|_| true))
    }

    pub fn start(&self) -> Result<()> {
        self.start_containerd()?;
        self.kubelet.start()?;
        self.kube_proxy.start()
    }

    pub fn daemons(&self) -> [&Daemon; 3] {
        [&self.containerd, &self.kubelet, &self.kube_proxy]
    }

    /// Runs containerd's own client on the images and containers of Kubernetes.
    pub fn ctr(&self, args: &[&str]) -> Result<String> {
        let socket = socket_of(&self.folder().display().to_string());
        run("ctr", &[&["--address", &socket, "--namespace", "k8s.io"], args].concat())
    }

    /// Kills the node's programs and all its containers at the same time, as a power cut would. Its disk stays.
    pub fn kill(&self) -> Result<()> {
        // The kubelet first: otherwise it would restart the containers.
        for daemon in [&self.kubelet, &self.kube_proxy, &self.containerd] {
            daemon.kill9()?;
        }
        kill_containers(&self.state, self.number)
    }

    pub fn shim_memory(&self) -> u64 {
        shims(&self.state, self.number).into_iter().map(resident_bytes).sum()
    }
}

pub fn cgroup_of(number: u8) -> String {
    format!("{CGROUP_ROOT}/{}", node_name(number))
}

pub const CGROUP_ROOT: &str = "/plimsoll-dev";

/// Kills the containers of a node and their shims; works without a running containerd.
pub fn kill_containers(state: &State, number: u8) -> Result<()> {
    shims(state, number).into_iter().for_each(|pid| signal_process(pid, Signal::KILL));
    cgroup::kill(&cgroup_of(number))
}

fn shims(state: &State, number: u8) -> Vec<u32> {
    let socket = socket_of(&state.text(&node_name(number)));
    let ours = processes().filter(|process| is_shim_of(&arguments_of(process), &socket));
    ours.map(|process| process.pid.unsigned_abs()).collect()
}

fn is_shim_of(arguments: &str, socket: &str) -> bool {
    let mut words = arguments.split(' ');
    let is_shim = words.next().is_some_and(|program| program.contains("containerd-shim"));
    is_shim && words.any(|word| word == socket)
}

pub fn socket_of(folder: &str) -> String {
    format!("{folder}/containerd.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_belongs_to_the_node_of_its_socket() {
        let of_node_1 =
            "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id x -address /s/plimsoll-1/containerd.sock";
        assert!(is_shim_of(of_node_1, "/s/plimsoll-1/containerd.sock"));
        assert!(!is_shim_of(of_node_1, "/s/plimsoll-2/containerd.sock"));
        assert!(!is_shim_of("vim /s/plimsoll-1/containerd.sock", "/s/plimsoll-1/containerd.sock"));
    }
}
