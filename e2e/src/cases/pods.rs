//! The pods of a shop, and the switches that make them fail.

use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::Value;

use super::scene::Scene;

/// A pod of a shop.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID, which is in the paths of its cgroups.
    pub uid: String,
    /// Its address.
    pub ip: String,
    /// Whether it is ready.
    pub ready: bool,
}

/// The pods with this label `app` that are not being deleted, by name.
pub fn pods(scene: &Scene<'_>, app: &str) -> Result<Vec<Pod>> {
    let list = scene.kubectl(&["get", "pods", &format!("--selector=app={app}"), "--output=json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let items = list.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default();
    let alive = items.iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
    let mut pods: Vec<Pod> = alive.map(Pod::of).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pods)
}

/// Sets the switches of all of them, for example `{"errors": 0.3}`; `{}` takes all back.
pub fn fault(scene: &Scene<'_>, app: &str, switches: &str) -> Result<SystemTime> {
    pods(scene, app)?.iter().try_for_each(|pod| pod.fault(switches).map(drop))?;
    Ok(SystemTime::now())
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let is = |condition: &Value, field: &str, value: &str| {
            condition.get(field).and_then(Value::as_str).is_some_and(|found| found == value)
        };
        let ready = |condition: &Value| is(condition, "type", "Ready") && is(condition, "status", "True");
        Self {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            ip: text("/status/podIP"),
            ready: conditions.into_iter().flatten().any(ready),
        }
    }

    /// Sets its switches.
    pub fn fault(&self, switches: &str) -> Result<SystemTime> {
        let url = format!("http://{}:8080/fault", self.ip);
        ureq::post(&url).send(switches).with_context(|| url.clone())?;
        Ok(SystemTime::now())
    }
}
