//! Prometheus is out for five minutes, first while the primary has the requests, then while the standby has them.

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
/// Until the evidence is known again and three samples of it were bad, or `return.for` and the ramp are over.
const AFTER: Duration = Duration::from_secs(45);

pub fn run(fixture: &Fixture) -> Result<String> {
    let other = TestNamespace::open(fixture, "blind-spare")?;
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spare(&other, front.test_namespace.namespace)?;
    standby_ready(&front.service)?;
    let flow = Flow::start(front.test_namespace.stage, &front.url, RATE, 900, &[])?;
    // What is bad by now would be reason enough to leave, and nobody can know it.
    out(fixture, &front, 0, r#"{"errors": 0.5}"#)?;
    front.service.wait("on the standby", AFTER, |snapshot| weight(snapshot) == 100)?;
    // What is well again would be reason enough to come back.
    out(fixture, &front, 100, "{}")?;
    front.service.wait("back on the primary", AFTER, |snapshot| weight(snapshot) == 0)?;
    let account = flow.finish(true)?;
    count("requests", account.sent);
    figure("without Prometheus and without a move, s", 2.0 * OUT.as_secs_f64());
    Ok("no switch, though half of the answers were errors, and no return; both came about once it was back"
        .to_owned())
}

fn out(fixture: &Fixture, front: &Front<'_>, share: i64, then: &str) -> Result<()> {
    fixture.prometheus.take_down()?;
    let blind = front.service.wait("frozen", Duration::from_secs(15), |snapshot| state(snapshot) == "Frozen");
    let kept = blind.and_then(|_| {
        fault(&front.test_namespace, SHOP, then)?;
        front.service.stays("where they are", OUT, |snapshot| weight(snapshot) == share)
    });
    let explained = front.test_namespace.explain(SHOP, &["Failover: Frozen"]);
    fixture.prometheus.heal()?;
    kept.and(explained)
}
