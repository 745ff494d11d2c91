//! A cluster with operators in it, in virtual time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use plimsoll::{
    actuate::balancer::{Images, Setup},
    clock::Clock,
    controller::{Surroundings, operate},
    kpi::{KpiReader, ReaderParts, SourceConfig},
    lease::LeaseParams,
    random::Random,
    telemetry::{Health, Metrics},
};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    apiserver::{ApiServer, Objects},
    prometheus::Prometheus,
    workloads::Workloads,
};

/// The namespace of the operators and their lease.
pub const OPERATOR_NAMESPACE: &str = "plimsoll-system";
/// The start time of every world: a Monday morning, far from any change of daylight saving time.
const BEGIN: &str = "2026-06-01T09:00:00Z";
/// Poll interval of a waiting story.
const POLL: Duration = Duration::from_millis(20);

/// API server, Prometheus and workloads. Create it in a runtime with paused time.
pub struct World {
    /// The API server.
    pub server: ApiServer,
    /// Its objects, for a story that acts as a user.
    pub objects: Objects,
    /// The source `default` of every operator.
    pub prometheus: Prometheus,
    /// The source `second` of every operator.
    pub second: Prometheus,
    /// The wall clock.
    pub clock: Clock,
    /// Offset of the wall clock, in milliseconds.
    shift: Arc<AtomicI64>,
    workloads: JoinHandle<()>,
}

impl Default for World {
    /// An empty cluster.
    fn default() -> Self {
        let shift = Arc::new(AtomicI64::new(0));
        let (begin, start, by) =
            (BEGIN.parse::<Timestamp>().expect("a time"), Instant::now(), Arc::clone(&shift));
        let clock = Clock::new(move || {
            let shift = SignedDuration::from_millis(by.load(Ordering::Relaxed));
            let elapsed = SignedDuration::try_from(start.elapsed()).unwrap_or_default();
            begin.saturating_add(elapsed + shift).unwrap_or(begin)
        });
        let server = ApiServer::new({
            let clock = clock.clone();
            move || clock.now()
        });
        let workloads = tokio::spawn(Workloads::new(server.clone()).run());
        let (prometheus, second) = (Prometheus::new(clock.clone()), Prometheus::new(clock.clone()));
        Self { objects: server.objects(), server, prometheus, second, clock, shift, workloads }
    }
}

impl World {
    /// Sets the wall clock forward or back.
    pub fn set_clock(&self, by: SignedDuration) {
        let millis = i64::try_from(by.as_millis()).expect("a length of time");
        self.shift.fetch_add(millis, Ordering::Relaxed);
    }

    /// Starts an operator in the pod `name`, which is also the name of its client.
    #[must_use]
    pub fn operator(&self, name: &str) -> Operator {
        self.start(name, None)
    }

    /// Starts an operator that runs balancers.
    #[must_use]
    pub fn operator_with_balancers(&self, name: &str) -> Operator {
        self.operator_of(name, setup("plimsoll"))
    }

    /// Starts an operator that runs balancers with this configuration; see [`setup`].
    #[must_use]
    pub fn operator_of(&self, name: &str, setup: Setup) -> Operator {
        self.start(name, Some(setup))
    }

    fn start(&self, name: &str, balancers: Option<Setup>) -> Operator {
        let (health, seed) = (Health::default(), AtomicU64::new(seed(name)));
        let metrics = Arc::new(Metrics::new("0.0.0", &health));
        let source = |name: &str| SourceConfig {
            stale_after: Duration::from_secs(5).into(),
            ..SourceConfig::new(name, "http://prometheus:9090")
        };
        let parts = ReaderParts {
            connect: &|config| {
                let prometheus = if config.name == "second" { &self.second } else { &self.prometheus };
                Ok(Arc::new(prometheus.clone()))
            },
            observer: metrics.clone(),
            clock: self.clock.clone(),
        };
        let surroundings = Surroundings {
            client: self.server.client(name),
            evictions: self.server.client_without_retries(name),
            kpis: KpiReader::with_parts([source("default"), source("second")], &parts).expect("a source"),
            balancers,
            namespaces: Vec::new(),
            pod_name: name.to_owned(),
            pod_namespace: OPERATOR_NAMESPACE.to_owned(),
            lease: LeaseParams::default(),
            clock: self.clock.clone(),
            // The constants of the generator in Knuth's MMIX; any reproducible sequence will do.
            random: Random::new(move || {
                let next = |seed: u64| {
                    Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
                };
                seed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default()
            }),
            health,
            metrics: Arc::clone(&metrics),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // A dropped sender means that the story has ended.
            let _ = stopped.await;
        };
        let task = tokio::spawn(operate(surroundings, stopped));
        Operator { name: name.to_owned(), metrics, stop: Some(stop), task: Some(task) }
    }

    /// The identity that holds the lease; empty for none.
    #[must_use]
    pub fn leader(&self) -> String {
        let lease = self.objects.get("leases", OPERATOR_NAMESPACE, "plimsoll").unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until `fits` returns a value. Returns the value and the elapsed time.
    ///
    /// # Panics
    /// If it takes longer than `within`.
    pub async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        mut fits: impl FnMut() -> Option<T>,
    ) -> (T, Duration) {
        let begin = Instant::now();
        let waiting = async {
            loop {
                if let Some(found) = fits() {
                    return found;
                }
                sleep(POLL).await;
            }
        };
        match timeout(within, waiting).await {
            Ok(found) => (found, begin.elapsed()),
            Err(_) => panic!("not within {within:?}: {what}; the objects are\n{}", self.describe()),
        }
    }

    /// A summary of all ScalableServices and Deployments, for the message of a failed story.
    fn describe(&self) -> String {
        let mut text = String::new();
        for object in self.objects.all() {
            let words = match object["kind"].as_str() {
                Some("Deployment") => format!("replicas {} {}", object["spec"]["replicas"], object["status"]),
                Some("ScalableService") => object["status"].to_string(),
                _ => continue,
            };
            text += &format!("{} {}: {words}\n", object["kind"], object["metadata"]["name"]);
        }
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.workloads.abort();
        let unknown = self.server.unknown_calls();
        if !std::thread::panicking() {
            assert!(unknown.is_empty(), "the conformance test does not cover these calls: {unknown:?}");
        }
    }
}

/// A running operator; dropping it ends the operator.
pub struct Operator {
    name: String,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    /// `None` after [`Self::kill`] or [`Self::terminate`].
    task: Option<JoinHandle<()>>,
}

impl Operator {
    /// The pod's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a series, such as `plimsoll_leader` or `plimsoll_replicas_min{namespace="shop",name="web"}`.
    #[must_use]
    pub fn metric(&self, series: &str) -> Option<String> {
        let text = self.metrics.encode();
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
    }

    /// Whether the operator is still running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Ends the operator as SIGKILL does: it sends nothing more, and the lease expires.
    pub async fn kill(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let aborted = task.await;
            assert!(!aborted.is_err_and(|error| error.is_panic()), "{} panicked", self.name);
        }
    }

    /// Ends the operator as SIGTERM does: it stops its work and releases the lease.
    pub async fn terminate(mut self) {
        self.stop.take();
        if let Some(task) = self.task.take() {
            task.await.expect("the operator ends without a panic");
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let Some(mut task) = self.task.take() else { return };
        task.abort();
        let panicked = matches!((&mut task).now_or_never(), Some(Err(ended)) if ended.is_panic());
        if !std::thread::panicking() {
            assert!(!panicked, "{} panicked", self.name);
        }
    }
}

/// Balancers with the agent image `agent` and defaults for everything else.
#[must_use]
pub fn setup(agent: &str) -> Setup {
    Setup::of(Images { agent: agent.to_owned(), haproxy: "haproxy".to_owned(), nginx: "nginx".to_owned() })
}

/// A seed that differs between pods but not between runs.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// The status, reason and message of a condition, as `True Steady …`; empty without it.
#[must_use]
pub fn condition(object: &Value, type_: &str) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    let text = |field: &str| found.and_then(|found| found[field].as_str()).unwrap_or_default().to_owned();
    format!("{} {} {}", text("status"), text("reason"), text("message")).trim().to_owned()
}
