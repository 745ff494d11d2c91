//! One replica of ten answers errors.

use super::{EJECTED_WITHIN, ERRORS, ejected, setup};
use crate::cases::prelude::*;

const SETUP: Setup = setup(
    "recovery-outlier",
    r#"recovery:
  outliers:
    kpiByPod:
      query: |
        sum by (pod) (rate(http_requests_total{namespace="recovery-outlier",app="shop",code="500"}[3s]))
        / sum by (pod) (rate(http_requests_total{namespace="recovery-outlier",app="shop"}[3s]))
      requestVolume: 20
      atLeast: "0.05""#,
);
/// Requests a second on kept and, as many, on fresh connections: together twenty for each replica.
const RATE: u32 = 100;
/// Seconds until the balancers have applied the ejection from the status, and the replica's last requests are answered.
const APPLIED_WITHIN: f64 = 2.0;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let (test, stage) = (&front.test, front.test.stage);
    let plain = control(test, &Setup { replicas: 5, ..SETUP })?;
    let first = |app| pods(test, app)?.into_iter().next().context("there is no pod");
    let (sick, sick_control) = (first(SHOP)?, first(CONTROL)?);
    let flow = Flow::start(stage, &front.url, RATE, 60, &[])?;
    let beside = Flow::start(stage, &plain, RATE / 4, 60, &[])?;
    // Until every replica has an error share: zero.
    sleep(Duration::from_secs(5));
    let broke = sick.fault(ERRORS)?;
    sick_control.fault(ERRORS)?;
    let out = front.service.wait("with the bad replica ejected", EJECTED_WITHIN, |seen| {
        ejected(seen, true).contains(&sick.name)
    })?;
    test.explain(SHOP, &["Ejected: 1 of 10", &sick.name, "OutlierEjected"])?;
    front.service.wait("with the bad replica evicted", Duration::from_secs(15), |seen| {
        ejected(seen, true).contains(&sick.name) && ejected(seen, false).is_empty()
    })?;
    wait_for("another replica in its place", Duration::from_secs(15), || {
        let pods = pods(test, SHOP)?;
        Ok(pods.len() == 10 && pods.iter().all(|pod| pod.ready && pod.name != sick.name))
    })?;
    let replaced = SystemTime::now();
    sleep(Duration::from_secs(3));
    let ended = SystemTime::now();
    let (account, without) = (flow.finish(true)?, beside.finish(true)?);
    count("requests", account.sent);
    count("failed until it was ejected", account.lost());
    count("lost by the control", without.lost());
    figure("first error until ejected, s", seconds(broke, out.at));
    figure("first error until replaced, s", seconds(broke, replaced));
    account.some_lost("until it was ejected")?;
    let refused = account.transport_errors;
    ensure!(refused == 0, "the ejection itself lost {refused} requests: {}", account.why());
    let last = account.last_bad.unwrap_or_default() - unix(out.at);
    ensure!(last <= APPLIED_WITHIN, "errors went on for {last:.1} s after the ejection: {}", account.why());
    let all = front.service.all();
    let others = all.iter().flat_map(|seen| ejected(seen, true)).filter(|pod| *pod != sick.name).count();
    ensure!(others == 0, "replicas that answered well were ejected too");
    let goes_on = without.last_bad.context("the control has no error: nothing is proven")? - unix(ended);
    ensure!(goes_on > -2.0, "the control's errors ended {:.1} s before its end", -goes_on);
    figure("ejected until the last error, s", last);
    Ok("the errors ended with the ejection, and continued in the control".to_owned())
}
