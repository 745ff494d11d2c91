//! Running programs and their memory, as text.

use super::{Cluster, cgroup, node};
use crate::{prelude::*, process::resident_bytes};
use std::fmt;

#[derive(Debug)]
pub struct Status {
    text: String,
    is_complete: bool,
}

impl Cluster {
    /// Reads the programs and their memory, and gets nodes and pods from the API server.
    pub fn status(&self) -> Result<Status> {
        let daemons = self.control_plane().into_iter().chain(self.nodes.iter().flat_map(node::Node::daemons));
        let daemons: Vec<_> = daemons.collect();
        let containers = cgroup::processes(node::CGROUP_ROOT)?.into_iter().map(resident_bytes);
        let containers = containers.chain(self.nodes.iter().map(node::Node::shim_memory)).sum::<u64>();
        let all = containers + daemons.iter().map(|daemon| daemon.memory()).sum::<u64>();
        let row = |name: &str, pid: &str, bytes: u64| format!("{name:<34} {pid:>8} {:>8}\n", bytes >> 20);
        let mut text = format!("{:<34} {:>8} {:>8}\n", "PROGRAM", "PID", "MIB");
        for daemon in &daemons {
            let pid = daemon.pid().map_or_else(|| String::from("dead"), |pid| pid.to_string());
            text += &row(&daemon.name, &pid, daemon.memory());
        }
        text += &(row("containers and their shims", "", containers) + &row("all", "", all));
        for objects in ["nodes", "pods --all-namespaces"] {
            let words = format!("get {objects} --output=wide --request-timeout=3s");
            let answer = self.kubectl_in("default", &words).unwrap_or_else(|error| format!("{error:#}\n"));
            text += &format!("\n{answer}");
        }
        Ok(Status { text, is_complete: daemons.iter().all(|daemon| daemon.is_running()) })
    }
}

impl Status {
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
