//! Evictions on a real API server, which `KUBECONFIG` selects. The tests write the status of the PodDisruptionBudget, so
//! that no controller is needed; a running controller writes the same.
// Clippy recognizes the test functions, but not their helpers.
#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "support/namespace.rs"]
mod namespace;

use std::{future::pending, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use plimsoll::{
    actuate::{Evictor, client_without_retries, message_of},
    clock::Clock,
    lease::{Leader, Leadership, LeaseConfig, LeaseParams, WriteError, elect, identity},
    random::Random,
    telemetry::WriteResult,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A new namespace, deleted at the end, and a leader whose permits allow writes.
struct Fixture {
    client: Client,
    evictor: Evictor,
    leader: Leader,
    namespace: String,
    _election: JoinSet<()>,
}

/// Holds a lease in `namespace` until the election is dropped.
async fn lead(client: Client, namespace: &str) -> (Leader, JoinSet<()>) {
    let random = Random::system();
    let config = LeaseConfig {
        namespace: namespace.to_owned(),
        name: "plimsoll".to_owned(),
        identity: identity("test", &random),
        params: LeaseParams::default(),
    };
    let (elector, leader) = elect(client, config, Clock::system(), random);
    let mut election = JoinSet::new();
    election.spawn(elector.run(pending()));
    leader.leadership().wait_for(Leadership::is_leading).await.expect("an election");
    (leader, election)
}

impl Fixture {
    async fn new() -> Self {
        let config = namespace::config().await;
        let evictor = Evictor::new(client_without_retries(config.clone()).expect("a client"));
        let client = Client::try_from(config).expect("a client");
        let namespace = namespace::create(&client, "evict").await;
        let (leader, election) = lead(client.clone(), &namespace).await;
        Self { client, evictor, leader, namespace, _election: election }
    }

    /// Evicts a pod; a refusal must be returned without retries.
    async fn evict(&self, pod: &str, since: Timestamp) -> Result<(), WriteError> {
        let permit = self.leader.permit(Duration::from_secs(60));
        let evict = self.evictor.evict(&self.namespace, pod, since, &permit);
        tokio::time::timeout(Duration::from_secs(5), evict).await.expect("an immediate answer")
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a pod that no scheduler handles, with a status of Ready.
    async fn pod(&self, name: &str) {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "shop"}},
            "spec": {
                "schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "containers": [{"name": "app", "image": "none"}],
            },
        });
        // A controller, if there is one, takes a moment to create the namespace's ServiceAccount.
        let mut created = Err(String::new());
        for _ in 0..50 {
            let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
            created =
                self.pods().create(&PostParams::default(), &pod).await.map_err(|error| message_of(&error));
            if created.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        created.expect("created pod");
        // A budget does not protect a pod that is not running.
        let status =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Applies a budget that allows `allowed` disruptions of the only pod.
    async fn budget(&self, allowed: i32) {
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &self.namespace);
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "shop"},
            "spec": {"minAvailable": 1 - allowed, "selector": {"matchLabels": {"app": "shop"}}},
        });
        let params = PatchParams::apply("test").force();
        let made = api.patch("shop", &params, &Patch::Apply(budget)).await.unwrap();
        let status: Value = json!({"status": {
            "observedGeneration": made.metadata.generation, "disruptionsAllowed": allowed, "currentHealthy": 1,
            "desiredHealthy": 1 - allowed, "expectedPods": 1,
        }});
        api.patch_status("shop", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    async fn exists(&self, pod: &str) -> bool {
        let found = self.pods().get_opt(pod).await.unwrap();
        found.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none())
    }

    async fn end(self) {
        namespace::delete(&self.client, &self.namespace).await;
    }
}

#[tokio::test]
async fn a_budget_refuses_an_eviction_with_too_many_requests_until_it_allows_one() {
    let fixture = Fixture::new().await;
    fixture.pod("shop-1").await;
    fixture.budget(0).await;
    let soon = Timestamp::now() + SignedDuration::from_secs(10);
    let error = fixture.evict("shop-1", soon).await.expect_err("the budget refuses");
    assert_eq!(error.result(), Some(WriteResult::TooManyRequests));
    assert!(error.message().contains("disruption budget"), "{}", error.message());
    assert!(fixture.exists("shop-1").await);
    fixture.budget(1).await;
    fixture.evict("shop-1", soon).await.expect("the budget allows it");
    assert!(!fixture.exists("shop-1").await);
    fixture.end().await;
}

#[tokio::test]
async fn a_deleted_pod_counts_as_evicted_and_its_replacement_is_not_evicted() {
    let fixture = Fixture::new().await;
    let now = Timestamp::now();
    fixture.evict("shop-0", now).await.expect("the pod does not exist");
    fixture.pod("shop-0").await;
    let before = now - SignedDuration::from_secs(60);
    fixture.evict("shop-0", before).await.expect("the meant pod does not exist");
    assert!(fixture.exists("shop-0").await, "the new pod of the same name is kept");
    fixture.evict("shop-0", now + SignedDuration::from_secs(10)).await.unwrap();
    assert!(!fixture.exists("shop-0").await);
    fixture.end().await;
}
