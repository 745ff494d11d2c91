//! Pods that the controller saw become ready while requests were held, until their EndpointSlice lists them too.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::balancer::{Endpoint, Endpoints};
use plimsoll_api::Arrival;

/// How long a pod counts as ready without being listed: the controller may be down, and the pod deleted.
const TRUSTED: Duration = Duration::from_secs(30);
/// An arrival older than this, by this machine's clock, is a leftover of the controller.
const OLD: SignedDuration = SignedDuration::from_secs(60);

/// The pods of `status.traffic.arrived`.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    reported: Vec<Arrival>,
    /// Those of them that no EndpointSlice has listed yet, with the address and the time of the report.
    unlisted: BTreeMap<String, (IpAddr, Instant)>,
}

impl Arrived {
    /// Sets the arrivals in the status, as of `now`. Returns whether they changed.
    pub fn update(&mut self, arrivals: Vec<Arrival>, listed: Option<&Endpoints>, now: Timestamp) -> bool {
        if self.reported == arrivals {
            return false;
        }
        self.unlisted.retain(|pod, _| arrivals.iter().any(|arrival| arrival.pod == *pod));
        for arrival in arrivals.iter().filter(|arrival| !self.reported.contains(arrival)) {
            let fresh = now.duration_since(arrival.since.0) < OLD;
            if let (true, Ok(ip)) = (fresh, arrival.ip.parse()) {
                self.unlisted.insert(arrival.pod.clone(), (ip, Instant::now()));
            }
        }
        self.reported = arrivals;
        if let Some(listed) = listed {
            self.list(listed);
        }
        true
    }

    /// Once EndpointSlices list a pod as ready or terminating, they are authoritative for it, unless they mean another
    /// pod of that name, with another address of the same family (a pod may have one address of each family).
    pub fn list(&mut self, listed: &Endpoints) {
        self.unlisted.retain(|pod, (ip, _)| {
            let same = |there: &Endpoint| there.ip == *ip || there.ip.is_ipv4() != ip.is_ipv4();
            !listed.0.get(pod).is_some_and(|there| (there.ready || there.terminating) && same(there))
        });
    }

    /// The listed endpoints, and the unlisted pods as ready.
    #[must_use]
    pub fn beside<'a>(&self, listed: &'a Endpoints) -> Cow<'a, Endpoints> {
        let mut all = Cow::Borrowed(listed);
        for (pod, (ip, since)) in &self.unlisted {
            if since.elapsed() < TRUSTED {
                let zone = listed.0.get(pod).and_then(|endpoint| endpoint.zone.clone());
                let ready = Endpoint { ip: *ip, ready: true, serving: true, terminating: false, zone };
                all.to_mut().0.insert(pod.clone(), ready);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(pod: &str, ip: &str, second: u8) -> Arrival {
        let since = format!("2026-03-01T12:00:{second:02}Z");
        serde_json::from_value(serde_json::json!({"pod": pod, "ip": ip, "since": since})).unwrap()
    }

    fn listed(pods: &[(&str, &str, bool, bool)]) -> Endpoints {
        let endpoint = |(pod, ip, ready, terminating): &(&str, &str, bool, bool)| {
            let (ip, ready, terminating) = (ip.parse().unwrap(), *ready, *terminating);
            ((*pod).to_owned(), Endpoint { ip, ready, serving: ready, terminating, zone: None })
        };
        Endpoints(pods.iter().map(endpoint).collect())
    }

    fn at(second: i64) -> Timestamp {
        let begin: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        begin + SignedDuration::from_secs(second)
    }

    fn ready(arrived: &Arrived, listed: &Endpoints) -> Vec<String> {
        let all = arrived.beside(listed);
        let ready = all.0.iter().filter(|(_, endpoint)| endpoint.ready);
        ready.map(|(pod, endpoint)| format!("{pod} {}", endpoint.ip)).collect()
    }

    #[test]
    fn an_arrived_pod_is_ready_until_its_endpointslice_is_authoritative() {
        let (none, mut arrived) = (listed(&[]), Arrived::default());
        let first = || vec![arrival("a", "10.0.0.7", 1), arrival("b", "no address", 1)];
        assert!(arrived.update(first(), None, at(1)));
        assert!(!arrived.update(first(), None, at(2)));
        assert_eq!(ready(&arrived, &none), ["a 10.0.0.7"]);
        let starting = listed(&[("a", "10.0.0.7", false, false)]);
        arrived.list(&starting);
        assert_eq!(ready(&arrived, &starting), ["a 10.0.0.7"], "it is listed, but not ready yet");
        arrived.list(&listed(&[("a", "10.0.0.7", true, false)]));
        assert!(ready(&arrived, &starting).is_empty(), "it was listed as ready before");
        // A repeated entry changes nothing; a new start does.
        assert!(arrived.update(vec![arrival("a", "10.0.0.7", 1)], Some(&none), at(3)));
        assert!(ready(&arrived, &none).is_empty());
        assert!(arrived.update(vec![arrival("a", "10.0.0.8", 9)], Some(&none), at(9)));
        assert_eq!(ready(&arrived, &none), ["a 10.0.0.8"]);
        assert!(arrived.update(Vec::new(), Some(&none), at(10)), "the controller removes the entry");
        assert!(ready(&arrived, &none).is_empty());
        let ending = listed(&[("a", "10.0.0.8", false, true)]);
        assert!(arrived.update(vec![arrival("a", "10.0.0.8", 20)], Some(&ending), at(20)));
        assert!(ready(&arrived, &none).is_empty(), "it is terminating");
    }

    #[test]
    fn an_endpoint_of_an_earlier_pod_of_the_same_name_is_ignored() {
        let mut arrived = Arrived::default();
        let before = listed(&[("web-0", "10.0.0.1", true, true)]);
        arrived.update(vec![arrival("web-0", "10.0.0.2", 1)], Some(&before), at(1));
        assert_eq!(ready(&arrived, &before), ["web-0 10.0.0.2"]);
        let other_family = listed(&[("web-0", "fd00::2", true, false)]);
        arrived.list(&other_family);
        assert_eq!(ready(&arrived, &other_family), ["web-0 fd00::2"], "its own address, as listed");
    }

    #[test]
    fn a_starting_agent_ignores_old_arrivals() {
        let mut arrived = Arrived::default();
        arrived.update(vec![arrival("a", "10.0.0.7", 1)], None, at(61));
        assert!(ready(&arrived, &listed(&[])).is_empty());
    }
}
