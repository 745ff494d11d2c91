//! The last known state from the API server, and its copy beside the balancer for a start without the API server.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::arrived::Arrived;
use crate::balancer::{Endpoints, Standby};
use plimsoll_api::{Percent, Traffic};

/// Clients bound to a replica by a cookie go to other replicas this long before the drain timeout, so that requests in
/// progress finish in time. At most a third of the timeout.
const UNBOUND_BEFORE: SignedDuration = SignedDuration::from_secs(10);
/// Shortest time between two writes of the copy.
const COPY: Duration = Duration::from_secs(1);

/// The input of a balancer's configuration, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The ScalableService; `None` until it was seen.
    pub service: Option<Service>,
    /// Its endpoints; `None` until they were seen.
    pub endpoints: Option<Endpoints>,
    /// Ready pods that the endpoints may not list yet.
    pub arrived: Arrived,
    /// When the first change arrived that is not applied yet.
    pub changed: Option<Instant>,
}

/// The part of a ScalableService that concerns its balancers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Generation of the spec.
    pub generation: i64,
    /// Whether requests are held while no replica is ready: `minReplicas` is 0, or there is `spec.failover`.
    pub holds: bool,
    /// `spec.traffic`.
    pub traffic: Traffic,
    /// Pods that get no new requests: those of `status.traffic.draining` with the start of their drain, and those of
    /// `status.recovery.ejected` without, which must not get requests of bound sessions either.
    pub draining: BTreeMap<String, Option<Time>>,
    /// Number of ready balancers, which share `limits`; `None` if the controller does not report it.
    #[serde(default)]
    pub balancers: Option<i32>,
    /// Standbys of `spec.failover`, with their state from `status.failover`.
    #[serde(default)]
    pub standbys: Vec<Standby>,
}

impl Service {
    /// The standbys of this spec, with addresses and shares from `now`: `now` may be a newer spec that is refused. A
    /// standby that the newer spec does not have gets no requests.
    #[must_use]
    pub fn standbys_as_of(&self, now: &Self) -> Vec<Standby> {
        let known = |standby: &Standby| {
            let known = now.standbys.iter().find(|known| known.name == standby.name);
            let known =
                known.cloned().unwrap_or_else(|| Standby { weight: Percent::ZERO, ..standby.clone() });
            Standby { tls: standby.tls.clone(), ..known }
        };
        self.standbys.iter().map(known).collect()
    }

    /// Number of balancers that share the limits of `traffic`: the ready ones, but at most `traffic.replicas`, since
    /// there is one more during a rollout.
    #[must_use]
    pub fn sharing(&self, traffic: &Traffic) -> i32 {
        let most = traffic.replicas.unwrap_or(i32::MAX).max(1);
        let ready = self.balancers.or(traffic.replicas).unwrap_or(Traffic::REPLICAS);
        ready.clamp(1, most)
    }

    /// The pods of `draining` that must not get requests of bound sessions any more.
    #[must_use]
    pub fn unbound(&self, now: Timestamp) -> BTreeSet<String> {
        let timeout = SignedDuration::try_from(Duration::from(self.traffic.drain.timeout));
        let timeout = timeout.unwrap_or(SignedDuration::MAX);
        let bound = timeout - UNBOUND_BEFORE.min(timeout / 3);
        let over =
            |since: &Option<Time>| since.as_ref().is_none_or(|since| now.duration_since(since.0) >= bound);
        self.draining.iter().filter(|(_, since)| over(since)).map(|(pod, _)| pod.clone()).collect()
    }

    /// Whether both lead to the same structure of the configuration.
    #[must_use]
    pub fn is_built_as(&self, other: &Self) -> bool {
        let standbys = |service: &Self| -> Vec<_> {
            service.standbys.iter().map(|standby| (standby.name.clone(), standby.tls.clone())).collect()
        };
        self.traffic == other.traffic && self.holds == other.holds && standbys(self) == standbys(other)
    }
}

impl Known {
    /// Records a change.
    pub fn touch(&mut self) {
        self.changed.get_or_insert_with(Instant::now);
    }

    /// Sets the listed endpoints. Returns whether they changed.
    pub fn list(&mut self, endpoints: Endpoints) -> bool {
        if self.endpoints.as_ref() == Some(&endpoints) {
            return false;
        }
        self.arrived.list(&endpoints);
        self.endpoints = Some(endpoints);
        self.touch();
        true
    }

    /// Both parts, once they are known.
    #[must_use]
    pub fn complete(&self) -> Option<(&Service, &Endpoints)> {
        self.service.as_ref().zip(self.endpoints.as_ref())
    }
}

/// Content of the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copied {
    /// The newest spec.
    pub service: Service,
    /// Its endpoints.
    pub endpoints: Endpoints,
    /// The running spec: an older one while the newest is refused; `None` before the first was accepted.
    #[serde(default)]
    pub accepted: Option<Service>,
}

/// The copy of the known state, in a file.
#[derive(Debug)]
pub struct KnownCopy {
    path: PathBuf,
    stale: bool,
    written: Option<Instant>,
}

impl KnownCopy {
    /// The copy at `path`, which may not exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, stale: false, written: None }
    }

    /// Its content; `None` if it is missing or invalid.
    #[must_use]
    pub fn read(&self) -> Option<Copied> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Marks the copy as stale.
    pub fn touch(&mut self) {
        self.stale = true;
    }

    /// Writes the copy if it is stale and was not just written. A failure is only logged: without the copy a balancer
    /// starts later.
    pub fn keep(&mut self, known: &Known, accepted: Option<&Service>) {
        if !self.stale || self.written.is_some_and(|at| at.elapsed() < COPY) {
            return;
        }
        let Some((service, endpoints)) = known.complete() else { return };
        let copied =
            Copied { service: service.clone(), endpoints: endpoints.clone(), accepted: accepted.cloned() };
        if let Err(error) = self.write(&copied) {
            tracing::warn!(%error, "failed to write the copy of the known state");
        }
        (self.stale, self.written) = (false, Some(Instant::now()));
    }

    fn write(&self, copied: &Copied) -> io::Result<()> {
        let text = serde_json::to_vec(copied)?;
        let beside = self.path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        fs::rename(beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_newer_spec_is_refused_the_running_one_keeps_its_standbys_with_the_newest_shares() {
        let traffic =
            serde_json::json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]});
        let of = |standbys: &[(&str, u8)]| {
            let standby = |(name, weight): &(&str, u8)| Standby {
                name: (*name).to_owned(),
                weight: Percent::clamped((*weight).into()),
                ..Standby::default()
            };
            let standbys = standbys.iter().map(standby).collect();
            let traffic = serde_json::from_value(traffic.clone()).unwrap();
            Service {
                generation: 1,
                holds: false,
                traffic,
                draining: BTreeMap::new(),
                balancers: None,
                standbys,
            }
        };
        let runs = of(&[("east", 100), ("north", 0)]).standbys_as_of(&of(&[("north", 40), ("west", 60)]));
        let shares: Vec<_> =
            runs.iter().map(|standby| (standby.name.as_str(), u8::from(standby.weight))).collect();
        assert_eq!(shares, [("east", 0), ("north", 40)], "a standby removed from the spec gets nothing");
    }

    #[test]
    fn limits_are_shared_by_the_ready_balancers_up_to_the_replicas_of_the_spec() {
        let sharing = |replicas: Option<i32>, ready: Option<i32>| {
            let traffic = serde_json::json!({"provider": "HAProxy", "replicas": replicas});
            let traffic: Traffic = serde_json::from_value(traffic).unwrap();
            let (draining, standbys) = (BTreeMap::new(), Vec::new());
            let (generation, holds, balancers) = (1, false, ready);
            Service { generation, holds, traffic: traffic.clone(), draining, balancers, standbys }
                .sharing(&traffic)
        };
        assert_eq!(sharing(Some(3), Some(2)), 2);
        assert_eq!(sharing(Some(3), Some(4)), 3, "a rollout has one more");
        assert_eq!((sharing(Some(3), None), sharing(Some(3), Some(0))), (3, 1));
        assert_eq!(sharing(None, Some(7)), 7, "another autoscaler scales them");
        assert_eq!(sharing(None, None), 2);
    }

    #[test]
    fn bound_sessions_leave_before_the_end_of_a_drain_and_leave_ejected_pods_immediately() {
        let begin: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let unbound = |timeout: &str, seconds| -> Vec<String> {
            let traffic = serde_json::json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}],
                "drain": {"timeout": timeout}});
            let draining = [("drained".to_owned(), Some(Time(begin))), ("ejected".to_owned(), None)];
            let service = Service {
                generation: 1,
                holds: false,
                traffic: serde_json::from_value(traffic).unwrap(),
                draining: draining.into(),
                balancers: None,
                standbys: Vec::new(),
            };
            service.unbound(begin + SignedDuration::from_secs(seconds)).into_iter().collect()
        };
        assert_eq!(unbound("30s", 19), ["ejected"]);
        assert_eq!(unbound("30s", 20), ["drained", "ejected"]);
        assert_eq!(unbound("1h", 3_589), ["ejected"]);
        assert_eq!(unbound("1h", 3_590), ["drained", "ejected"]);
        assert_eq!(unbound("3s", 1), ["ejected"]);
        assert_eq!(unbound("3s", 2), ["drained", "ejected"]);
        assert_eq!(unbound("0s", 0), ["drained", "ejected"]);
    }

    #[test]
    fn the_copy_is_read_back_unchanged_and_half_a_copy_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        let mut copy = KnownCopy::at(path.clone());
        assert!(copy.read().is_none());
        let traffic = serde_json::from_value(
            serde_json::json!({"provider": "HAProxy", "targetPort": 8080, "listeners": [{"port": 80}]}),
        );
        let service = Service {
            generation: 3,
            holds: true,
            traffic: traffic.unwrap(),
            draining: BTreeMap::from([
                ("a".to_owned(), Some(Time(Timestamp::UNIX_EPOCH))),
                ("b".to_owned(), None),
            ]),
            balancers: Some(2),
            standbys: vec![Standby {
                name: "east".to_owned(),
                addresses: vec!["[2001:db8::1]:80".parse().unwrap()],
                weight: Percent::clamped(30),
                replicas: 2,
                tls: None,
            }],
        };
        let endpoints: Endpoints = serde_json::from_value(serde_json::json!({
            "a": {"ip": "10.0.0.1", "ready": true, "serving": true, "terminating": false, "zone": null},
        }))
        .unwrap();
        let known =
            Known { service: Some(service.clone()), endpoints: Some(endpoints.clone()), ..Known::default() };
        copy.keep(&known, None);
        assert!(copy.read().is_none(), "nothing is new");
        copy.touch();
        let accepted = Service { generation: 2, ..service.clone() };
        copy.keep(&known, Some(&accepted));
        assert_eq!(copy.read(), Some(Copied { service, endpoints, accepted: Some(accepted) }));
        let half = fs::read(&path).unwrap();
        fs::write(&path, &half[..half.len() / 2]).unwrap();
        assert!(copy.read().is_none());
    }
}
