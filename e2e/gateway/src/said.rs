//! What is said in status, and when there is something new to say.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::{Value, json};

use crate::world::{Key, Route, World};

/// As it stands in `controllerName`.
const CONTROLLER: &str = "plimsoll.dev/stand-in";
/// Nobody looks at these times.
const TIME: &str = "2026-01-01T00:00:00Z";

/// What was said last of each object.
#[derive(Default)]
pub struct Said(BTreeMap<Key, Value>);

impl Said {
    /// What was told of `key` did not get there.
    pub fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Statuses that are to be written, each told once.
    pub fn news(&mut self, world: &World, address: IpAddr) -> Vec<(Key, Value)> {
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

fn condition(type_: &str, wrong: Option<&str>, generation: i64) -> Value {
    let (status, reason) = match (wrong, type_) {
        (Some(_), _) => ("False", "BackendNotFound"),
        (None, type_) => ("True", type_),
    };
    json!({
        "type": type_, "status": status, "reason": reason, "message": wrong.unwrap_or_default(),
        "observedGeneration": generation, "lastTransitionTime": TIME,
    })
}
