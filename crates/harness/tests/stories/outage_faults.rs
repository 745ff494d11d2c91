//! Every kind of outage of Prometheus: bad responses, or none.

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

outage!(prometheus_down_keeps_the_replicas, Outage::Down, ["Error"], "can't be reached");
outage!(
    prometheus_with_30_s_latency_keeps_the_replicas,
    Outage::Slow(Duration::from_secs(30)),
    ["Error"],
    "did not answer within 5 s"
);
outage!(
    http_500_keeps_the_replicas_and_is_reported_with_its_text,
    Outage::Status(500, "injected"),
    ["Error"],
    "HTTP 500: injected"
);
outage!(
    garbage_response_keeps_the_replicas_and_is_quoted,
    Outage::Garbage("<<< this is not JSON"),
    ["Error"],
    "<<< this is not JSON"
);
outage!(oversized_responses_keep_the_replicas, Outage::Huge, ["Error"], "returned more than");
outage!(empty_responses_keep_the_replicas, Outage::Empty, ["Error", "Empty"], "without its evaluation time");
outage!(nan_values_keep_the_replicas, Outage::NaN, ["Error", "NaN"], "NaN");
outage!(
    responses_with_half_of_the_series_keep_the_replicas,
    Outage::Half,
    ["Stale", "Partial", "Error"],
    "none has a current sample"
);
outage!(
    responses_with_a_warning_keep_the_replicas_and_report_it,
    Outage::Partial("some stores could not be reached; the result may be incomplete"),
    ["Partial"],
    "some stores could not be reached"
);
outage!(cached_responses_keep_the_replicas_and_are_reported, Outage::Stale, ["Stale"], "as if from a cache");

/// Prometheus 2.48 to 2.53 add an info to the warnings for every `rate` of a metric whose name does not end in `_total`.
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
async fn prometheus_clock_skew_of_300_s_changes_no_decision() {
    let shop = Shop::open().await;
    let _operator = shop.world.operator("plimsoll-0");
    let before = shop.calm().await;
    let mark = shop.target().mark();
    shop.load(|_| LOAD + 200.0);
    let rose = Instant::now();
    let behind = skew(&shop, -300.0).await;
    // More load is followed while the clock is wrong. 515 / 30 is 17.2; within the tolerance from 16 on.
    let left = Duration::from_secs(30).saturating_sub(rose.elapsed());
    shop.target().wait("16 replicas", left, |target| target.replicas() >= 16).await;
    shop.world.explain(NAMESPACE, SHOP, &["throughput"]).await;
    let ahead = skew(&shop, 300.0).await;
    let healed = shop.service().mark();
    shop.world.prometheus.heal();
    sleep(JUMP).await;
    shop.wait_for_ready("True", RECOVERY).await;
    let back = shop.service().flaps(healed, "Ready");
    let lowest = shop.target().fewest(mark);
    assert!(lowest >= before, "{before} replicas fell to {lowest}");
    assert!(behind <= 2 && ahead <= 2 && back <= 2, "Ready changed {behind}, {ahead} and {back} times");
}

/// Shifts the clock for a while. Returns the number of changes of Ready at the jump; later it must not change.
async fn skew(shop: &Shop, seconds: f64) -> usize {
    let (began, mark) = (Instant::now(), shop.service().mark());
    shop.world.prometheus.break_down(Outage::Skew(seconds));
    sleep(JUMP).await;
    let (jumped, settled) = (shop.service().flaps(mark, "Ready"), shop.service().mark());
    shop.wait_for_ready("True", Duration::from_secs(1)).await;
    sleep(LASTS.saturating_sub(began.elapsed())).await;
    let steady = shop.service().flaps(settled, "Ready");
    assert_eq!(steady, 0, "Ready changed while the clock was constantly wrong");
    jumped
}

/// The control of the empty responses: with `onEmpty: Zero` they lower the replicas.
#[tokio::test(start_paused = true)]
async fn empty_responses_lower_the_replicas_with_on_empty_zero() {
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
