//! Pods of a case, and the fault switches of the shop.

use super::test_namespace::TestNamespace;
use crate::{
    prelude::*,
    process::{arguments_of, is_in_cgroup, processes, signal_process},
};
use rustix::process::Signal;

#[derive(Debug, Clone)]
pub struct Pod {
    pub name: String,
    /// The UID is part of the paths of the pod's volumes and cgroups.
    pub uid: String,
    pub ip: String,
    pub node: String,
    pub ready: bool,
}

/// Pods with this label `app` that are not being deleted, sorted by name.
pub fn pods(test: &TestNamespace<'_>, app: &str) -> Result<Vec<Pod>> {
    Pod::all(test, &format!("app={app}"))
}

/// Sets the fault switches of all these pods, for example `{"errors": 0.3}`; `{}` clears them.
pub fn fault(test: &TestNamespace<'_>, app: &str, switches: &str) -> Result<SystemTime> {
    pods(test, app)?.iter().try_for_each(|pod| pod.fault(switches).map(drop))?;
    Ok(SystemTime::now())
}

impl Pod {
    /// Pods with this label that are not being deleted, sorted by name.
    pub fn all(test: &TestNamespace<'_>, label: &str) -> Result<Vec<Self>> {
        let list = test.stage.cluster.list(test.namespace, &format!("pods --selector={label}"))?;
        let mut pods: Vec<Self> = list.iter().filter(|pod| !pod.is_going()).map(Self::of).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    fn of(pod: &Value) -> Self {
        let text = |path: &str| pod.text(path).to_owned();
        Self {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            ip: text("/status/podIP"),
            node: text("/spec/nodeName"),
            ready: pod.is("Ready"),
        }
    }

    pub fn fault(&self, switches: &str) -> Result<SystemTime> {
        let url = format!("http://{}:8080/fault", self.ip);
        ureq::post(&url).send(switches).with_context(|| url.clone())?;
        Ok(SystemTime::now())
    }
}

/// Kills the processes of a pod on this host whose arguments contain `word`, as a crash would. Fails if there is none.
pub fn kill(uid: &str, word: &str) -> Result<()> {
    let of_pod = processes().filter(|process| is_in_cgroup(process, uid));
    let found: Vec<_> = of_pod.filter(|process| arguments_of(process).contains(word)).collect();
    ensure!(!found.is_empty(), "the pod {uid} has no process {word:?}");
    found.iter().for_each(|process| signal_process(process.pid.unsigned_abs(), Signal::KILL));
    Ok(())
}
