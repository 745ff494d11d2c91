//! A shop under a steady load, with a ScalableService that applies any scale-down immediately, and the requirements for every
//! outage: the replicas stay, the status reports the fault, and the service recovers without help.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use plimsoll_harness::{
    history::{History, Version},
    prometheus::{Outage, Value},
    world::World,
};
use tokio::time::{Instant, sleep};

use crate::manifests::deployment;

/// Namespace of the shop.
pub const NAMESPACE: &str = "outages";
/// Deployment and ScalableService.
pub const SHOP: &str = "shop";
/// Requests per second: 10 replicas at 30 each; by the tolerance up to 13 replicas stay unchanged.
pub const LOAD: f64 = 315.0;
/// Duration of a fault: more than twice the age at which a sample is stale (5 s).
pub const LASTS: Duration = Duration::from_secs(12);
/// The service must recover without help within this time after a fault.
pub const RECOVERY: Duration = Duration::from_secs(15);
/// Time of observation after a recovery: a wrong scale-down would happen in the first turn with new evidence.
const AFTERMATH: Duration = Duration::from_secs(1);
/// The status must report an outage within this time: the source's timeout of 5 s and a turn.
pub const REPORTED: Duration = Duration::from_secs(8);

const THROUGHPUT: &str = r#"sum(rate(http_requests_total{namespace="outages", app="shop"}[10s]))"#;
const BUSY: &str =
    r#"sum by (pod) (rate(http_request_duration_seconds_sum{namespace="outages", app="shop"}[5s])) / 4"#;
const LATENCY: &str = r#"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="outages", app="shop"}[5s])))"#;
const BACKLOG: &str = r#"sum(http_queue_length{namespace="outages", app="elsewhere"})"#;

/// The shop, in a cluster with as many operators as a story starts.
pub struct Shop {
    pub world: World,
}

impl Shop {
    /// Ten replicas under the steady load, before an operator runs.
    pub async fn open() -> Self {
        let world = World::default();
        deployment(&world, NAMESPACE, SHOP, 10);
        let objects = world.objects.clone();
        world.prometheus.script(BUSY, move |_| {
            let pods = objects.list("pods", NAMESPACE);
            let share = LOAD * 0.02 / 4.0 / pods.len().max(1) as f64;
            let name = |pod: &serde_json::Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
            Value::Pods(pods.iter().map(|pod| (name(pod), share)).collect())
        });
        world.prometheus.set(LATENCY, 0.02);
        world.prometheus.set(BACKLOG, 0.0);
        let shop = Self { world };
        shop.load(|_| LOAD);
        // The ranges of the first samples are full of load.
        sleep(LASTS).await;
        shop.world.objects.apply(&format!(
            r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {SHOP}, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {SHOP}}}
  minReplicas: 2
  maxReplicas: 24
  period: 1s
  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0, tolerance: "0.22"}}}}
  kpis:
  - {{name: throughput, type: Load, query: '{THROUGHPUT}', perReplica: "30"}}
  - {{name: busy, type: Utilization, query: '{BUSY}', target: "0.8"}}
  - {{name: latency-p99, type: Objective, query: '{LATENCY}', atMost: "4"}}
  - {{name: backlog, type: Load, query: '{BACKLOG}', perReplica: "10"}}
"#
        ));
        shop
    }

    /// Sets the requests per second from now on.
    pub fn load(&self, at: impl Fn(Timestamp) -> f64 + Send + Sync + 'static) {
        self.world.prometheus.script(THROUGHPUT, move |now| Value::Number(at(now)));
    }

    /// Doubles the steady load within `seconds` from now.
    pub fn rise(&self, seconds: f64) {
        let begin = self.world.clock.now();
        self.load(move |now| {
            LOAD * (1.0 + (now.duration_since(begin).as_secs_f64() / seconds).clamp(0.0, 1.0))
        });
    }

    pub fn target(&self) -> History<'_> {
        self.world.follow("deployments", NAMESPACE, SHOP)
    }

    pub fn service(&self) -> History<'_> {
        self.world.follow("scalableservices", NAMESPACE, SHOP)
    }

    /// Waits until the replicas are steady and ready, also in the status. Returns their number.
    pub async fn calm(&self) -> i64 {
        let calm = |service: &Version| {
            let target = self.target().last();
            let replicas = target.replicas();
            (10..=13).contains(&replicas)
                && target.number("/status/readyReplicas") == replicas
                && service.number("/status/readyReplicas") == replicas
                && service.condition("Ready").starts_with("True")
        };
        let (service, _) = self.service().wait("calm", Duration::from_secs(75), calm).await;
        service.number("/status/readyReplicas")
    }

    /// Waits until the condition Ready has this status.
    pub async fn wait_for_ready(&self, status: &str, within: Duration) -> Duration {
        let should = format!("Ready={status}");
        self.service().wait(&should, within, |service| service.condition("Ready").starts_with(status)).await.1
    }

    /// Waits until the next turn queries Prometheus.
    pub async fn after_a_turn(&self) {
        let before = self.world.prometheus.queries();
        let queried = || (self.world.prometheus.queries() > before).then_some(());
        self.world.until("Prometheus is queried", Duration::from_secs(60), queried).await;
    }

    /// The versions of the service since `mark` in which Ready is not True.
    pub fn broken(&self, mark: usize) -> Vec<Version> {
        let since = self.service().since(mark).into_iter();
        since.filter(|version| !version.condition("Ready").starts_with("True")).collect()
    }
}

/// A fault of Prometheus, and its expected status.
pub struct Fault {
    pub outage: Outage,
    /// States that KPIs may have, other than Fresh.
    pub states: &'static [&'static str],
    /// A part of the message of the condition Ready.
    pub names: &'static str,
}

/// Injects a fault, and checks the replicas and the status.
pub async fn endure(fault: Fault) {
    let shop = Shop::open().await;
    let operator = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let (service, target) = (shop.service(), shop.target());
    let (mark, target_mark, began) = (service.mark(), target.mark(), Instant::now());
    shop.world.prometheus.break_down(fault.outage);
    shop.wait_for_ready("False", REPORTED).await;
    sleep(LASTS.saturating_sub(began.elapsed())).await;
    // At the end of the outage both conditions still report it.
    let last = service.last();
    for type_ in ["Ready", "MetricsAvailable"] {
        let condition = last.condition(type_);
        assert!(condition.starts_with("False"), "{type_} is {condition} during the outage");
    }
    let ready = last.condition("Ready");
    assert!(ready.starts_with("False MetricsUnavailable"), "Ready is {ready}");
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    shop.world.prometheus.heal();
    shop.wait_for_ready("True", RECOVERY).await;
    sleep(AFTERMATH).await;

    let lowest = target.fewest(target_mark);
    assert!(lowest >= before, "{before} replicas fell to {lowest}: {}", service.last().0["status"]);
    let broken = shop.broken(mark);
    let states = states(&broken);
    assert!(
        states.iter().all(|state| fault.states.contains(&state.as_str())),
        "the KPIs are {states:?}, not of {:?}",
        fault.states
    );
    let messages: Vec<String> = broken.iter().map(|version| version.condition("Ready")).collect();
    let named = messages.iter().any(|message| message.contains(fault.names));
    assert!(named, "no message names {:?}: {messages:#?}", fault.names);
    assert!(operator.is_running(), "the operator ended");
}

/// States of the KPIs in these versions, other than Fresh.
fn states(versions: &[Version]) -> BTreeSet<String> {
    let kpis = |version: &Version| version.0["status"]["kpis"].as_array().cloned().unwrap_or_default();
    let states = versions.iter().flat_map(kpis);
    let states = states.map(|kpi| kpi["state"].as_str().unwrap_or_default().to_owned());
    states.filter(|state| state != "Fresh").collect()
}

/// The control of every outage: without a fault, a fall of the load lowers the replicas.
#[tokio::test(start_paused = true)]
async fn real_fall_of_the_load_lowers_the_replicas() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    shop.calm().await;
    shop.load(|_| 90.0);
    let fell = |target: &Version| (3..=4).contains(&target.replicas());
    shop.target().wait("at 3 or 4", Duration::from_secs(40), fell).await;
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
}

#[tokio::test(start_paused = true)]
async fn load_doubled_during_a_prometheus_outage_is_followed_right_after_it() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let mark = shop.target().mark();
    shop.world.prometheus.break_down(Outage::Down);
    shop.wait_for_ready("False", REPORTED).await;
    shop.load(|_| 2.0 * LOAD);
    sleep(LASTS).await;
    assert_eq!(shop.target().last().replicas(), before, "nothing is raised without evidence");
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    shop.world.prometheus.heal();
    let risen = |target: &Version| target.replicas() >= 19;
    let target = shop.target();
    let (followed, ready) =
        tokio::join!(target.wait("19 replicas", RECOVERY, risen), shop.wait_for_ready("True", RECOVERY));
    // The turn that scales up also reports it.
    assert!(
        followed.1 <= ready + Duration::from_secs(1),
        "the first turn with fresh samples did not scale up: {:?}",
        followed.1
    );
    assert!(shop.target().fewest(mark) >= before);
}
