//! Evictions against a real API server: the one of `KUBECONFIG`. The budget's own status is written here, so that no
//! controller is needed; where one runs, it says the same.
// Clippy knows the test functions, but not what they share.
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
    actuate::{Evictor, client_without_retries, said},
    clock::Clock,
    lease::{Leader, Leadership, LeaseConfig, LeaseParams, WriteError, elect, identity},
    random::Random,
    telemetry::WriteResult,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A namespace of its own, deleted at the end.
struct Fixture {
    client: Client,
    evictor: Evictor,
    leader: Leader,
    namespace: String,
    _election: JoinSet<()>,
}

/// Leads by a lease in `namespace` until the election is dropped.
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

    /// A refusal is an answer, and must not be waited out.
    async fn evict(&self, pod: &str, since: Timestamp) -> Result<(), WriteError> {
        let permit = self.leader.permit(Duration::from_secs(60));
        let evict = self.evictor.evict(&self.namespace, pod, since, &permit);
        tokio::time::timeout(Duration::from_secs(5), evict).await.expect("an answer at once")
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A pod that no scheduler takes, and that says that it is ready.
    async fn pod(&self, name: &str) {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "shop"}},
            "spec": {
                "schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "containers": [{"name": "app", "image": "none"}],
            },
        });
        // Where a controller makes the namespace's service account, it takes a moment.
        let mut created = Err(String::new());
        for _ in 0..50 {
            let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
            created = self.pods().create(&PostParams::default(), &pod).await.map_err(|error| said(&error));
            if created.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        created.expect("a pod can be made");
        // A pod that does not run is evicted whatever a budget says.
        let status =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// A budget that allows `allowed` disruptions of the one pod there is.
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
async fn a_budget_refuses_with_too_many_requests_and_allows_later() {
    let fixture = Fixture::new().await;
    fixture.pod("shop-1").await;
    fixture.budget(0).await;
    let soon = Timestamp::now() + SignedDuration::from_secs(10);
    let error = fixture.evict("shop-1", soon).await.expect_err("the budget refuses");
    assert_eq!(error.result(), Some(WriteResult::TooManyRequests));
    assert!(error.said().contains("disruption budget"), "{}", error.said());
    assert!(fixture.exists("shop-1").await);
    fixture.budget(1).await;
    fixture.evict("shop-1", soon).await.expect("the budget allows it");
    assert!(!fixture.exists("shop-1").await);
    fixture.end().await;
}

#[tokio::test]
async fn who_is_gone_or_another_one_by_now_is_left_alone() {
    let fixture = Fixture::new().await;
    let now = Timestamp::now();
    fixture.evict("shop-0", now).await.expect("it is gone already");
    fixture.pod("shop-0").await;
    let before = now - SignedDuration::from_secs(60);
    fixture.evict("shop-0", before).await.expect("the one that was meant is gone");
    assert!(fixture.exists("shop-0").await, "a new pod of the same name");
    fixture.evict("shop-0", now + SignedDuration::from_secs(10)).await.unwrap();
    assert!(!fixture.exists("shop-0").await);
    fixture.end().await;
}
