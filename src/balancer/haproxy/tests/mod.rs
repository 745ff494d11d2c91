//! The pure parts.

mod command;
mod config;
mod plan;
mod seen;

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::Paths;
use crate::balancer::{Listen, Resources, Server, ServerState, Standby, Wanted};

/// `shop/checkout` with the defaults of the CRD and what `more` says.
fn wanted(more: Value) -> Wanted {
    let mut spec = json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]});
    let Value::Object(more) = more else { panic!("fields of spec.traffic") };
    spec.as_object_mut().unwrap().extend(more);
    Wanted {
        generation: 7,
        service: ("shop".to_owned(), "checkout".to_owned()),
        traffic: serde_json::from_value(spec).unwrap(),
        listeners: vec![Listen { port: 10_080, certificate: None }],
        servers: BTreeMap::new(),
        balancers: 2,
        gate: None,
        standbys: Vec::new(),
        authorities: BTreeMap::new(),
        resources: Resources::default(),
    }
}

fn paths() -> Paths {
    Paths::in_folder(Path::new("/run/plimsoll"))
}

fn standby(name: &str, address: Option<&str>, weight: u8) -> Standby {
    let addresses = address.iter().map(|address| address.parse().unwrap()).collect();
    Standby { name: name.to_owned(), addresses, weight, replicas: 3, tls: None }
}

fn server(address: &str, state: ServerState) -> Server {
    Server { address: address.parse().unwrap(), state }
}
