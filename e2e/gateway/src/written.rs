//! The statuses that the stand-in writes, and whether they have changed.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::{Value, json};

use crate::world::{Key, Route, World};

/// `controllerName` of the stand-in.
const CONTROLLER: &str = "plimsoll.dev/stand-in";
/// Transition time of all conditions; no test reads it.
const TIME: &str = "2026-01-01T00:00:00Z";

/// The last written status of each object.
#[derive(Default)]
pub struct WrittenStatuses(BTreeMap<Key, Value>);

impl WrittenStatuses {
    /// Forgets the status of `key` after a failed write.
    pub fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Statuses that differ from the last written ones; they are recorded as written.
    pub fn changed(&mut self, world: &World, address: IpAddr) -> Vec<(Key, Value)> {
        let mut all: Vec<(Key, Value)> = Vec::new();
        for gateway in &world.gateways {
            let generation = gateway.generation;
            let conditions =
                [condition("Accepted", None, generation), condition("Programmed", None, generation)];
            let addresses = json!([{"type": "IPAddress", "value": address.to_string()}]);
            all.push((gateway.key.clone(), json!({"addresses": addresses, "conditions": conditions})));
        }
        if !world.lies().stale {
            all.extend(world.routes.iter().map(|route| (route.key.clone(), of_route(route))));
        }
        all.retain(|(key, status)| self.0.get(key) != Some(status));
        self.0.extend(all.iter().cloned());
        all
    }
}

fn of_route(route: &Route) -> Value {
    let missing = route.missing.as_ref().map(|service| format!("Service {service} does not exist"));
    let conditions = [
        condition("Accepted", None, route.generation),
        condition("ResolvedRefs", missing.as_deref(), route.generation),
    ];
    let parents: Vec<Value> = route
        .parents
        .iter()
        .map(|parent| json!({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions}))
        .collect();
    json!({ "parents": parents })
}

fn condition(type_: &str, error: Option<&str>, generation: i64) -> Value {
    let (status, reason) = match (error, type_) {
        (Some(_), _) => ("False", "BackendNotFound"),
        (None, type_) => ("True", type_),
    };
    json!({
        "type": type_, "status": status, "reason": reason, "message": error.unwrap_or_default(),
        "observedGeneration": generation, "lastTransitionTime": TIME,
    })
}
