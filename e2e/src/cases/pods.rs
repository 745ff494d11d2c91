//! Pods of a case, and the switches that make those of a shop fail.

use super::scene::Scene;
use crate::prelude::*;

#[derive(Debug, Clone)]
pub struct Pod {
    pub name: String,
    /// Part of the paths of its volumes and cgroups.
    pub uid: String,
    pub ip: String,
    pub node: String,
    pub ready: bool,
}

/// The pods with this label `app` that are not being deleted, by name.
pub fn pods(scene: &Scene<'_>, app: &str) -> Result<Vec<Pod>> {
    Pod::all(scene, &format!("app={app}"))
}

/// Sets the switches of all of them, for example `{"errors": 0.3}`; `{}` takes all back.
pub fn fault(scene: &Scene<'_>, app: &str, switches: &str) -> Result<SystemTime> {
    pods(scene, app)?.iter().try_for_each(|pod| pod.fault(switches).map(drop))?;
    Ok(SystemTime::now())
}

impl Pod {
    /// Those with this label that are not being deleted, by name.
    pub fn all(scene: &Scene<'_>, label: &str) -> Result<Vec<Self>> {
        let list = scene.stage.cluster.list(scene.namespace, &format!("pods --selector={label}"))?;
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
