//! Departed replicas. EndpointSlices list them as ready until their controller has processed the deletion, so balancers would
//! send them requests if the status stopped reporting them as draining too early. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use plimsoll_api::ScalableServiceStatus;
use plimsoll_engine::Rotation;

/// How long a departed replica is still reported as draining: longer than the EndpointSlice controller takes on a busy
/// cluster, or for a change of its leader (15 s).
pub const CAUGHT_UP: Duration = Duration::from_secs(30);

/// Departed pods, each with the time since which it gets no requests, and the time of its departure.
#[derive(Debug, Default)]
pub struct Leaving(BTreeMap<String, (Timestamp, Instant)>);

impl Leaving {
    /// Departed pods still reported as draining, with start times: pods that got no requests according to the
    /// `last_written` status and are no longer members.
    pub fn now(
        &mut self,
        rotation: Option<&Rotation>,
        last_written: Option<&ScalableServiceStatus>,
        now: Instant,
    ) -> BTreeMap<String, Timestamp> {
        let last_written = last_written.map(out).unwrap_or_default();
        let stays: BTreeSet<&str> = rotation
            .iter()
            .flat_map(|rotation| &rotation.members)
            .map(|member| member.name.as_str())
            .collect();
        // If the last written status still has an expired pod, it could not be written since: don't restart its time.
        self.0.retain(|pod, (_, left)| {
            let late = now.duration_since(*left) >= CAUGHT_UP;
            !stays.contains(pod.as_str()) && (!late || last_written.contains_key(pod))
        });
        if rotation.is_none() {
            return BTreeMap::new();
        }
        for (pod, since) in last_written.into_iter().filter(|(pod, _)| !stays.contains(pod.as_str())) {
            self.0.entry(pod).or_insert((since, now));
        }
        let fresh = self.0.iter().filter(|(_, (_, left))| now.duration_since(*left) < CAUGHT_UP);
        fresh.map(|(pod, (since, _))| (pod.clone(), *since)).collect()
    }
}

/// The pods that get no requests according to a status, with start times.
fn out(status: &ScalableServiceStatus) -> BTreeMap<String, Timestamp> {
    let draining = status.traffic.iter().flat_map(|traffic| &traffic.draining);
    let draining = draining.map(|draining| (draining.pod.clone(), draining.since.0));
    let ejected = status.recovery.iter().flat_map(|recovery| &recovery.ejected);
    ejected.map(|ejected| (ejected.pod.clone(), ejected.since.0)).chain(draining).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use plimsoll_engine::Member;

    fn rotation(pods: &[&str]) -> Rotation {
        let member = |name: &&str| Member {
            name: (*name).to_owned(),
            ready: true,
            created: Timestamp::UNIX_EPOCH,
            node: None,
            zone: None,
            marked: false,
        };
        Rotation { members: pods.iter().map(member).collect(), ..Rotation::default() }
    }

    fn last_written(draining: &[&str], ejected: &[&str]) -> ScalableServiceStatus {
        let since = "2026-01-01T00:00:00Z";
        let draining: Vec<_> = draining.iter().map(|pod| json!({"pod": pod, "since": since})).collect();
        let ejected: Vec<_> = ejected
            .iter()
            .map(|pod| json!({"pod": pod, "since": since, "until": since, "ejections": 1}))
            .collect();
        serde_json::from_value(json!({"traffic": {"draining": draining}, "recovery": {"ejected": ejected}}))
            .unwrap()
    }

    fn names(leaving: BTreeMap<String, Timestamp>) -> Vec<String> {
        leaving.into_keys().collect()
    }

    #[test]
    fn a_departed_replica_gets_no_requests_until_endpoint_slices_have_caught_up() {
        let (mut leaving, begin) = (Leaving::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        let status = last_written(&["a", "b"], &["c"]);
        assert!(leaving.now(Some(&rotation(&["a", "b", "c", "d"])), Some(&status), begin).is_empty());
        let left = leaving.now(Some(&rotation(&["b", "d"])), Some(&status), after(1));
        assert_eq!(names(left), ["a", "c"], "deleted, and evicted");
        let left = leaving.now(Some(&rotation(&["d"])), Some(&status), after(20));
        assert_eq!(names(left), ["a", "b", "c"]);
        let left = leaving.now(Some(&rotation(&["d"])), Some(&status), after(31));
        assert_eq!(names(left), ["b"]);
        // The status of 31 s could not be written.
        let left = leaving.now(Some(&rotation(&["d"])), Some(&status), after(40));
        assert_eq!(names(left), ["b"], "its time does not restart");
        let left = leaving.now(Some(&rotation(&["d"])), Some(&last_written(&["b"], &[])), after(50));
        assert!(left.is_empty());
        assert!(leaving.now(Some(&rotation(&["d"])), Some(&last_written(&[], &[])), after(51)).is_empty());
        assert!(leaving.0.is_empty());
    }

    #[test]
    fn a_stateful_replica_that_returns_under_its_name_gets_requests() {
        let (mut leaving, now) = (Leaving::default(), Instant::now());
        let status = last_written(&["web-1"], &[]);
        assert_eq!(names(leaving.now(Some(&rotation(&["web-0"])), Some(&status), now)), ["web-1"]);
        assert!(leaving.now(Some(&rotation(&["web-0", "web-1"])), Some(&status), now).is_empty());
        assert!(leaving.now(None, Some(&status), now).is_empty(), "without balancers none is reported");
    }
}
