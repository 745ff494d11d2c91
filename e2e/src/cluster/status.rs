//! What runs, since when it is ready, and how much memory it takes; for people.

use super::{Cluster, cgroup, node};
use anyhow::Result;
use std::fmt;

/// A program of the cluster.
#[derive(Debug)]
pub struct Part {
    pub name: String,
    /// Its process id, while it runs.
    pub pid: Option<u32>,
    /// Memory in RAM, in bytes.
    pub memory: u64,
}

/// The state of a cluster at one moment.
#[derive(Debug)]
pub struct Status {
    /// Every program that should run.
    pub parts: Vec<Part>,
    /// Memory in RAM of all containers and the shims beside them, in bytes.
    pub container_memory: u64,
    /// The nodes and pods as kubectl shows them; the reason when the API server does not answer.
    pub objects: String,
}

impl Cluster {
    /// Looks at the programs and asks the API server for nodes and pods.
    pub fn status(&self) -> Result<Status> {
        let daemons = self.control_plane().into_iter().chain(self.nodes.iter().flat_map(node::Node::daemons));
        let parts = daemons.map(|daemon| Part {
            name: daemon.name.clone(),
            pid: daemon.pid(),
            memory: daemon.memory(),
        });
        let shims: u64 = self.nodes.iter().map(node::Node::shim_memory).sum();
        let containers = cgroup::processes(node::CGROUP_ROOT)?;
        let in_containers: u64 = containers.into_iter().map(crate::process::resident_bytes).sum();
        Ok(Status {
            parts: parts.collect(),
            container_memory: shims + in_containers,
            objects: self.objects(),
        })
    }

    fn objects(&self) -> String {
        let questions: [&[&str]; 2] = [
            &["get", "nodes", "--output=wide", "--request-timeout=3s"],
            &["get", "pods", "--all-namespaces", "--output=wide", "--request-timeout=3s"],
        ];
        let answers =
            questions.map(|question| self.kubectl(question).unwrap_or_else(|error| format!("{error:#}\n")));
        answers.join("\n")
    }
}

impl Status {
    /// Whether every program runs.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| part.pid.is_some())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<34} {:>8} {:>8}", "PROGRAM", "PID", "MIB")?;
        for part in &self.parts {
            let pid = part.pid.map_or_else(|| String::from("dead"), |pid| pid.to_string());
            writeln!(out, "{:<34} {pid:>8} {:>8}", part.name, part.memory >> 20)?;
        }
        writeln!(out, "{:<34} {:>8} {:>8}", "containers and their shims", "", self.container_memory >> 20)?;
        let all: u64 = self.parts.iter().map(|part| part.memory).sum();
        writeln!(out, "{:<34} {:>8} {:>8}\n", "all", "", (all + self.container_memory) >> 20)?;
        write!(out, "{}", self.objects)
    }
}
