//! One primary and one standby through a slow failure, an outage of Prometheus and a crash of all replicas.

use super::{SPARE, refused, spare, standby_ready, state, weight};
use crate::cases::prelude::*;

const SETUP: Setup = Setup {
    more_spec: r#"failover:
  backends: [{name: spare, service: {namespace: failover-spare, name: spare, port: 8080}}]
  leave:
    when: [{readyRatioBelow: "0.5"}, {kpi: errors, above: "0.2"}]
  return: {for: 5s, ramp: [50, 100]}
  maxSwitchesPerHour: 9"#,
    more_kpis: r#"- name: errors
  type: Objective
  source: unsteady
  query: |
    sum(rate(http_requests_total{namespace="failover",app="shop",code="500"}[5s]))
    / (sum(rate(http_requests_total{namespace="failover",app="shop"}[5s])) > 0) or vector(0)
  atMost: "1""#,
    ..Setup::of("failover", 4)
};
const RATE: u32 = 40;
/// Time until the error rate is above its limit in three samples of 5 s each, and the standby has its replicas.
const LEFT_WITHIN: Duration = Duration::from_secs(35);
/// `return.for`, two steps of the ramp of the same length, and evaluations every 2 s.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(35);
/// From the evidence to the switch, in seconds. Requests without a replica are held until the switch.
const SWITCHED_WITHIN: f64 = 2.0;
/// From the switch in the status until the balancers have applied it, in seconds.
const APPLIED_WITHIN: f64 = 0.3;
/// Longer than `return.for` and the ramp together.
const BLIND: Duration = Duration::from_secs(18);

pub fn run(fixture: &Fixture) -> Result<String> {
    let other = TestNamespace::open(fixture, "failover-spare")?;
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let standby = spare(&other, front.test.namespace)?;
    standby_ready(&front.service)?;
    degrade(&front, &standby)?;
    without_prometheus(fixture, &front)?;
    die(&front)?;
    by_hand(&front)?;
    refused::run(&front)?;
    Ok("moved by errors, by crashes, by hand, in conflict with an HPA, and with a deleted target".to_owned())
}

/// Half of the answers are errors, but every replica is ready: the standby is scaled up first.
fn degrade(front: &Front<'_>, standby: &WatchLog) -> Result<()> {
    let begun = fault(&front.test, SHOP, r#"{"errors": 0.5}"#)?;
    let flow = Flow::start(front.test.stage, &front.url, RATE, 60, &[])?;
    let moved = front.service.wait("on the standby", LEFT_WITHIN, |snapshot| weight(snapshot) == 100)?;
    front.test.explain(SHOP, &["Failover: Standby", "spare 100%", "StandbyServes"])?;
    let switched = unix(moved.at);
    sleep(Duration::from_secs(3));
    let account = flow.finish(true)?;
    let last = account.last_bad.context("no request failed, so the case proves nothing")? - switched;
    ensure!(last <= 1.0, "errors went on for {last:.1} s after all requests had moved: {}", account.why());
    // The standby's share never exceeds its ready replicas, of the four that it needs.
    let begun_to_move = |snapshot: &&Snapshot| weight(snapshot) > 0 && snapshot.at <= moved.at;
    for snapshot in front.service.all().iter().filter(begun_to_move) {
        // The two watches are not synchronized: one may lag a little.
        let seen = standby.since(snapshot.at + Duration::from_millis(500));
        let had = seen.first().map_or(0, |seen| seen.number("/status/readyReplicas"));
        let moved = weight(snapshot);
        ensure!(moved <= had * 25, "{moved} % moved to {had} replicas; all requests need four");
    }
    let asked = standby.all().into_iter().find(|snapshot| snapshot.wanted() == 4);
    let asked = asked.context("the standby was never scaled up to 4")?;
    ensure!(asked.at <= moved.at, "the standby was scaled up after the requests had moved");
    figure("degraded until the standby is scaled up, s", seconds(begun, asked.at));
    figure("scaled up until all requests moved, s", seconds(asked.at, moved.at));
    figure("all requests moved until the last error, s", last);
    Ok(())
}

/// The primary recovers while Prometheus is down.
fn without_prometheus(fixture: &Fixture, front: &Front<'_>) -> Result<()> {
    fixture.prometheus.take_down()?;
    front.service.wait("frozen", Duration::from_secs(15), |snapshot| state(snapshot) == "Frozen")?;
    fault(&front.test, SHOP, "{}")?;
    let stays = |snapshot: &Snapshot| weight(snapshot) == 100;
    let kept = front.service.stays("on the standby", BLIND, stays);
    fixture.prometheus.heal()?;
    kept?;
    let flow = Flow::start(front.test.stage, &front.url, RATE, 60, &[])?;
    let healed = SystemTime::now();
    let back = front.service.wait("back on the primary", BACK_WITHIN, |snapshot| weight(snapshot) == 0)?;
    let steps = front.service.all().iter().any(|snapshot| snapshot.at >= healed && weight(snapshot) == 50);
    ensure!(steps, "the requests returned without the step of 50 %");
    sleep(Duration::from_secs(2));
    let account = flow.finish(true)?;
    account.none_lost("return to the primary")?;
    figure("Prometheus back until on the primary, s", seconds(healed, back.at));
    Ok(())
}

/// Kills every replica of the shop and of the control repeatedly, until the kubelet delays the restart.
fn die(front: &Front<'_>) -> Result<()> {
    let test = &front.test;
    let plain = control(test, &SETUP)?;
    let flow = Flow::start(test.stage, &front.url, RATE, 60, &[])?;
    let beside = Flow::start(test.stage, &plain, RATE / 4, 60, &[])?;
    sleep(Duration::from_secs(1));
    let died = SystemTime::now();
    let all = [pods(test, SHOP)?, pods(test, CONTROL)?].concat();
    all.iter().try_for_each(|pod| kill(&pod.uid, "serve"))?;
    kill_again(all)?;
    let moved = front.service.wait("on the standby", Duration::from_secs(5), |snapshot| {
        snapshot.at >= died && weight(snapshot) == 100
    })?;
    let evidence = dead_since(&front.target, died, moved.at).context("no moment without a ready replica")?;
    let back =
        front.service.wait("back on the primary", BACK_WITHIN + Duration::from_secs(25), |snapshot| {
            snapshot.at > moved.at && weight(snapshot) == 0
        })?;
    sleep(Duration::from_secs(2));
    let (account, without) = (flow.finish(true)?, beside.finish(true)?);
    count("requests", account.sent);
    count("failed, nearly all before the switch", account.lost());
    count("lost by the control", without.lost());
    let switched = seconds(evidence.at, moved.at);
    figure("no pod ready until on the standby, s", switched);
    account.some_lost("all replicas died")?;
    let last = account.last_bad.context("nothing was lost")? - unix(evidence.at);
    figure("no pod ready until the last loss, s", last);
    ensure!(switched <= SWITCHED_WITHIN, "on the standby {switched:.1} s after the evidence");
    let in_time = last <= switched + APPLIED_WITHIN;
    ensure!(
        in_time,
        "requests were lost for {last:.1} s, the switch was at {switched:.1} s: {}",
        account.why()
    );
    let goes_on = without.last_bad.context("the control lost nothing")? - unix(evidence.at);
    ensure!(goes_on > last + 3.0, "the control recovered after {goes_on:.1} s, as soon as the service");
    figure("the same in the control, s", goes_on);
    figure("on the standby until back, s", seconds(moved.at, back.at));
    Ok(())
}

/// Kills each pod a second time as soon as it has restarted: after that the kubelet backs off for 10 s.
fn kill_again(mut left: Vec<Pod>) -> Result<()> {
    wait_for("every pod to die twice", Duration::from_secs(10), || {
        left.retain(|pod| kill(&pod.uid, "serve").is_err());
        Ok(left.is_empty())
    })
}

/// The latest state between two moments in which the last replica became unready.
fn dead_since(target: &WatchLog, from: SystemTime, to: SystemTime) -> Option<Snapshot> {
    let snapshots = target.all();
    let dead = |snapshot: &Snapshot| snapshot.number("/status/readyReplicas") == 0;
    let mut dies = snapshots.iter().zip(snapshots.iter().skip(1)).rev().filter(|(a, b)| !dead(a) && dead(b));
    dies.find(|(_, snapshot)| (from..=to).contains(&snapshot.at)).map(|(_, snapshot)| snapshot.clone())
}

fn by_hand(front: &Front<'_>) -> Result<()> {
    let test = &front.test;
    let flow = Flow::start(test.stage, &front.url, RATE, 60, &[])?;
    test.plugin(&["failover", SHOP, "--to", SPARE])?;
    let begun = SystemTime::now();
    let there = |snapshot: &Snapshot| snapshot.at >= begun && weight(snapshot) == 100;
    let moved = front.service.wait("sent to the standby", Duration::from_secs(15), there)?;
    // The primary is healthy, but the manual override keeps the requests at the standby.
    front.service.stays("on the standby", Duration::from_secs(8), |snapshot| weight(snapshot) == 100)?;
    test.explain(SHOP, &["manual override: spare"])?;
    test.plugin(&["failover", SHOP, "--to", "primary"])?;
    let back = front
        .service
        .wait("sent back", BACK_WITHIN, |snapshot| snapshot.at > moved.at && weight(snapshot) == 0)?;
    test.plugin(&["freeze", SHOP, "--reason=e2e"])?;
    front.service.wait("frozen", Duration::from_secs(5), |snapshot| state(snapshot) == "Frozen")?;
    test.plugin(&["unfreeze", SHOP])?;
    front.service.wait("not frozen", Duration::from_secs(5), |snapshot| state(snapshot) == "Primary")?;
    let account = flow.finish(true)?;
    account.none_lost("sent there and back by hand")?;
    let (there, back) = (seconds(begun, moved.at), seconds(moved.at, back.at));
    figure("by hand until on the standby, s", there);
    figure("by hand until back, s", back);
    Ok(())
}
