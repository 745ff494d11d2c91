//! Prometheus is down for five minutes, first while the primary has the requests, then while the standby has them.

use super::{spare, standby_ready, state, weight};
use crate::cases::prelude::*;

const SETUP: Setup = Setup {
    more_spec: r#"failover:
  backends: [{name: spare, service: {namespace: blind-spare, name: spare, port: 8080}}]
  leave: {when: [{kpi: errors, above: "0.2", requestVolume: 50}]}
  return: {for: 5s, ramp: [50, 100]}"#,
    more_kpis: r#"- name: errors
  type: Objective
  source: unsteady
  query: |
    sum(rate(http_requests_total{namespace="long-blind",app="shop",code="500"}[5s]))
    / (sum(rate(http_requests_total{namespace="long-blind",app="shop"}[5s])) > 0) or vector(0)
  atMost: "1""#,
    ..Setup::of("long-blind", 4)
};
const OUT: Duration = Duration::from_secs(300);
const RATE: u32 = 10;
/// Time until the KPI is fresh again and three samples of it were bad, or until `return.for` and the ramp are over.
const AFTER: Duration = Duration::from_secs(45);

pub fn run(fixture: &Fixture) -> Result<String> {
    let other = TestNamespace::open(fixture, "blind-spare")?;
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spare(&other, front.test.namespace)?;
    standby_ready(&front.service)?;
    let flow = Flow::start(front.test.stage, &front.url, RATE, 900, &[])?;
    // The errors would trigger a switch, but no source reports them.
    out(fixture, &front, 0, r#"{"errors": 0.5}"#)?;
    front.service.wait("on the standby", AFTER, |seen| weight(seen) == 100)?;
    // The recovery would trigger the return, but no source reports it.
    out(fixture, &front, 100, "{}")?;
    front.service.wait("back on the primary", AFTER, |seen| weight(seen) == 0)?;
    let account = flow.finish(true)?;
    count("requests", account.sent);
    figure("without Prometheus and without a switch, s", 2.0 * OUT.as_secs_f64());
    Ok("no switch, though half of the answers were errors, and no return; both happened once it was back"
        .to_owned())
}

fn out(fixture: &Fixture, front: &Front<'_>, share: i64, then: &str) -> Result<()> {
    fixture.prometheus.take_down()?;
    let blind = front.service.wait("frozen", Duration::from_secs(15), |seen| state(seen) == "Frozen");
    let kept = blind.and_then(|_| {
        fault(&front.test, SHOP, then)?;
        front.service.stays("on the same backend", OUT, |seen| weight(seen) == share)
    });
    let explained = front.test.explain(SHOP, &["Failover: Frozen"]);
    fixture.prometheus.heal()?;
    kept.and(explained)
}
