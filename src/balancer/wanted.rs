//! What is wanted of a balancer, from the spec, the endpoints and what is being drained. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Resources;
use plimsoll_api::{Percent, StandbyTls, Traffic};

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
    /// Where the gate listens, that takes one request when no replica can; `None` where requests that find
    /// none are refused.
    pub gate: Option<SocketAddr>,
    /// Standbys of `spec.failover`, in order of preference.
    pub standbys: Vec<Standby>,
    /// The file with the certificates of the authorities, for each Secret that a standby's `tls` names.
    pub authorities: BTreeMap<String, PathBuf>,
    /// What the container of the balancer has.
    pub resources: Resources,
}

/// Somewhere else that can serve the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Its name in the spec.
    pub name: String,
    /// Its addresses, once they are known, over which its requests are spread.
    pub addresses: Vec<SocketAddr>,
    /// Its share of the requests, which it only gets where it has an address.
    pub weight: Percent,
    /// Replicas that serve there; 0 where that is not known.
    pub replicas: u32,
    /// How it is reached over TLS, if it is.
    #[serde(default)]
    pub tls: Option<StandbyTls>,
}

impl Standby {
    /// Each of its addresses, and how it is reached there.
    pub fn places(&self) -> impl Iterator<Item = (SocketAddr, Option<StandbyTls>)> {
        self.addresses.iter().map(|address| (*address, self.tls.clone()))
    }
}

impl Wanted {
    /// With these standbys, and the files of `authorities` by their Secrets. Who has to prove who it is, and nothing is
    /// there to prove it by, has no address for now.
    #[must_use]
    pub fn and_standbys(self, standbys: Vec<Standby>, authorities: BTreeMap<String, PathBuf>) -> Self {
        let provable = |tls: &Option<StandbyTls>| {
            tls.as_ref().is_none_or(|tls| authorities.contains_key(&tls.ca_secret_name))
        };
        let standby = |standby: Standby| {
            let addresses = if provable(&standby.tls) { standby.addresses } else { Vec::new() };
            Standby { addresses, ..standby }
        };
        Self { standbys: standbys.into_iter().map(standby).collect(), authorities, ..self }
    }

    /// The servers that are to get requests, by their pods.
    pub fn ready(&self) -> impl Iterator<Item = (&String, &Server)> {
        self.servers.iter().filter(|(_, server)| server.state == ServerState::Ready)
    }

    /// The pods that are to get requests.
    #[must_use]
    pub fn ready_pods(&self) -> BTreeSet<String> {
        self.ready().map(|(pod, _)| pod.clone()).collect()
    }

    /// By what a standby over TLS has to prove who it is: the name in its certificate, and the authorities' file.
    #[must_use]
    pub fn proof<'a>(&'a self, standby: &'a Standby) -> Option<(&'a str, &'a Path)> {
        let tls = standby.tls.as_ref()?;
        Some((&tls.hostname, self.authorities.get(&tls.ca_secret_name)?))
    }

    /// The standbys with the share of the requests that each gets: none without an address, and never more than all
    /// together, of which the first ones come first.
    pub fn shares(&self) -> impl Iterator<Item = (&Standby, Percent)> {
        let mut left = Percent::HUNDRED;
        self.standbys.iter().map(move |standby| {
            let share = if standby.addresses.is_empty() { Percent::ZERO } else { standby.weight.min(left) };
            left = left.saturating_sub(share);
            (standby, share)
        })
    }

    /// The share that the service itself gets.
    #[must_use]
    pub fn primary_share(&self) -> Percent {
        self.shares().map(|(_, share)| share).sum::<Percent>().rest()
    }

    /// Where the requests go that have waited for the service itself: to the standbys that get all of them, the one with
    /// the greatest share first; nowhere else while the service gets any.
    #[must_use]
    pub fn instead(&self) -> Vec<&Standby> {
        if self.primary_share() > Percent::ZERO {
            return Vec::new();
        }
        let mut shares: Vec<_> = self.shares().filter(|(_, share)| *share > Percent::ZERO).collect();
        shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
        shares.into_iter().map(|(standby, _)| standby).collect()
    }

    /// Requests that this balancer may give to one address of a standby at a time: all of them together as many as to so
    /// many replicas; `None` without a limit, or where the replicas are not known.
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
/// others are no servers at all. Where nobody is ready and no request can wait at a gate, those that terminate but still serve get
/// requests, as kube-proxy sends them there (KEP-1669), unless they are in `draining`. The standbys and the resources are the caller's to add.
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
    fn a_pod_that_terminates_but_still_serves_gets_requests_only_when_no_other_can_and_none_can_wait() {
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
        assert_eq!(states(&all_end, &[], gate), of(ServerState::Drain, &["a"]), "requests wait");
        assert_eq!(states(&all_end, &["a"], None), of(ServerState::Drain, &["a"]), "it was chosen to go");
        let both = states(&[ending.clone(), serving.clone()], &[], None);
        assert_eq!(both, [of(ServerState::Drain, &["a"]), of(ServerState::Ready, &["d"])].concat());
        let drained = states(&[ending, serving], &["d"], None);
        assert_eq!(drained, [of(ServerState::Ready, &["a"]), of(ServerState::Drain, &["d"])].concat());
    }

    #[test]
    fn a_standby_without_an_address_gets_nothing_and_all_together_no_more_than_everything() {
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
    fn a_standby_that_nothing_can_prove_gets_no_request() {
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
    fn a_standby_has_the_limit_of_its_replicas_divided_among_the_balancers() {
        let wanted = with(Vec::new(), &json!({"limits": {"connectionsPerReplica": 5}, "replicas": 2}));
        assert_eq!(wanted.connections_to(&standby("a", true, 1, 3)), Some(8));
        let both = Standby {
            addresses: vec![([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 80).into()],
            ..standby("a", true, 1, 3)
        };
        assert_eq!(wanted.connections_to(&both), Some(4), "and among its addresses");
        assert_eq!(wanted.connections_to(&standby("a", true, 1, 0)), None, "who knows");
        assert_eq!(with(Vec::new(), &json!({})).connections_to(&standby("a", true, 1, 3)), None);
    }

    proptest! {
        #[test]
        fn shares_are_everything_together(standbys in prop::collection::vec((any::<bool>(), any::<u8>()), 0..5)) {
            let standbys = standbys.into_iter().map(|(known, weight)| standby("a", known, weight, 0)).collect();
            let wanted = with(standbys, &json!({}));
            let sum: u32 = wanted.shares().map(|(_, share)| u32::from(share)).sum();
            prop_assert_eq!(sum + u32::from(wanted.primary_share()), 100);
            prop_assert!(wanted.shares().all(|(standby, share)| share <= standby.weight));
        }
    }
}
