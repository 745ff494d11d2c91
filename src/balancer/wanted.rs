//! The wanted state of a balancer, from the spec, the endpoints and the draining replicas. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Resources;
use plimsoll_api::{Percent, StandbyTls, Traffic};

/// The wanted state of a balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Generation of the ScalableService that this is derived from.
    pub generation: i64,
    /// Namespace and name of the service, for logs and names in the configuration.
    pub service: (String, String),
    /// `spec.traffic`.
    pub traffic: Traffic,
    /// Ports to listen on.
    pub listeners: Vec<Listen>,
    /// Replicas by pod name, which is unique in the namespace.
    pub servers: BTreeMap<String, Server>,
    /// Number of balancers that share the connection limit of each replica, at least 1.
    pub balancers: i32,
    /// Address of the gate, which takes one request when no replica can. `None` if requests are refused while no replica
    /// is ready.
    pub gate: Option<SocketAddr>,
    /// Standbys of `spec.failover`, in order of preference.
    pub standbys: Vec<Standby>,
    /// File with the CA certificates, by the Secret that a standby's `tls` names.
    pub authorities: BTreeMap<String, PathBuf>,
    /// Resources of the balancer's container.
    pub resources: Resources,
}

/// Another backend that can serve the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Its name in the spec.
    pub name: String,
    /// Its known addresses; requests are spread over them.
    pub addresses: Vec<SocketAddr>,
    /// Its share of the requests; ineffective without an address.
    pub weight: Percent,
    /// Its number of replicas; 0 if unknown.
    pub replicas: u32,
    /// TLS settings, if the standby is reached over TLS.
    #[serde(default)]
    pub tls: Option<StandbyTls>,
}

impl Standby {
    /// Each of its addresses with the TLS settings.
    pub fn places(&self) -> impl Iterator<Item = (SocketAddr, Option<StandbyTls>)> {
        self.addresses.iter().map(|address| (*address, self.tls.clone()))
    }
}

impl Wanted {
    /// Adds the standbys, and the CA files of `authorities` by Secret. A standby over TLS has no address until its CA file
    /// is available.
    #[must_use]
    pub fn and_standbys(self, standbys: Vec<Standby>, authorities: BTreeMap<String, PathBuf>) -> Self {
        let verifiable = |tls: &Option<StandbyTls>| {
            tls.as_ref().is_none_or(|tls| authorities.contains_key(&tls.ca_secret_name))
        };
        let standby = |standby: Standby| {
            let addresses = if verifiable(&standby.tls) { standby.addresses } else { Vec::new() };
            Standby { addresses, ..standby }
        };
        Self { standbys: standbys.into_iter().map(standby).collect(), authorities, ..self }
    }

    /// Servers that should get requests, by pod name.
    pub fn ready(&self) -> impl Iterator<Item = (&String, &Server)> {
        self.servers.iter().filter(|(_, server)| server.state == ServerState::Ready)
    }

    /// Names of the pods that should get requests.
    #[must_use]
    pub fn ready_pods(&self) -> BTreeSet<String> {
        self.ready().map(|(pod, _)| pod.clone()).collect()
    }

    /// What the certificate of a standby over TLS is verified against: its hostname and the CA file.
    #[must_use]
    pub fn proof<'a>(&'a self, standby: &'a Standby) -> Option<(&'a str, &'a Path)> {
        let tls = standby.tls.as_ref()?;
        Some((&tls.hostname, self.authorities.get(&tls.ca_secret_name)?))
    }

    /// Each standby with its effective share of the requests. A standby without an address gets none. If the shares add up
    /// to more than 100 %, earlier standbys take precedence.
    pub fn shares(&self) -> impl Iterator<Item = (&Standby, Percent)> {
        let mut left = Percent::HUNDRED;
        self.standbys.iter().map(move |standby| {
            let share = if standby.addresses.is_empty() { Percent::ZERO } else { standby.weight.min(left) };
            left = left.saturating_sub(share);
            (standby, share)
        })
    }

    /// Share of the service itself.
    #[must_use]
    pub fn primary_share(&self) -> Percent {
        self.shares().map(|(_, share)| share).sum::<Percent>().rest()
    }

    /// Standbys that take the requests held for the service itself, in order of descending share. Empty while the service
    /// has a share.
    #[must_use]
    pub fn instead(&self) -> Vec<&Standby> {
        if self.primary_share() > Percent::ZERO {
            return Vec::new();
        }
        let mut shares: Vec<_> = self.shares().filter(|(_, share)| *share > Percent::ZERO).collect();
        shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
        shares.into_iter().map(|(standby, _)| standby).collect()
    }

    /// Concurrent requests that this balancer may send to one address of a standby. The limits of all addresses add up to
    /// the limit for the standby's number of replicas. `None` without a limit, or if the number of replicas is unknown.
    #[must_use]
    pub fn connections_to(&self, standby: &Standby) -> Option<u32> {
        if standby.replicas == 0 {
            return None;
        }
        let each = u32::try_from(self.traffic.limits.connections_per_replica?).ok()?;
        let balancers = u32::try_from(self.balancers).unwrap_or(1).max(1);
        let addresses = u32::try_from(standby.addresses.len()).unwrap_or(1).max(1);
        Some(each.saturating_mul(standby.replicas).div_ceil(balancers.saturating_mul(addresses)).max(1))
    }

    /// Concurrent requests that this balancer may send to one replica: its share of `limits.connectionsPerReplica`, rounded
    /// up so that the shares of all balancers add up to at least the limit. `None` without a limit.
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
    /// Port of the pod, not below 1024, so that no capability is needed to bind it.
    pub port: u16,
    /// PEM file with the certificate and its key, if the listener terminates TLS.
    pub certificate: Option<PathBuf>,
}

/// The wanted state of a replica in the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it gets new requests.
    pub state: ServerState,
}

/// Whether a replica gets new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// It does.
    Ready,
    /// It gets only those of sessions bound to it, and finishes the requests it has.
    Drain,
}

/// The pods behind a service, from its EndpointSlices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints(pub BTreeMap<String, Endpoint>);

/// One pod behind a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address.
    pub ip: IpAddr,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`: it still answers, even while it terminates.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// Its zone.
    pub zone: Option<String>,
}

/// Added to listener ports below 1024 in the balancer's pods, which then need no capability to bind them.
pub const LOW_PORTS_UP: u16 = 10_000;

/// The wanted state of a balancer for `traffic`, without standbys and with default resources.
///
/// A ready pod gets requests unless it is in `draining`. A pod that terminates but still serves is drained. All other pods
/// are left out. If no pod is ready and no gate can hold requests, pods that terminate but still serve get requests, as with
/// kube-proxy (KEP-1669), unless they are in `draining`.
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
    let is_ready = |(pod, endpoint): (&String, &Endpoint)| {
        endpoint.ready && !endpoint.terminating && !draining.contains(pod)
    };
    let only_terminating = gate.is_none() && !endpoints.0.iter().any(is_ready);
    let server = |(pod, endpoint): (&String, &Endpoint)| {
        let state = match endpoint {
            Endpoint { terminating: true, serving: true, .. }
                if only_terminating && !draining.contains(pod) =>
            {
                ServerState::Ready
            }
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
        balancers: traffic.replicas.unwrap_or(Traffic::REPLICAS).max(1),
        traffic: traffic.clone(),
        gate,
        standbys: Vec::new(),
        authorities: BTreeMap::new(),
        resources: Resources::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn standby(name: &str, known: bool, weight: u8, replicas: u32) -> Standby {
        let addresses = known.then(|| SocketAddr::from(([10, 0, 0, weight], 80))).into_iter().collect();
        let weight = Percent::clamped(weight.into());
        Standby { name: name.to_owned(), addresses, weight, replicas, tls: None }
    }

    fn with(standbys: Vec<Standby>, traffic: &serde_json::Value) -> Wanted {
        let mut spec = json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]});
        spec.as_object_mut().unwrap().extend(traffic.as_object().unwrap().clone());
        let traffic: Traffic = serde_json::from_value(spec).unwrap();
        let service = ("shop".to_owned(), "checkout".to_owned());
        let none = (Endpoints::default(), BTreeSet::new());
        Wanted { standbys, ..wanted(service, 1, &traffic, &none.0, &none.1, None, Path::new("/run")) }
    }

    fn shares(wanted: &Wanted) -> Vec<u8> {
        wanted.shares().map(|(_, share)| share.into()).collect()
    }

    #[test]
    fn a_terminating_pod_gets_requests_only_if_no_pod_is_ready_and_there_is_no_gate() {
        let pod = |ip: u8, ready, serving, terminating| Endpoint {
            ip: [10, 0, 0, ip].into(),
            ready,
            serving,
            terminating,
            zone: None,
        };
        let traffic = with(Vec::new(), &json!({})).traffic;
        let states = |pods: &[(&str, Endpoint)], draining: &[&str], gate: Option<SocketAddr>| {
            let endpoints =
                Endpoints(pods.iter().map(|(name, pod)| ((*name).to_owned(), pod.clone())).collect());
            let draining = draining.iter().map(|name| (*name).to_owned()).collect();
            let service = ("shop".to_owned(), "checkout".to_owned());
            let wanted = wanted(service, 1, &traffic, &endpoints, &draining, gate, Path::new("/run"));
            wanted.servers.into_iter().map(|(name, server)| (name, server.state)).collect::<Vec<_>>()
        };
        let of =
            |state, names: &[&str]| names.iter().map(|name| ((*name).to_owned(), state)).collect::<Vec<_>>();
        let ending = ("a", pod(1, false, true, true));
        let dead = ("b", pod(2, false, false, true));
        let starting = ("c", pod(3, false, false, false));
        let serving = ("d", pod(4, true, true, false));
        let all_end = [ending.clone(), dead, starting];
        assert_eq!(states(&all_end, &[], None), of(ServerState::Ready, &["a"]));
        let gate = Some(([127, 0, 0, 1], 9103).into());
        assert_eq!(states(&all_end, &[], gate), of(ServerState::Drain, &["a"]), "requests are held");
        assert_eq!(states(&all_end, &["a"], None), of(ServerState::Drain, &["a"]), "it is draining");
        let both = states(&[ending.clone(), serving.clone()], &[], None);
        assert_eq!(both, [of(ServerState::Drain, &["a"]), of(ServerState::Ready, &["d"])].concat());
        let drained = states(&[ending, serving], &["d"], None);
        assert_eq!(drained, [of(ServerState::Ready, &["a"]), of(ServerState::Drain, &["d"])].concat());
    }

    #[test]
    fn a_standby_without_an_address_gets_no_share_and_all_shares_are_at_most_100_percent() {
        let wanted = with(
            vec![standby("a", false, 50, 0), standby("b", true, 70, 0), standby("c", true, 60, 0)],
            &json!({}),
        );
        assert_eq!((shares(&wanted), wanted.primary_share()), (vec![0, 70, 30], Percent::ZERO));
        let instead: Vec<&str> = wanted.instead().iter().map(|standby| standby.name.as_str()).collect();
        assert_eq!(instead, ["b", "c"]);
        let some = with(vec![standby("a", true, 99, 0)], &json!({}));
        assert_eq!((u8::from(some.primary_share()), some.instead()), (1, vec![]));
    }

    #[test]
    fn a_standby_without_its_ca_file_gets_no_requests() {
        let tls = StandbyTls { hostname: "east.example".to_owned(), ca_secret_name: "east-ca".to_owned() };
        let over_tls = Standby { tls: Some(tls), ..standby("a", true, 100, 0) };
        let none = with(Vec::new(), &json!({}));
        let unknown = none.clone().and_standbys(vec![over_tls.clone()], BTreeMap::new());
        assert_eq!((unknown.primary_share(), unknown.proof(&over_tls)), (Percent::HUNDRED, None));
        let files = BTreeMap::from([("east-ca".to_owned(), PathBuf::from("/run/ca.pem"))]);
        let known = none.and_standbys(vec![over_tls.clone()], files);
        assert_eq!(known.primary_share(), Percent::ZERO);
        assert_eq!(known.proof(&over_tls), Some(("east.example", Path::new("/run/ca.pem"))));
    }

    #[test]
    fn the_connection_limit_of_a_standby_is_divided_among_the_balancers() {
        let wanted = with(Vec::new(), &json!({"limits": {"connectionsPerReplica": 5}, "replicas": 2}));
        assert_eq!(wanted.connections_to(&standby("a", true, 1, 3)), Some(8));
        let both = Standby {
            addresses: vec![([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 80).into()],
            ..standby("a", true, 1, 3)
        };
        assert_eq!(wanted.connections_to(&both), Some(4), "and among its addresses");
        assert_eq!(wanted.connections_to(&standby("a", true, 1, 0)), None, "unknown replicas");
        assert_eq!(with(Vec::new(), &json!({})).connections_to(&standby("a", true, 1, 3)), None);
    }

    proptest! {
        #[test]
        fn shares_add_up_to_100(standbys in prop::collection::vec((any::<bool>(), any::<u8>()), 0..5)) {
            let standbys = standbys.into_iter().map(|(known, weight)| standby("a", known, weight, 0)).collect();
            let wanted = with(standbys, &json!({}));
            let sum: u32 = wanted.shares().map(|(_, share)| u32::from(share)).sum();
            prop_assert_eq!(sum + u32::from(wanted.primary_share()), 100);
            prop_assert!(wanted.shares().all(|(standby, share)| share <= standby.weight));
        }
    }
}
