//! What is wanted of a balancer, from the spec, the endpoints and what is being drained. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::api::Traffic;

/// Everything that a balancer should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Generation of the ScalableService that this is made from.
    pub generation: i64,
    /// Namespace and name of the service, for logs and names in the configuration.
    pub service: (String, String),
    /// The spec, for everything that is not an endpoint.
    pub traffic: Traffic,
    /// Where it listens.
    pub listeners: Vec<Listen>,
    /// Replicas by the names of their pods, which are unique in a namespace.
    pub servers: BTreeMap<String, Server>,
    /// Balancers that share the limit of connections of each replica, at least 1.
    pub balancers: i32,
    /// Where the gate listens, that takes one request when no replica can; `None` where nothing scales to zero.
    pub gate: Option<SocketAddr>,
}

impl Wanted {
    /// Requests that this balancer may give to one replica at a time: its share of `limits.connectionsPerReplica`,
    /// rounded up so that all shares together are never less; `None` without a limit.
    #[must_use]
    pub fn connections_per_server(&self) -> Option<u32> {
        let all = u32::try_from(self.traffic.limits.connections_per_replica?).ok()?;
        let balancers = u32::try_from(self.balancers).unwrap_or(1).max(1);
        Some(all.div_ceil(balancers).max(1))
    }
}

/// A port to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port of the pod, above 1024 so that no right is needed.
    pub port: u16,
    /// The certificate with its key in one PEM file, where TLS ends.
    pub certificate: Option<PathBuf>,
}

/// A replica as the balancer should see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it gets new requests.
    pub state: ServerState,
}

/// Whether a replica gets new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Yes.
    Ready,
    /// None but those of sessions that are bound to it; what it has is finished.
    Drain,
}

/// The pods behind a service, as its EndpointSlices tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints(pub BTreeMap<String, Endpoint>);

/// One pod behind a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address.
    pub ip: IpAddr,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`: still answers, also while it terminates.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// Its zone.
    pub zone: Option<String>,
}

/// Lower ports of listeners are moved up by this much in the balancer's pods, which then need no right to bind them.
pub const LOW_PORTS_UP: u16 = 10_000;

/// What a balancer should be for `traffic`.
///
/// A pod that is ready gets requests unless it is in `draining`; one that terminates but still serves is drained; all
/// others are no servers at all.
#[must_use]
pub fn wanted(
    service: (String, String),
    generation: i64,
    traffic: &Traffic,
    endpoints: &Endpoints,
    draining: &BTreeSet<String>,
    gate: Option<SocketAddr>,
    certificates: &Path,
) -> Wanted {
    let port = traffic.target_port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let server = |(pod, endpoint): (&String, &Endpoint)| {
        let state = match endpoint {
            Endpoint { terminating: true, serving: true, .. } => ServerState::Drain,
            Endpoint { terminating: false, ready: true, .. } if draining.contains(pod) => ServerState::Drain,
            Endpoint { terminating: false, ready: true, .. } => ServerState::Ready,
            _ => return None,
        };
        Some((pod.clone(), Server { address: SocketAddr::new(endpoint.ip, port), state }))
    };
    let listeners = traffic.listeners.iter().map(|listener| {
        let port = u16::try_from(listener.port).unwrap_or_default();
        Listen {
            port: if port < 1024 { port + LOW_PORTS_UP } else { port },
            certificate: listener
                .tls
                .as_ref()
                .map(|tls| certificates.join(format!("{}.pem", tls.secret_name))),
        }
    });
    Wanted {
        generation,
        service,
        listeners: listeners.collect(),
        servers: endpoints.0.iter().filter_map(server).collect(),
        balancers: traffic.replicas.max(1),
        traffic: traffic.clone(),
        gate,
    }
}
