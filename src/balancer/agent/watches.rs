//! The two watches: of one ScalableService, and of the EndpointSlices of its pods.

use std::{collections::BTreeMap, fmt::Debug, net::SocketAddr};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{api::discovery::v1::EndpointSlice, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api, Client, CustomResourceExt as _, Resource,
    core::Object,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::watch;

use super::{
    endpoints::SliceIndex,
    known::{Known, Service},
};
use crate::{balancer::Standby, pauses::Pauses};
use plimsoll_api::{
    Percent, RecoveryStatus, ScalableService, StandbyStatus, StandbyTls, Traffic, TrafficStatus,
    endpoints_name,
};

/// Only the used part of a ScalableService: the rest may be of a newer version, and is not kept in memory.
type Watched = Object<Spec, Status>;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    min_replicas: Option<i32>,
    traffic: Option<Traffic>,
    failover: Option<Failover>,
}

#[derive(Clone, Debug, Deserialize)]
struct Failover {
    backends: Vec<Named>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    name: String,
    tls: Option<StandbyTls>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct FailoverStatus {
    #[serde(default)]
    backends: Vec<StandbyStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    failover: Option<FailoverStatus>,
    traffic: Option<TrafficStatus>,
    recovery: Option<RecoveryStatus>,
}

impl Status {
    /// Pods that get no new requests: those that drain for a scale-down, with the start of the drain, and ejected
    /// replicas.
    fn out_of_rotation(&self) -> BTreeMap<String, Option<Time>> {
        let draining = self.traffic.iter().flat_map(|traffic| &traffic.draining);
        let draining = draining.map(|draining| (draining.pod.clone(), Some(draining.since.clone())));
        let ejected = self.recovery.as_ref().map(RecoveryStatus::ejected_pods);
        draining.chain(ejected.into_iter().flatten().map(|pod| (pod, None))).collect()
    }
}

/// Standbys in the order of the spec, with their state from the status. A standby without a state or a valid address
/// gets no requests.
fn standbys(spec: Option<Failover>, status: Option<&FailoverStatus>) -> Vec<Standby> {
    let standby = |Named { name, tls }: Named| {
        let known = status.and_then(|status| status.backends.iter().find(|known| known.name == name));
        Standby {
            addresses: known.map_or_else(Vec::new, addresses),
            weight: known.map_or(Percent::ZERO, |known| known.weight),
            replicas: known.map_or(0, |known| u32::try_from(known.replicas).unwrap_or_default()),
            name,
            tls,
        }
    };
    spec.into_iter().flat_map(|spec| spec.backends).map(standby).collect()
}

/// The valid addresses, up to the number that is used at a time.
fn addresses(known: &StandbyStatus) -> Vec<SocketAddr> {
    let addresses = known.addresses.iter().filter_map(|address| address.parse().ok());
    addresses.take(StandbyStatus::ADDRESSES_MAX).collect()
}

/// Follows the ScalableService forever; `present` is whether its status has the entry of `pod`.
pub async fn service(
    client: Client,
    namespace: String,
    name: String,
    pod: String,
    known: watch::Sender<Known>,
    present: watch::Sender<bool>,
) {
    let resource = ScalableService::api_resource();
    let api: Api<Watched> = Api::namespaced_with(client, &namespace, &resource);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    // When spec.traffic is removed or switched to a Gateway, or the ScalableService is deleted, the balancers are
    // deleted too. Until then they keep the last known state.
    follow(api, config, "the ScalableService", |event| {
        let (watcher::Event::Apply(seen) | watcher::Event::InitApply(seen)) = event else { return };
        let status = seen.status.unwrap_or_default();
        let draining = status.out_of_rotation();
        let holds = seen.spec.min_replicas == Some(0) || seen.spec.failover.is_some();
        let standbys = standbys(seen.spec.failover, status.failover.as_ref());
        let status = status.traffic.unwrap_or_default();
        let entry = status.balancers.iter().any(|balancer| balancer.pod == pod);
        present.send_if_modified(|there| std::mem::replace(there, entry) != entry);
        let balanced = |traffic: &Traffic| traffic.provider.software().is_some();
        let Some(traffic) = seen.spec.traffic.filter(balanced) else { return };
        let service = Service {
            generation: seen.metadata.generation.unwrap_or_default(),
            holds,
            traffic,
            draining,
            balancers: status.ready_balancers,
            standbys,
        };
        known.send_if_modified(|known| {
            let is_new = known.arrived.update(status.arrived, known.endpoints.as_ref(), Timestamp::now());
            let changed = is_new || known.service.as_ref() != Some(&service);
            if changed {
                known.service = Some(service);
                known.touch();
            }
            changed
        });
    })
    .await;
}

/// Follows the endpoints forever.
pub async fn endpoints(client: Client, namespace: String, name: String, known: watch::Sender<Known>) {
    let api: Api<EndpointSlice> = Api::namespaced(client, &namespace);
    let label = format!("kubernetes.io/service-name={}", endpoints_name(&name));
    let config = watcher::Config::default().labels(&label);
    let mut index = SliceIndex::default();
    let mut listed = SliceIndex::default();
    follow(api, config, "the endpoints", |event| {
        match event {
            watcher::Event::Init => return listed = SliceIndex::default(),
            watcher::Event::InitApply(slice) => return listed.apply(slice),
            // Slices that a list does not contain are deleted, but not before the list is complete.
            watcher::Event::InitDone => index = std::mem::take(&mut listed),
            watcher::Event::Apply(slice) => index.apply(slice),
            watcher::Event::Delete(slice) => index.delete(&slice),
        }
        let merged = index.merged();
        known.send_if_modified(|known| known.list(merged));
    })
    .await;
}

async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &'static str,
    mut take: impl FnMut(watcher::Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(api, config).backoff(Pauses::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => take(event),
            Err(error) => {
                tracing::warn!(%error, "the watch of {what} failed; it is retried with back-off")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_and_ejected_pods_get_no_new_requests() {
        let out = |status: &str| -> Vec<String> {
            let status: Status = serde_json::from_str(status).unwrap();
            let out = status.out_of_rotation().into_iter();
            out.map(|(pod, since)| since.map_or(pod.clone(), |since| format!("{pod} {}", since.0))).collect()
        };
        let ejected = r#""recovery": {"ejected": [{"pod": "b", "since": "2026-03-01T12:00:00Z",
            "until": "2026-03-01T12:01:00Z", "ejections": 1}], "returned": [{"pod": "c", "since": "2026-03-01T12:00:00Z",
            "ejections": 1}]}"#;
        let draining = r#""traffic": {"draining": [{"pod": "a", "since": "2026-03-01T12:00:00Z"}]}"#;
        assert_eq!(out(&format!("{{{draining}, {ejected}}}")), ["a 2026-03-01T12:00:00Z", "b"]);
        assert_eq!(out(&format!("{{{ejected}}}")), ["b"]);
        assert!(out("{}").is_empty());
    }

    #[test]
    fn standbys_are_those_of_the_spec_with_their_state_from_the_status() {
        let spec: Failover = serde_json::from_str(
            r#"{"backends": [{"name": "west"}, {"name": "new"},
                {"name": "east", "tls": {"hostname": "east.example", "caSecretName": "east-ca"}}]}"#,
        )
        .unwrap();
        let status: FailoverStatus = serde_json::from_str(
            r#"{"state": "FromTheFuture", "backends": [
                {"name": "east", "weight": 40, "addresses": ["10.0.0.1:80", "10.0.0.2:80"], "replicas": 3, "ready": true},
                {"name": "west", "weight": 700, "addresses": ["west.example:80"], "replicas": -1},
                {"name": "gone", "weight": 60, "addresses": ["10.0.0.2:80"]}]}"#,
        )
        .unwrap();
        let standby = |name: &str, addresses: &[&str], weight, replicas| Standby {
            name: name.to_owned(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            weight: Percent::clamped(weight),
            replicas,
            tls: (name == "east").then(|| StandbyTls {
                hostname: "east.example".to_owned(),
                ca_secret_name: "east-ca".to_owned(),
            }),
        };
        let wanted = [
            standby("west", &[], 100, 0),
            standby("new", &[], 0, 0),
            standby("east", &["10.0.0.1:80", "10.0.0.2:80"], 40, 3),
        ];
        assert_eq!(standbys(Some(spec), Some(&status)), wanted);
        assert!(standbys(None, Some(&status)).is_empty());
    }
}
