//! Fixtures for the tests of both drivers.

use serde_json::{Value, json};

use super::{Listen, Resources, Server, ServerState, Wanted};

/// `shop/checkout` with the CRD's defaults and the fields of `more`.
pub(super) fn wanted(provider: &str, more: &Value) -> Wanted {
    let mut spec = json!({"provider": provider, "targetPort": 8080, "listeners": [{"port": 80}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Wanted {
        generation: 7,
        service: ("shop".to_owned(), "checkout".to_owned()),
        traffic: serde_json::from_value(spec).unwrap(),
        listeners: vec![Listen { port: 10_080, certificate: None }],
        servers: Default::default(),
        balancers: 2,
        gate: None,
        standbys: Vec::new(),
        authorities: Default::default(),
        resources: Resources::default(),
    }
}

pub(super) fn server(address: &str, state: ServerState) -> Server {
    Server { address: address.parse().unwrap(), state }
}
