//! Pods that the controller saw become ready while requests waited for them, until their EndpointSlice has them too.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    api::Arrival,
    balancer::{Endpoint, Endpoints},
};

/// Nobody is believed to be ready for longer without being listed: the controller may be away, and the pod gone.
const TRUSTED: Duration = Duration::from_secs(30);

/// Those of `status.traffic.arrived`.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    told: Vec<Arrival>,
    /// Those of them that no EndpointSlice has shown yet, with when they were heard of.
    unlisted: BTreeMap<String, (IpAddr, Instant)>,
}

impl Arrived {
    /// The status tells of these now. Whether that is news.
    pub fn tell(&mut self, arrivals: Vec<Arrival>, listed: Option<&Endpoints>) -> bool {
        if self.told == arrivals {
            return false;
        }
        self.unlisted.retain(|pod, _| arrivals.iter().any(|arrival| arrival.pod == *pod));
        for arrival in arrivals.iter().filter(|arrival| !self.told.contains(arrival)) {
            if let Ok(ip) = arrival.ip.parse() {
                self.unlisted.insert(arrival.pod.clone(), (ip, Instant::now()));
            }
        }
        self.told = arrivals;
        if let Some(listed) = listed {
            self.list(listed);
        }
        true
    }

    /// Of whom EndpointSlices have said that it is ready, or that it ends, they know better from then on.
    pub fn list(&mut self, listed: &Endpoints) {
        let known = |endpoint: &Endpoint| endpoint.ready || endpoint.terminating;
        self.unlisted.retain(|pod, _| !listed.0.get(pod).is_some_and(known));
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

    fn listed(pods: &[(&str, bool, bool)]) -> Endpoints {
        let endpoint = |(pod, ready, terminating): &(&str, bool, bool)| {
            let ip = IpAddr::from([10, 0, 0, 1]);
            let (ready, terminating) = (*ready, *terminating);
            ((*pod).to_owned(), Endpoint { ip, ready, serving: ready, terminating, zone: None })
        };
        Endpoints(pods.iter().map(endpoint).collect())
    }

    fn ready(arrived: &Arrived, listed: &Endpoints) -> Vec<String> {
        let all = arrived.beside(listed);
        let ready = all.0.iter().filter(|(_, endpoint)| endpoint.ready);
        ready.map(|(pod, endpoint)| format!("{pod} {}", endpoint.ip)).collect()
    }

    #[test]
    fn who_arrived_is_ready_until_slices_have_said_something_of_it() {
        let (none, mut arrived) = (listed(&[]), Arrived::default());
        assert!(arrived.tell(vec![arrival("a", "10.0.0.7", 1), arrival("b", "no address", 1)], None));
        assert!(!arrived.tell(vec![arrival("a", "10.0.0.7", 1), arrival("b", "no address", 1)], None));
        assert_eq!(ready(&arrived, &none), ["a 10.0.0.7"]);
        let starting = listed(&[("a", false, false)]);
        arrived.list(&starting);
        assert_eq!(ready(&arrived, &starting), ["a 10.0.0.7"], "it is not late any more, but not ready yet");
        arrived.list(&listed(&[("a", true, false)]));
        assert!(ready(&arrived, &starting).is_empty(), "it was ready, and is no more");
        // The same words again are no news; a new start is.
        assert!(arrived.tell(vec![arrival("a", "10.0.0.7", 1)], Some(&none)));
        assert!(ready(&arrived, &none).is_empty());
        assert!(arrived.tell(vec![arrival("a", "10.0.0.8", 9)], Some(&none)));
        assert_eq!(ready(&arrived, &none), ["a 10.0.0.8"]);
        assert!(arrived.tell(Vec::new(), Some(&none)), "the controller takes it back");
        assert!(ready(&arrived, &none).is_empty());
        assert!(arrived.tell(vec![arrival("a", "10.0.0.8", 20)], Some(&listed(&[("a", false, true)]))));
        assert!(ready(&arrived, &none).is_empty(), "it ends");
    }
}
