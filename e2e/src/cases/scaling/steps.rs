//! The shop under a load that jumps, steps and falls.

use super::checkout;
use crate::{
    cases::prelude::*,
    stage::{Load, Second, Summary},
};

const NAMESPACE: &str = "scale-steps";
/// A pod serves at most 80 requests a second; the target is 50: 2, 5, 7, 3, 2 replicas, and more for the backlog of the
/// jump. A burst may keep the replicas for a minute, so the fall is last; it ends as soon as the replicas have fallen.
const SHAPE: &str = "60@3s,220@14s,340@12s,150@10s,60@120s";
/// When the load jumps, and when it steps up, in seconds.
const RISES_S: [f64; 2] = [3.0, 17.0];
/// How long after a rise answers may be late: noticed within 1 s, pods ready after 2 to 4 s; the queues of the two old pods,
/// which grow meanwhile by 30 requests a second each, are worked off by these pods alone.
const REACTION_S: f64 = 12.0;
/// Share of the other requests that must be in time.
const IN_TIME: f64 = 0.98;
/// Most replicas for the jump and its backlog: both queues full, (220 + 2 x 400 / 2) / 50.
const MOST: i64 = 13;

const SPEC: &str = r#"kpis:
- name: demand # requests served, and requests queued, to be worked off within two seconds
  type: Load
  query: 'sum(rate(http_requests_total{namespace="scale-steps", app="checkout"}[5s])) + sum(http_queue_length{namespace="scale-steps", app="checkout"}) / 2'
  perReplica: "50"
- name: latency-p99
  type: Objective
  query: 'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="scale-steps", app="checkout"}[5s])))'
  atMost: "0.25"
behavior: {scaleDown: {stabilizationWindowSeconds: 5}}"#;

pub fn run(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, NAMESPACE)?;
    let url = checkout::deploy(&test, 2)?;
    let load = checkout::load(&test, &url, SHAPE)?;
    let begin = Instant::now();
    let deployment = test.follow("deployment", "checkout")?;
    test.apply(&checkout::service(NAMESPACE, 2, SPEC))?;
    let at = |second: u64| sleep(Duration::from_secs(second).saturating_sub(begin.elapsed()));
    at(16);
    let jumped = wants(&deployment, "the jump to 220 requests/s", 5..=MOST)?;
    at(28);
    let peak = wants(&deployment, "the step to 340 requests/s", 7..=MOST)?;
    let line = printed_line(&test)?;
    test.explain("checkout", &["demand"])?;
    at(38);
    let stepped = wants(&deployment, "the step down to 150 requests/s", 3..=peak)?;
    // A stall of this machine causes another burst, which keeps the replicas for another minute.
    let left = Duration::from_secs(150).saturating_sub(begin.elapsed());
    deployment.wait("down to 2 for 60 requests/s", left, |seen| seen.wanted() == 2)?;
    check_events_and_plugin(&test, &deployment.wanted())?;
    // Until the last removed pod has drained.
    sleep(Duration::from_secs(4));
    let (account, late) = account(load)?;
    let careless = checkout::careless(&test)?;
    requests(account.sent, account.lost(), careless);
    let wanted = deployment.wanted();
    Ok(format!(
        "replicas {wanted:?} ({jumped} at 220/s, {peak} at 340/s, {stepped} at 150/s); {late}; `{line}`"
    ))
}

fn wants(deployment: &WatchLog, when: &str, allowed: std::ops::RangeInclusive<i64>) -> Result<i64> {
    let wanted = deployment.last()?.wanted();
    ensure!(allowed.contains(&wanted), "{when}: {wanted} replicas; expected {allowed:?}");
    Ok(wanted)
}

/// Returns the line of `kubectl get ssvc`, which must fit a terminal and agree with the Deployment.
fn printed_line(test: &TestNamespace<'_>) -> Result<String> {
    let mut printed = String::new();
    for _ in 0..10 {
        let text = test.kubectl("get ssvc checkout")?;
        let deployment = test.get("deployment", "checkout")?;
        let (wanted, ready) = (deployment.wanted(), deployment.number("/status/readyReplicas"));
        if let Some(line) = text.lines().find(|line| line.chars().count() > 120) {
            bail!("a line of `kubectl get ssvc` has {} characters: {line}", line.chars().count());
        }
        printed = text.lines().nth(1).context("`kubectl get ssvc` has no second line")?.trim().to_owned();
        let words: Vec<&str> = printed.split_whitespace().collect();
        let numbers = format!("{ready}/{wanted}");
        if words.starts_with(&["checkout", "deployment/checkout", &numbers, "2-20"])
            && words.contains(&"True")
        {
            return Ok(words.join(" "));
        }
        sleep(Duration::from_millis(500));
    }
    bail!("`kubectl get ssvc` does not agree with the Deployment: {printed}")
}

/// Checks the events (one for each change, with its numbers), `kubectl wait` and the plugin.
fn check_events_and_plugin(test: &TestNamespace<'_>, wanted: &[i64]) -> Result<()> {
    let described = test.kubectl("describe ssvc checkout")?;
    for (from, to) in wanted.iter().zip(wanted.iter().skip(1)) {
        let reason = if to > from { "ScaledUp" } else { "ScaledDown" };
        let text = format!(" {from} -> {to} replicas");
        let found = described.lines().any(|line| line.contains(reason) && line.contains(&text));
        ensure!(found, "`kubectl describe` has no event {reason} with{text}: {described}");
    }
    test.wait_ready("checkout", Duration::from_secs(5))?;
    let status = test.plugin(&["status", "checkout"])?;
    let complete = status.contains("deployment/checkout") && status.contains("2-20");
    ensure!(complete, "`kubectl plimsoll status`: {status}");
    let why = test.plugin(&["explain", "checkout"])?;
    ensure!(why.contains("demand") && why.contains("2 replicas"), "`kubectl plimsoll explain`: {why}");
    Ok(())
}

/// Checks that every request is accounted for, that none is lost, and that the objective is met outside of the reaction time.
fn account(load: Load) -> Result<(Summary, String)> {
    let seconds = load.seconds();
    let account = load.finish(true)?;
    let outside: Vec<_> = seconds.iter().filter(|second| !reacting(second)).collect();
    let (sent, late) =
        outside.iter().fold((0, 0), |(sent, late), second| (sent + second.sent, late + second.late));
    let in_time = 1.0 - late as f64 / sent.max(1) as f64;
    ensure!(account.lost() == 0, "{} of {} requests were lost", account.lost(), account.sent);
    let summary = format!(
        "{:.2} % within 250 ms outside of the {REACTION_S} s after each rise, generator's own lag at most {:.0} ms",
        in_time * 100.0,
        account.max_lag_seconds * 1e3
    );
    let those = outside.iter().filter(|second| second.late > 0);
    let those: Vec<_> = those.map(|second| format!("{} in second {}", second.late, second.t)).collect();
    ensure!(in_time >= IN_TIME, "{summary}; late were {}", those.join(", "));
    Ok((account, summary))
}

/// Whether a second, given by its end, overlaps the reaction time of a rise.
fn reacting(second: &Second) -> bool {
    RISES_S.iter().any(|rise| second.t > *rise && second.t - 1.0 < rise + REACTION_S)
}
