//! Replicas that were let go. EndpointSlices list them as ready until their controller has got to them, and balancers
//! that were told no more of them would send them requests just before they end. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use plimsoll_api::ScalableServiceStatus;
use plimsoll_engine::Rotation;

/// So long after a replica is on its way out the balancers are still told to leave it alone: more than the controller
/// of EndpointSlices takes on a busy cluster, or to be led anew (15 s).
pub const CAUGHT_UP: Duration = Duration::from_secs(30);

/// What is remembered of them: since when each got no requests, and since when it is on its way out.
#[derive(Debug, Default)]
pub struct Leaving(BTreeMap<String, (Timestamp, Instant)>);

impl Leaving {
    /// Who is to be told of beside those that are chosen now, since when: whoever got no requests by the `told` status
    /// and is no member any more.
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
        // One that is told of beyond its time is one whose status could not be written yet: it does not begin anew.
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

/// Who got no requests by a status, since when.
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
    fn who_was_let_go_gets_no_requests_until_endpoint_slices_have_caught_up() {
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
        assert_eq!(names(left), ["b"], "it does not begin anew");
        let left = leaving.now(Some(&rotation(&["d"])), Some(&last_written(&["b"], &[])), after(50));
        assert!(left.is_empty());
        assert!(leaving.now(Some(&rotation(&["d"])), Some(&last_written(&[], &[])), after(51)).is_empty());
        assert!(leaving.0.is_empty());
    }

    #[test]
    fn a_stateful_replica_that_is_back_under_its_name_gets_requests() {
        let (mut leaving, now) = (Leaving::default(), Instant::now());
        let status = last_written(&["web-1"], &[]);
        assert_eq!(names(leaving.now(Some(&rotation(&["web-0"])), Some(&status), now)), ["web-1"]);
        assert!(leaving.now(Some(&rotation(&["web-0", "web-1"])), Some(&status), now).is_empty());
        assert!(leaving.now(None, Some(&status), now).is_empty(), "without balancers nobody is last_written");
    }
}
