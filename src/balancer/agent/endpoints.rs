//! Merges the EndpointSlices of one Service into the endpoints of a balancer.

use std::{collections::HashMap, net::IpAddr};

use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::balancer::{Endpoint, Endpoints};

/// The last known slices, by name.
#[derive(Debug, Default)]
pub struct SliceIndex {
    slices: HashMap<String, Vec<(String, Endpoint)>>,
}

impl SliceIndex {
    /// Adds or replaces a slice.
    pub fn apply(&mut self, slice: EndpointSlice) {
        let name = slice.metadata.name.clone().unwrap_or_default();
        self.slices.insert(name, read(slice));
    }

    /// Removes a slice.
    pub fn delete(&mut self, slice: &EndpointSlice) {
        self.slices.remove(slice.metadata.name.as_deref().unwrap_or_default());
    }

    /// Each pod once. For a pod in two slices (while it moves from one to the other, or with an address of each family)
    /// its IPv4 address wins, then the better conditions.
    #[must_use]
    pub fn merged(&self) -> Endpoints {
        let mut merged = Endpoints::default();
        for (pod, endpoint) in self.slices.values().flatten() {
            let better = |there: &Endpoint| rank(endpoint) > rank(there);
            match merged.0.get_mut(pod) {
                Some(there) if better(there) => *there = endpoint.clone(),
                Some(_) => {}
                None => {
                    merged.0.insert(pod.clone(), endpoint.clone());
                }
            }
        }
        merged
    }
}

fn rank(endpoint: &Endpoint) -> (bool, bool, bool, IpAddr) {
    (endpoint.ip.is_ipv4(), endpoint.ready, endpoint.serving, endpoint.ip)
}

/// The endpoints in a slice. Missing conditions mean ready, serving and not terminating (discovery/v1).
fn read(slice: EndpointSlice) -> Vec<(String, Endpoint)> {
    let endpoints = slice.endpoints.into_iter().filter_map(|endpoint| {
        // Only the first address is ever used, as in kube-proxy.
        let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let pod = endpoint.target_ref.filter(|target| target.kind.as_deref() == Some("Pod"));
        let conditions = endpoint.conditions.unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        let read = Endpoint {
            ip,
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating.unwrap_or(false),
            zone: endpoint.zone,
        };
        Some((pod.and_then(|pod| pod.name)?, read))
    });
    endpoints.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str, endpoints: &serde_json::Value) -> EndpointSlice {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name}, "addressType": "IPv4", "endpoints": endpoints, "ports": [],
        }))
        .unwrap()
    }

    fn endpoint(pod: &str, ip: &str, conditions: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "addresses": [ip], "conditions": conditions, "zone": "a", "targetRef": {"kind": "Pod", "name": pod},
        })
    }

    fn shown(index: &SliceIndex) -> Vec<String> {
        let words = |(pod, e): (&String, &Endpoint)| {
            let mut words = format!("{pod} {}", e.ip);
            for (holds, word) in [(e.ready, "ready"), (e.serving, "serving"), (e.terminating, "terminating")]
            {
                if holds {
                    words = format!("{words} {word}");
                }
            }
            words
        };
        index.merged().0.iter().map(words).collect()
    }

    #[test]
    fn slices_are_merged_and_missing_conditions_mean_ready() {
        let none = serde_json::json!({});
        let mut index = SliceIndex::default();
        index.apply(slice(
            "one",
            &serde_json::json!([
                endpoint("a", "10.0.0.1", &none),
                endpoint("b", "10.0.0.2", &serde_json::json!({"ready": false})),
                endpoint("c", "10.0.0.3", &serde_json::json!({"ready": false, "serving": true, "terminating": true})),
                {"addresses": ["10.0.0.9"]},
                {"addresses": ["not.an.address"], "targetRef": {"kind": "Pod", "name": "d"}},
            ]),
        ));
        assert_eq!(
            shown(&index),
            ["a 10.0.0.1 ready serving", "b 10.0.0.2", "c 10.0.0.3 serving terminating"]
        );
        // b moves to another slice, where it is ready; a has an IPv6 address too.
        index.apply(slice("two", &serde_json::json!([endpoint("b", "10.0.0.2", &none)])));
        index.apply(slice(
            "six",
            &serde_json::json!([endpoint("a", "fd00::1", &none), endpoint("e", "fd00::5", &none),]),
        ));
        assert_eq!(shown(&index)[..2], ["a 10.0.0.1 ready serving", "b 10.0.0.2 ready serving"]);
        assert_eq!(shown(&index)[3], "e fd00::5 ready serving");
        index.delete(&slice("one", &serde_json::json!([])));
        assert_eq!(
            shown(&index),
            ["a fd00::1 ready serving", "b 10.0.0.2 ready serving", "e fd00::5 ready serving"]
        );
    }
}
