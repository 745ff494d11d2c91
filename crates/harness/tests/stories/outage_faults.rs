//! Every way in which Prometheus answers badly, or not at all.

use std::time::Duration;

use plimsoll_harness::{history::Version, prometheus::Outage};
use tokio::time::{Instant, sleep};

use crate::outage::{Fault, LASTS, LOAD, NAMESPACE, RECOVERY, SHOP, Shop, endure};

macro_rules! outage {
    ($name:ident, $outage:expr, [$($state:literal),+], $names:literal) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            endure(Fault { outage: $outage, states: &[$($state),+], names: $names }).await;
        }
    };
}

outage!(a_prometheus_that_is_down_holds_the_replicas, Outage::Down, ["Error"], "can't be reached");
outage!(
    a_prometheus_that_answers_after_30_s_holds_the_replicas,
    Outage::Slow(Duration::from_secs(30)),
    ["Error"],
    "did not answer within 5 s"
);
outage!(
    a_status_500_holds_the_replicas_and_is_named_with_its_text,
    Outage::Status(500, "injected"),
    ["Error"],
    "HTTP 500: injected"
);
outage!(
    what_is_no_prometheus_holds_the_replicas_and_is_quoted,
    Outage::Garbage("<<< this is not JSON"),
    ["Error"],
    "<<< this is not JSON"
);
outage!(answers_that_are_too_large_hold_the_replicas, Outage::Huge, ["Error"], "gave an answer of more than");
outage!(
    empty_answers_hold_the_replicas_since_empty_is_not_zero,
    Outage::Empty,
    ["Error", "Empty"],
    "without its own time"
);
outage!(numbers_that_are_nan_hold_the_replicas, Outage::NaN, ["Error", "NaN"], "NaN");
outage!(
    answers_without_every_second_series_hold_the_replicas,
    Outage::Half,
    ["Stale", "Partial", "Error"],
    "none has a current sample"
);
outage!(
    answers_with_a_warning_hold_the_replicas_and_pass_it_on,
    Outage::Partial("some stores could not be reached; the result may be incomplete"),
    ["Partial"],
    "some stores could not be reached"
);
outage!(
    answers_out_of_a_cache_hold_the_replicas_and_say_since_when,
    Outage::Stale,
    ["Stale"],
    "as a cache would"
);

/// Prometheus 2.48 to 2.53 put them there for every `rate` of a metric whose name does not end in `_total`.
#[tokio::test(start_paused = true)]
async fn infos_among_the_warnings_leave_the_kpis_fresh() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    shop.calm().await;
    let mark = shop.service().mark();
    let info = r#"PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "jobs" (1:10)"#;
    shop.world.prometheus.break_down(Outage::Partial(info));
    sleep(LASTS).await;
    assert_eq!(shop.broken(mark).len(), 0, "Ready is {}", shop.service().last().condition("Ready"));
    shop.load(|_| 90.0);
    let fell = |target: &Version| (3..=4).contains(&target.replicas());
    shop.target().wait("at 3 or 4", Duration::from_secs(40), fell).await;
}

/// The status may report a jump of the clock for this time.
const JUMP: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn a_clock_of_prometheus_that_is_300_s_wrong_changes_no_decision() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let mark = shop.target().mark();
    shop.load(|_| LOAD + 200.0);
    let rose = Instant::now();
    let behind = skew(&shop, -300.0).await;
    // It works on: more load is followed while the clock is wrong. 515 / 30 is 17.2; within the tolerance from 16 on.
    let left = Duration::from_secs(30).saturating_sub(rose.elapsed());
    shop.target().wait("16 replicas", left, |target| target.replicas() >= 16).await;
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    let ahead = skew(&shop, 300.0).await;
    let healed = shop.service().mark();
    shop.world.prometheus.heal();
    sleep(JUMP).await;
    shop.ready_says("True", RECOVERY).await;
    let back = shop.service().flaps(healed, "Ready");
    let lowest = shop.target().fewest(mark);
    assert!(lowest >= before, "{before} replicas fell to {lowest}");
    assert!(behind <= 2 && ahead <= 2 && back <= 2, "Ready changed {behind}, {ahead} and {back} times");
}

/// Shifts the clock for a while. Returns how often Ready changed at the jump; later it must not.
async fn skew(shop: &Shop, seconds: f64) -> usize {
    let (began, mark) = (Instant::now(), shop.service().mark());
    shop.world.prometheus.break_down(Outage::Skew(seconds));
    sleep(JUMP).await;
    let (jumped, settled) = (shop.service().flaps(mark, "Ready"), shop.service().mark());
    shop.ready_says("True", Duration::from_secs(1)).await;
    sleep(LASTS.saturating_sub(began.elapsed())).await;
    let steady = shop.service().flaps(settled, "Ready");
    assert_eq!(steady, 0, "Ready changed while the clock was constantly wrong");
    jumped
}

/// The control of the empty answers: where the user says that empty means zero, they lower the replicas.
#[tokio::test(start_paused = true)]
async fn empty_answers_lower_the_replicas_of_a_user_who_says_that_empty_is_zero() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    shop.calm().await;
    let kpi = serde_json::json!({"spec": {"kpis": [{
        "name": "backlog", "type": "Load", "query": "sum(absent_metric)", "perReplica": "10", "onEmpty": "Zero",
    }]}});
    shop.world.objects.patch("scalableservices", NAMESPACE, SHOP, kpi);
    let fell = |target: &Version| target.replicas() == 2;
    shop.target().wait("at minReplicas", Duration::from_secs(120), fell).await;
    shop.world.explain(NAMESPACE, SHOP, &["backlog asks for only 0", "minReplicas is 2"]).await;
}
