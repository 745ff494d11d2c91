//! Replicas that become ready while requests wait for the first one. An EndpointSlice may list them a second late, since its
//! controller waits that long if it has not seen its own last write yet. So the status reports them to the balancers.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    super::{
        capability::View,
        core::Core,
        fleet::Fleet,
        index::{Workload, read, write},
    },
    leaving,
};
use plimsoll_api::Arrival;

/// How long the status reports them.
const CAUGHT_UP: SignedDuration = SignedDuration::from_secs(leaving::CAUGHT_UP.as_secs().cast_signed());
/// Maximum number of reported replicas; EndpointSlices list the others later.
const MOST: usize = 10;

/// The arrived replicas to report. While balancers wait for a first replica, a pod that becomes ready triggers a turn. `None`
/// if no balancer waits and none is reported, or if the target's pods are unknown.
pub fn arrived(view: &View<'_>, core: &Core) -> Option<Vec<Arrival>> {
    let View { service, key, context, facts, .. } = view;
    let awaited = facts.fleet.as_ref().is_some_and(Fleet::awaits_first);
    let reference = &service.spec.scale_target_ref;
    let workload = Workload::target(&key.namespace, reference);
    let called = read(&context.pods, |pods| pods.calls(&workload));
    let last_written = core.last_written().and_then(|status| status.traffic.as_ref());
    let last_written = last_written.map_or(&[][..], |traffic| traffic.arrived.as_slice());
    if !awaited && !called && last_written.is_empty() {
        return None;
    }
    let target = view.watched_target()?;
    let selected = target.selected()?;
    if called != awaited {
        write(&context.pods, |pods| pods.call(workload, awaited.then(|| selected.selector.clone())));
    }
    let ready = read(&context.pods, |pods| pods.ready(&key.namespace, selected));
    // Whole seconds, as the API server stores them, so that the status reads back unchanged.
    let at = context.shared.clock.now();
    Some(now(&ready, awaited, last_written, Timestamp::from_second(at.as_second()).unwrap_or(at)))
}

/// The `ready` pods that arrived within the last 30 s: those that the status already reports, and, while a first replica is
/// `awaited`, all others too.
fn now(
    ready: &BTreeMap<String, IpAddr>,
    awaited: bool,
    last_written: &[Arrival],
    now: Timestamp,
) -> Vec<Arrival> {
    let current = |arrival: &&Arrival| {
        now.duration_since(arrival.since.0) < CAUGHT_UP
            && ready.get(&arrival.pod).is_some_and(|ip| ip.to_string() == arrival.ip)
    };
    let mut arrived: BTreeMap<&str, Arrival> =
        last_written.iter().filter(current).map(|arrival| (arrival.pod.as_str(), arrival.clone())).collect();
    for (pod, ip) in ready.iter().filter(|_| awaited) {
        if arrived.len() < MOST {
            let fresh = || Arrival { pod: pod.clone(), ip: ip.to_string(), since: Time(now) };
            arrived.entry(pod).or_insert_with(fresh);
        }
    }
    arrived.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(pods: &[&str]) -> BTreeMap<String, IpAddr> {
        let at = |(number, pod): (usize, &&str)| ((*pod).to_owned(), IpAddr::from([10, 0, 0, number as u8]));
        pods.iter().enumerate().map(at).collect()
    }

    fn names(arrived: &[Arrival]) -> Vec<&str> {
        arrived.iter().map(|arrival| arrival.pod.as_str()).collect()
    }

    #[test]
    fn replicas_that_arrive_while_requests_wait_are_reported_until_slices_list_them() {
        let begin: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let after = |seconds| begin + SignedDuration::from_secs(seconds);
        assert!(now(&ready(&["a"]), false, &[], begin).is_empty(), "no request waits");
        let first = now(&ready(&["a"]), true, &[], begin);
        assert_eq!((names(&first), first[0].ip.as_str()), (vec!["a"], "10.0.0.0"));
        let second = now(&ready(&["a", "b"]), true, &first, after(1));
        assert_eq!(names(&second), ["a", "b"]);
        assert_eq!((second[0].since.0, second[1].since.0), (begin, after(1)), "each with its own start");
        // They serve: no others are reported, but these are until EndpointSlices list them with certainty.
        let served = now(&ready(&["a", "b", "c"]), false, &second, after(29));
        assert_eq!(names(&served), ["a", "b"]);
        assert_eq!(names(&now(&ready(&["a", "b", "c"]), false, &served, after(30))), ["b"]);
        assert!(now(&ready(&[]), true, &second, after(2)).is_empty(), "no longer ready");
        let moved = BTreeMap::from([("a".to_owned(), IpAddr::from([10, 0, 0, 9]))]);
        assert!(now(&moved, false, &first, after(2)).is_empty(), "another pod of the same name");
        let many: Vec<String> = (0..20).map(|number| format!("pod-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(now(&ready(&many), true, &[], begin).len(), MOST);
    }
}
