//! Pods that the controller saw become ready while requests waited for them, until their EndpointSlice has them too.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::balancer::{Endpoint, Endpoints};
use plimsoll_api::Arrival;

/// Nobody is believed to be ready for longer without being listed: the controller may be away, and the pod gone.
const TRUSTED: Duration = Duration::from_secs(30);
/// Who arrived so long ago by this machine's clock is no news, but what the controller left behind.
const OLD: SignedDuration = SignedDuration::from_secs(60);

/// Those of `status.traffic.arrived`.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    told: Vec<Arrival>,
    /// Those of them that no EndpointSlice has shown yet, with when they were heard of.
    unlisted: BTreeMap<String, (IpAddr, Instant)>,
}

impl Arrived {
    /// The status tells of these, and it is `now`. Whether that is news.
    pub fn tell(&mut self, arrivals: Vec<Arrival>, listed: Option<&Endpoints>, now: Timestamp) -> bool {
        if self.told == arrivals {
            return false;
        }
        self.unlisted.retain(|pod, _| arrivals.iter().any(|arrival| arrival.pod == *pod));
        for arrival in arrivals.iter().filter(|arrival| !self.told.contains(arrival)) {
            let fresh = now.duration_since(arrival.since.0) < OLD;
            if let (true, Ok(ip)) = (fresh, arrival.ip.parse()) {
                self.unlisted.insert(arrival.pod.clone(), (ip, Instant::now()));
            }
        }
        self.told = arrivals;
        if let Some(listed) = listed {
            self.list(listed);
        }
        true
    }

    /// Of whom EndpointSlices have said that it is ready, or that it ends, they know better from then on; unless it was
    /// another pod of that name, with another address (of the same family: each pod may have one of both).
    pub fn list(&mut self, listed: &Endpoints) {
        self.unlisted.retain(|pod, (ip, _)| {
            let same = |there: &Endpoint| there.ip == *ip || there.ip.is_ipv4() != ip.is_ipv4();
            !listed.0.get(pod).is_some_and(|there| (there.ready || there.terminating) && same(there))
        });
    }

    /// What EndpointSlices list, and those beside it, as ready.
    #[must_use]
    pub fn beside<'a>(&self, listed: &'a Endpoints) -> Cow<'a, Endpoints> {
        let mut all = Cow::Borrowed(listed);
        for (pod, (ip, heard)) in &self.unlisted {
            if heard.elapsed() < TRUSTED {
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
    fn who_arrived_is_ready_until_slices_have_said_something_of_it() {
        let (none, mut arrived) = (listed(&[]), Arrived::default());
        let first = || vec![arrival("a", "10.0.0.7", 1), arrival("b", "no address", 1)];
        assert!(arrived.tell(first(), None, at(1)));
        assert!(!arrived.tell(first(), None, at(2)));
        assert_eq!(ready(&arrived, &none), ["a 10.0.0.7"]);
        let starting = listed(&[("a", "10.0.0.7", false, false)]);
        arrived.list(&starting);
        assert_eq!(ready(&arrived, &starting), ["a 10.0.0.7"], "it is listed, and not as ready yet");
        arrived.list(&listed(&[("a", "10.0.0.7", true, false)]));
        assert!(ready(&arrived, &starting).is_empty(), "it was ready, and is no more");
        // The same words again are no news; a new start is.
        assert!(arrived.tell(vec![arrival("a", "10.0.0.7", 1)], Some(&none), at(3)));
        assert!(ready(&arrived, &none).is_empty());
        assert!(arrived.tell(vec![arrival("a", "10.0.0.8", 9)], Some(&none), at(9)));
        assert_eq!(ready(&arrived, &none), ["a 10.0.0.8"]);
        assert!(arrived.tell(Vec::new(), Some(&none), at(10)), "the controller takes it back");
        assert!(ready(&arrived, &none).is_empty());
        let ending = listed(&[("a", "10.0.0.8", false, true)]);
        assert!(arrived.tell(vec![arrival("a", "10.0.0.8", 20)], Some(&ending), at(20)));
        assert!(ready(&arrived, &none).is_empty(), "it ends");
    }

    #[test]
    fn what_slices_say_of_an_earlier_pod_of_the_name_is_not_about_this_one() {
        let mut arrived = Arrived::default();
        let before = listed(&[("web-0", "10.0.0.1", true, true)]);
        arrived.tell(vec![arrival("web-0", "10.0.0.2", 1)], Some(&before), at(1));
        assert_eq!(ready(&arrived, &before), ["web-0 10.0.0.2"]);
        let other_family = listed(&[("web-0", "fd00::2", true, false)]);
        arrived.list(&other_family);
        assert_eq!(ready(&arrived, &other_family), ["web-0 fd00::2"], "its own, as slices have it");
    }

    #[test]
    fn who_arrived_long_ago_is_not_believed_by_an_agent_that_starts() {
        let mut arrived = Arrived::default();
        arrived.tell(vec![arrival("a", "10.0.0.7", 1)], None, at(61));
        assert!(ready(&arrived, &listed(&[])).is_empty());
    }
}
