//! The pure parts.

mod command;
mod config;
mod plan;
mod seen;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::balancer::{Listen, Server, ServerState, Wanted};

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
    }
}

fn server(address: &str, state: ServerState) -> Server {
    Server { address: address.parse().unwrap(), state }
}
