//! Leader election on a real API server, which `KUBECONFIG` selects.
// Clippy recognizes the test functions, but not their helpers.
#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "support/namespace.rs"]
mod namespace;

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
    config::{Config, KubeConfigOptions},
};
use plimsoll::{
    clock::Clock,
    lease::{Leader, Leadership, LeaseConfig, LeaseParams, elect, identity},
    random::Random,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

const DURATION: Duration = Duration::from_secs(3);
const RENEW_DEADLINE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(500);

/// Time for requests and scheduling on a busy machine.
const SLACK: Duration = Duration::from_secs(1);

/// A new namespace, deleted at the end.
struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    async fn new() -> Self {
        let client = Client::try_from(namespace::config().await).expect("a client");
        let namespace = namespace::create(&client, "lease").await;
        Self { client, namespace }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn transitions(&self) -> i32 {
        self.leases().get("plimsoll").await.unwrap().spec.unwrap().lease_transitions.unwrap()
    }

    fn start(&self, pod: &str) -> Process {
        self.start_with(pod, self.client.clone())
    }

    fn start_with(&self, pod: &str, client: Client) -> Process {
        let params = LeaseParams::new(DURATION, RENEW_DEADLINE, RETRY).unwrap();
        let random = Random::system();
        let identity = identity(pod, &random);
        let config = LeaseConfig {
            namespace: self.namespace.clone(),
            name: "plimsoll".into(),
            identity: identity.clone(),
            params,
        };
        let (elector, leader) = elect(client, config, Clock::system(), random);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(elector.run(async move { stopped.await.unwrap_or(()) }));
        Process { identity, leader, stop, task }
    }

    async fn end(self) {
        namespace::delete(&self.client, &self.namespace).await;
    }
}

struct Process {
    identity: String,
    leader: Leader,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Process {
    /// Waits until the state fits, and returns how long it took.
    async fn until(
        &self,
        what: &str,
        limit: Duration,
        state: impl Fn(&Leadership) -> bool + Send + Sync,
    ) -> Duration {
        let begun = Instant::now();
        let mut leadership = self.leader.leadership();
        let waiting: Pin<Box<dyn Future<Output = bool> + Send>> =
            Box::pin(async { leadership.wait_for(|now| state(now)).await.is_ok() });
        let reached = timeout(limit, waiting).await;
        let took = begun.elapsed();
        assert_eq!(
            reached,
            Ok(true),
            "{} does not {what} within {limit:?}: {:?}",
            self.identity,
            self.leader
        );
        took
    }

    async fn leads(&self, limit: Duration) -> Duration {
        self.until("lead", limit, Leadership::is_leading).await
    }

    async fn follows(&self, holder: &Self, limit: Duration) {
        let expected = Leadership::Following { holder: Some(holder.identity.clone()) };
        self.until("follow", limit, move |now| *now == expected).await;
    }
}

#[tokio::test]
async fn a_follower_takes_over_a_crashed_leaders_lease_only_after_it_expired() {
    let cluster = Cluster::new().await;
    let first = cluster.start("pod-1");
    first.leads(SLACK).await;
    let second = cluster.start("pod-2");
    second.follows(&first, SLACK).await;
    // Longer than the lease: it is renewed.
    tokio::time::sleep(DURATION + RETRY).await;
    assert!(first.leader.leads() && !second.leader.leads());
    assert_eq!(cluster.transitions().await, 0);

    first.task.abort();
    let took = second.leads(DURATION + RETRY + SLACK).await;
    assert!(
        took > DURATION - RETRY - SLACK,
        "taken over after {took:?}, before the lease could have expired"
    );
    assert_eq!(*first.leader.leadership().borrow(), Leadership::Following { holder: None });
    assert!(!first.leader.leads());
    assert_eq!(cluster.transitions().await, 1);
    cluster.end().await;
}

#[tokio::test]
async fn a_released_lease_is_taken_over_within_a_retry() {
    let cluster = Cluster::new().await;
    let first = cluster.start("pod-1");
    first.leads(SLACK).await;
    let second = cluster.start("pod-2");
    second.follows(&first, SLACK).await;

    first.stop.send(()).unwrap();
    let took = second.leads(RETRY + SLACK).await;
    assert!(took < DURATION - RETRY, "taken over after {took:?}, as slow as after a crash");
    timeout(SLACK, first.task).await.expect("the first process ends").unwrap();
    assert!(!first.leader.leads());
    assert_eq!(cluster.transitions().await, 1);

    second.stop.send(()).unwrap();
    timeout(SLACK, second.task).await.expect("the second process ends").unwrap();
    let spec = cluster.leases().get("plimsoll").await.unwrap().spec.unwrap();
    assert_eq!((spec.holder_identity, spec.lease_duration_seconds), (None, Some(1)));
    cluster.end().await;
}

#[tokio::test]
async fn a_leader_that_finds_another_holder_follows_it_at_the_next_renewal() {
    let cluster = Cluster::new().await;
    let leader = cluster.start("pod-1");
    leader.leads(SLACK).await;
    let stolen = serde_json::json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 2}});
    cluster.leases().patch("plimsoll", &PatchParams::default(), &Patch::Merge(&stolen)).await.unwrap();
    let thief = Leadership::Following { holder: Some("thief".into()) };
    leader.until("follow the thief", RETRY + SLACK, move |now| *now == thief).await;
    leader.leads(DURATION + SLACK).await;
    assert_eq!(cluster.transitions().await, 1);
    cluster.end().await;
}

#[tokio::test]
async fn a_foreign_change_or_deletion_of_the_lease_does_not_end_leadership() {
    let cluster = Cluster::new().await;
    let leader = cluster.start("pod-1");
    leader.leads(SLACK).await;
    let note = serde_json::json!({"metadata": {"annotations": {"note": "kept"}}});
    cluster.leases().patch("plimsoll", &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
    tokio::time::sleep(DURATION).await;
    assert!(leader.leader.leads());
    let lease = cluster.leases().get("plimsoll").await.unwrap();
    assert_eq!(lease.metadata.annotations.unwrap()["note"], "kept");

    let other = cluster.start("pod-2");
    other.follows(&leader, SLACK).await;
    cluster.leases().delete("plimsoll", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(DURATION).await;
    assert!(leader.leader.leads() && !other.leader.leads());
    let spec = cluster.leases().get("plimsoll").await.unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity.as_ref(), Some(&leader.identity));
    cluster.end().await;
}

/// A client whose packets can be dropped while its connections stay open, as in a network partition.
async fn breakable_client() -> (Client, watch::Sender<bool>) {
    let mut config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap();
    let server = config.cluster_url.authority().unwrap().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.tls_server_name = Some(server.host().to_owned());
    config.cluster_url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (broken, seen) = watch::channel(false);
    let server = format!("{}:{}", server.host(), server.port_u16().unwrap_or(443));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (server, mut seen) = (server.clone(), seen.clone());
            tokio::spawn(async move {
                seen.wait_for(|broken| !broken).await.map(drop).unwrap_or(());
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => return,
                    _ = async { seen.wait_for(|broken| *broken).await.map(drop) } => {}
                }
                seen.wait_for(|broken| !broken).await.map(drop).unwrap_or(());
            });
        }
    });
    (Client::try_from(config).unwrap(), broken)
}

#[tokio::test]
async fn a_leader_without_the_api_server_stops_leading_before_another_starts() {
    let cluster = Cluster::new().await;
    let (client, broken) = breakable_client().await;
    let first = cluster.start_with("pod-1", client);
    first.leads(SLACK).await;
    let second = cluster.start("pod-2");
    second.follows(&first, SLACK).await;

    broken.send(true).unwrap();
    let stopped = first.until("stop leading", RENEW_DEADLINE + SLACK, |now| !now.is_leading()).await;
    assert!(stopped <= RENEW_DEADLINE + SLACK / 4, "stopped only after {stopped:?}");
    assert!(!first.leader.leads());
    assert!(!second.leader.leads(), "the other process leads before the lease could have expired");
    second.leads(DURATION + RETRY + SLACK).await;

    broken.send(false).unwrap();
    first.follows(&second, RENEW_DEADLINE + SLACK).await;
    cluster.end().await;
}

#[tokio::test]
async fn a_hanging_release_of_the_lease_does_not_delay_the_shutdown() {
    let cluster = Cluster::new().await;
    let (client, broken) = breakable_client().await;
    let only = cluster.start_with("pod-1", client);
    only.leads(SLACK).await;
    broken.send(true).unwrap();
    only.stop.send(()).unwrap();
    timeout(RENEW_DEADLINE / 2 + SLACK, only.task).await.expect("the release is given up").unwrap();
    assert!(!only.leader.leads());
    cluster.end().await;
}
