//! An upgrade of the operator rolls out the balancers of all services in waves.

use std::time::Duration;

use plimsoll::actuate::balancer::Setup;
use plimsoll_harness::{
    workloads::NEVER_READY_WITH,
    world::{Operator, World, setup},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::manifests::{DialService, deployment, dial, traffic};

const NAMESPACE: &str = "waves";
const OLD: &str = "plimsoll:1";
const NEW: &str = "plimsoll:2";
/// Services, the most critical first.
const SERVICES: [(&str, &str); 6] = [
    ("checkout", "CriticalPlus"),
    ("search", "Critical"),
    ("cart", "Critical"),
    ("reviews", "SheddablePlus"),
    ("ads", "Sheddable"),
    ("trends", "Sheddable"),
];
/// Poll interval of a story: far less than a rollout takes.
const A_MOMENT: Duration = Duration::from_millis(200);
/// More than the time after which a rollout without progress no longer delays the others.
const STUCK: Duration = Duration::from_secs(660);

fn upgraded(at_once: usize) -> Setup {
    Setup { concurrent_rollouts: at_once, ..setup(NEW) }
}

/// Six services with balancers of an operator of the old version.
async fn six_services() -> (World, Operator) {
    let world = World::default();
    let operator = world.operator_of("plimsoll-0", setup(OLD));
    world.prometheus.set(&dial(NAMESPACE), 15.0);
    for (name, criticality) in SERVICES {
        deployment(&world, NAMESPACE, name, 2);
        DialService::on(NAMESPACE, name).apply(&world);
        let traffic = traffic(&json!({}));
        let spec = json!({"spec": {"criticality": criticality, "traffic": traffic}});
        world.objects.patch("scalableservices", NAMESPACE, name, spec);
    }
    let all = || SERVICES.iter().all(|(name, _)| Balancers::of(&world, name).is_of(OLD)).then_some(());
    world.until("all have balancers", Duration::from_secs(30), all).await;
    (world, operator)
}

/// The same services with an operator of the new version. The balancers of `ads`, which are due first, never become ready
/// with it.
async fn stuck_upgrade() -> (World, Operator) {
    let (world, old) = six_services().await;
    let labels = json!({"spec": {"traffic": {"pod": {"labels": {NEVER_READY_WITH: NEW}}}}});
    world.objects.patch("scalableservices", NAMESPACE, "ads", labels);
    sleep(Duration::from_secs(20)).await;
    old.terminate().await;
    let new = world.operator_of("plimsoll-0", upgraded(1));
    (world, new)
}

/// The balancers of a service.
struct Balancers {
    image: String,
    complete: bool,
    available: i64,
}

impl Balancers {
    fn of(world: &World, name: &str) -> Self {
        let found = world.objects.get("deployments", NAMESPACE, &format!("{name}-lb")).unwrap_or_default();
        let text = |pointer: &str| found.pointer(pointer).and_then(|text| text.as_str()).unwrap_or_default();
        let number = |pointer: &str| found.pointer(pointer).and_then(|number| number.as_i64());
        let updated = number("/status/updatedReplicas");
        let complete = number("/status/observedGeneration") == number("/metadata/generation")
            && updated == Some(2)
            && number("/status/replicas") == updated
            && number("/status/availableReplicas") == updated;
        let image = text("/spec/template/spec/initContainers/0/image").to_owned();
        Self { image, complete, available: number("/status/availableReplicas").unwrap_or_default() }
    }

    /// Whether all of them have this image.
    fn is_of(&self, image: &str) -> bool {
        self.complete && self.image == image
    }
}

/// The observed course of an upgrade.
#[derive(Default)]
struct Upgrade {
    /// The services in the order in which their rollouts began.
    order: Vec<&'static str>,
    /// The highest number of concurrent rollouts.
    most: usize,
}

impl Upgrade {
    /// Watches until all services but `without` have new balancers.
    async fn watch(&mut self, world: &World, without: &[&str], within: Duration) {
        let end = Instant::now() + within;
        let complete = |name: &str| without.contains(&name) || Balancers::of(world, name).is_of(NEW);
        while !SERVICES.iter().all(|(name, _)| complete(name)) {
            assert!(Instant::now() < end, "not within {within:?}; rollouts begun: {:?}", self.order);
            self.poll(world);
            sleep(A_MOMENT).await;
        }
    }

    fn poll(&mut self, world: &World) {
        let mut rolling = 0;
        for (name, _) in SERVICES {
            let balancers = Balancers::of(world, name);
            assert!(balancers.available >= 2, "{name} has {} available balancers", balancers.available);
            rolling += usize::from(!balancers.complete);
            if balancers.image == NEW && !self.order.contains(&name) {
                self.order.push(name);
            }
        }
        self.most = self.most.max(rolling);
    }
}

const IN_ORDER: [&str; 6] = ["ads", "trends", "reviews", "cart", "search", "checkout"];

#[tokio::test(start_paused = true)]
async fn upgrade_rolls_out_a_bounded_number_of_services_at_a_time_least_critical_first() {
    for (at_once, bounded) in [(1, true), (2, true), (6, false)] {
        let (world, old) = six_services().await;
        old.terminate().await;
        let _new = world.operator_of("plimsoll-0", upgraded(at_once));
        let mut upgrade = Upgrade::default();
        upgrade.watch(&world, &[], Duration::from_secs(120)).await;
        if bounded {
            assert_eq!(upgrade.most, at_once, "{:?}", upgrade.order);
        } else {
            // Control without a bound.
            assert!(upgrade.most > 2, "{} at a time", upgrade.most);
        }
        if at_once == 1 {
            assert_eq!(upgrade.order, IN_ORDER);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn upgrade_continues_in_waves_after_the_operator_is_killed() {
    let (world, old) = six_services().await;
    old.terminate().await;
    let killed = world.operator_of("plimsoll-0", upgraded(1));
    let mut upgrade = Upgrade::default();
    while upgrade.order.len() < 2 {
        upgrade.poll(&world);
        sleep(A_MOMENT).await;
    }
    killed.kill().await;
    let _next = world.operator_of("plimsoll-0", upgraded(1));
    upgrade.watch(&world, &[], Duration::from_secs(180)).await;
    assert_eq!((upgrade.most, upgrade.order.as_slice()), (1, &IN_ORDER[..]));
}

#[tokio::test(start_paused = true)]
async fn stuck_rollout_delays_the_others_for_a_limited_time_and_its_old_balancers_keep_serving() {
    let (world, _new) = stuck_upgrade().await;
    let mut upgrade = Upgrade::default();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(500) {
        upgrade.poll(&world);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(upgrade.order, ["ads"], "the others did not wait");
    upgrade.watch(&world, &["ads"], STUCK).await;
    assert!(!Balancers::of(&world, "ads").complete);
}

#[tokio::test(start_paused = true)]
async fn change_of_a_services_own_spec_does_not_wait_for_the_upgrade() {
    let (world, _new) = stuck_upgrade().await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(Balancers::of(&world, "checkout").image, OLD, "it did not wait for its wave");
    let drain = json!({"spec": {"traffic": {"drain": {"timeout": "45s"}}}});
    world.objects.patch("scalableservices", NAMESPACE, "checkout", drain);
    let changed = || Balancers::of(&world, "checkout").is_of(NEW).then_some(());
    world.until("its own change is applied", Duration::from_secs(15), changed).await;
    assert_eq!(Balancers::of(&world, "search").image, OLD, "the others did not wait");
}
