//! What the API server last said, and its copy beside the balancer for a start without it.

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

/// Who is bound to a replica by a cookie is sent elsewhere so long before its time to drain is over: what it has then is
/// finished within it. At most a third of that time.
const UNBOUND_BEFORE: SignedDuration = SignedDuration::from_secs(10);
/// How often the copy is written at most.
const COPY: Duration = Duration::from_secs(1);

/// Everything that a balancer is made of, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The ScalableService; `None` until it was seen.
    pub service: Option<Service>,
    /// Its endpoints; `None` until they were seen.
    pub endpoints: Option<Endpoints>,
    /// Pods that are ready, and that the endpoints may not have yet.
    pub arrived: Arrived,
    /// When the first change came that is not applied yet.
    pub changed: Option<Instant>,
}

/// What of the ScalableService concerns its balancers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Of the spec.
    pub generation: i64,
    /// Whether requests that find no replica at all wait: `minReplicas` is 0, or a standby is about to get them.
    pub holds: bool,
    /// `spec.traffic`.
    pub traffic: Traffic,
    /// Pods that get no new requests: those of `status.traffic.draining`, since when they are drained; and those of
    /// `status.recovery.ejected`, which not even sessions may reach that are bound to them.
    pub draining: BTreeMap<String, Option<Time>>,
    /// Balancers that share `limits`: those that are ready; `None` where the controller does not say.
    #[serde(default)]
    pub balancers: Option<i32>,
    /// Standbys of `spec.failover`, with what `status.failover` says of them.
    #[serde(default)]
    pub standbys: Vec<Standby>,
}

impl Service {
    /// Its standbys, of which `now` knows the addresses and shares: as this spec has them while `now` is a newer one that
    /// is refused. One that the newer has no more gets no requests.
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

    /// How many balancers share the limits of `traffic`: those that are ready, and no more than `traffic.replicas`, since a
    /// rollout has one more for a while.
    #[must_use]
    pub fn sharing(&self, traffic: &Traffic) -> i32 {
        let most = traffic.replicas.unwrap_or(i32::MAX).max(1);
        let ready = self.balancers.or(traffic.replicas).unwrap_or(Traffic::REPLICAS);
        ready.clamp(1, most)
    }

    /// The pods of `draining` that get no requests of bound sessions any more either.
    #[must_use]
    pub fn unbound(&self, now: Timestamp) -> BTreeSet<String> {
        let timeout = SignedDuration::try_from(Duration::from(self.traffic.drain.timeout));
        let timeout = timeout.unwrap_or(SignedDuration::MAX);
        let bound = timeout - UNBOUND_BEFORE.min(timeout / 3);
        let over =
            |since: &Option<Time>| since.as_ref().is_none_or(|since| now.duration_since(since.0) >= bound);
        self.draining.iter().filter(|(_, since)| over(since)).map(|(pod, _)| pod.clone()).collect()
    }

    /// Whether both are of the same structure.
    #[must_use]
    pub fn is_built_as(&self, other: &Self) -> bool {
        let standbys = |service: &Self| -> Vec<_> {
            service.standbys.iter().map(|standby| (standby.name.clone(), standby.tls.clone())).collect()
        };
        self.traffic == other.traffic && self.holds == other.holds && standbys(self) == standbys(other)
    }
}

impl Known {
    /// Notes that something changed.
    pub fn touch(&mut self) {
        self.changed.get_or_insert_with(Instant::now);
    }

    /// EndpointSlices list these now. Whether that is news.
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

/// What the copy holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copied {
    /// The newest spec.
    pub service: Service,
    /// Its endpoints.
    pub endpoints: Endpoints,
    /// The spec that runs; another one while the newest is refused, and none before one was taken.
    #[serde(default)]
    pub accepted: Option<Service>,
}

/// The copy of what is known, in a file.
#[derive(Debug)]
pub struct KnownCopy {
    path: PathBuf,
    stale: bool,
    written: Option<Instant>,
}

impl KnownCopy {
    /// The copy in that file, if there is one.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, stale: false, written: None }
    }

    /// What it says; `None` if there is none that is understood.
    #[must_use]
    pub fn read(&self) -> Option<Copied> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Something else is known.
    pub fn touch(&mut self) {
        self.stale = true;
    }

    /// Writes it if it is stale and not just written. Without it a balancer only starts later, so that a failure is told
    /// and no more.
    pub fn keep(&mut self, known: &Known, accepted: Option<&Service>) {
        if !self.stale || self.written.is_some_and(|at| at.elapsed() < COPY) {
            return;
        }
        let Some((service, endpoints)) = known.complete() else { return };
        let copied =
            Copied { service: service.clone(), endpoints: endpoints.clone(), accepted: accepted.cloned() };
        if let Err(error) = self.write(&copied) {
            tracing::warn!(%error, "the copy of what is known can't be written");
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
    fn a_spec_that_runs_while_a_newer_one_is_refused_has_its_own_standbys_with_the_newest_shares() {
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
        assert_eq!(shares, [("east", 0), ("north", 40)], "who was taken out of the spec gets nothing");
    }

    #[test]
    fn limits_are_shared_by_the_balancers_that_are_ready_and_by_no_more_than_the_spec_says() {
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
        assert_eq!(sharing(None, Some(7)), 7, "somebody else scales them");
        assert_eq!(sharing(None, None), 2);
    }

    #[test]
    fn bound_sessions_go_elsewhere_in_the_last_third_of_a_drain_and_at_once_from_who_is_ejected() {
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
    fn the_copy_comes_back_as_it_was_and_half_a_copy_is_none() {
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
