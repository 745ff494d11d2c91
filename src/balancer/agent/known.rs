//! What the API server last said, and its copy beside the balancer for a start without it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::arrived::Arrived;
use crate::{
    api::Traffic,
    balancer::{Endpoints, Standby},
};

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
    /// Pods that get no new requests: those of `status.traffic.draining` and of `status.recovery.ejected`.
    pub draining: BTreeSet<String>,
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
            let known = known.cloned().unwrap_or_else(|| Standby { weight: 0, ..standby.clone() });
            Standby { tls: standby.tls.clone(), ..known }
        };
        self.standbys.iter().map(known).collect()
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
                weight: *weight,
                ..Standby::default()
            };
            let standbys = standbys.iter().map(standby).collect();
            let traffic = serde_json::from_value(traffic.clone()).unwrap();
            Service { generation: 1, holds: false, traffic, draining: BTreeSet::new(), standbys }
        };
        let runs = of(&[("east", 100), ("north", 0)]).standbys_as_of(&of(&[("north", 40), ("west", 60)]));
        let shares: Vec<_> = runs.iter().map(|standby| (standby.name.as_str(), standby.weight)).collect();
        assert_eq!(shares, [("east", 0), ("north", 40)], "who was taken out of the spec gets nothing");
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
            draining: BTreeSet::from(["a".to_owned()]),
            standbys: vec![Standby {
                name: "east".to_owned(),
                address: Some("[2001:db8::1]:80".parse().unwrap()),
                weight: 30,
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
