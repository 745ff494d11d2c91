//! A shop under a steady load, kept by a ScalableService that would carry out any scale-down at once, and what every
//! outage must show: replicas hold, the status says what is wrong, and all heals without help.

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
/// Requests a second: 10 replicas at 30 each, from which nothing moves up to 13.
pub const LOAD: f64 = 315.0;
/// Time that a fault lasts: more than twice the age at which a sample is stale (5 s).
pub const LASTS: Duration = Duration::from_secs(12);
/// Time within which all is well again after a fault, without help.
pub const RECOVERY: Duration = Duration::from_secs(15);
/// What is watched after a recovery: the first look at new evidence is where a wrong scale-down would come.
const AFTERMATH: Duration = Duration::from_secs(1);
/// The status must report an outage within this time: the source's timeout of 5 s and a look.
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
    /// Ten replicas under the steady load, before anybody scales them.
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
        // The first answers are about a window that is full of load.
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

    /// The requests per second from now on.
    pub fn load(&self, at: impl Fn(Timestamp) -> f64 + Send + Sync + 'static) {
        self.world.prometheus.script(THROUGHPUT, move |now| Value::Number(at(now)));
    }

    /// A load that rises by the steady one within `seconds` from now.
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

    /// Waits until the replicas are steady and ready, in the status, too. Returns their number.
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
    pub async fn ready_says(&self, status: &str, within: Duration) -> Duration {
        let should = format!("Ready={status}");
        self.service().wait(&should, within, |service| service.condition("Ready").starts_with(status)).await.1
    }

    /// Waits until Prometheus was asked again, which the next look does.
    pub async fn after_a_look(&self) {
        let asked = self.world.prometheus.asked();
        let looked = || (self.world.prometheus.asked() > asked).then_some(());
        self.world.until("Prometheus is asked", Duration::from_secs(60), looked).await;
    }

    /// The versions of the service since `mark` in which Ready is not True.
    pub fn broken(&self, mark: usize) -> Vec<Version> {
        let since = self.service().since(mark).into_iter();
        since.filter(|version| !version.condition("Ready").starts_with("True")).collect()
    }
}

/// A fault of Prometheus, and what the status has to say of it.
pub struct Fault {
    pub outage: Outage,
    /// States that KPIs may have, other than Fresh.
    pub states: &'static [&'static str],
    /// What a message of the condition Ready must name.
    pub names: &'static str,
}

/// Lets a fault happen, and checks what the user sees.
pub async fn endure(fault: Fault) {
    let shop = Shop::open().await;
    let operator = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let (service, target) = (shop.service(), shop.target());
    let (mark, target_mark, began) = (service.mark(), target.mark(), Instant::now());
    shop.world.prometheus.break_down(fault.outage);
    shop.ready_says("False", REPORTED).await;
    sleep(LASTS.saturating_sub(began.elapsed())).await;
    // At its end both conditions still report the outage.
    let last = service.last();
    for type_ in ["Ready", "MetricsAvailable"] {
        let condition = last.condition(type_);
        assert!(condition.starts_with("False"), "{type_} is {condition} during the outage");
    }
    let ready = last.condition("Ready");
    assert!(ready.starts_with("False MetricsUnavailable"), "Ready is {ready}");
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    shop.world.prometheus.heal();
    shop.ready_says("True", RECOVERY).await;
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

/// The control of every outage: what is no fault but a fall of the load lowers the replicas, and would have been seen.
#[tokio::test(start_paused = true)]
async fn a_load_that_really_falls_lowers_the_replicas() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    shop.calm().await;
    shop.load(|_| 90.0);
    let fell = |target: &Version| (3..=4).contains(&target.replicas());
    shop.target().wait("at 3 or 4", Duration::from_secs(40), fell).await;
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_doubles_while_prometheus_is_down_is_followed_at_once_when_it_is_back() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let mark = shop.target().mark();
    shop.world.prometheus.break_down(Outage::Down);
    shop.ready_says("False", REPORTED).await;
    shop.load(|_| 2.0 * LOAD);
    sleep(LASTS).await;
    assert_eq!(shop.target().last().replicas(), before, "nothing is raised without evidence");
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    shop.world.prometheus.heal();
    let risen = |target: &Version| target.replicas() >= 19;
    let target = shop.target();
    let (followed, ready) =
        tokio::join!(target.wait("19 replicas", RECOVERY, risen), shop.ready_says("True", RECOVERY));
    // The look that makes the change reports it, too.
    assert!(
        followed.1 <= ready + Duration::from_secs(1),
        "the first fresh look did not raise: {:?}",
        followed.1
    );
    assert!(shop.target().fewest(mark) >= before);
}
