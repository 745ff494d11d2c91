//! A standby whose balancers terminate TLS; then another certificate authority is trusted instead.

use super::{SPARE, stand_by, standby_ready, weight};
use crate::{
    authority::Authority,
    cases::{
        prelude::*,
        traffic::front::{HOST, serve_with},
    },
};

const NAMESPACE: &str = "failover-tls";
const SETUP: Setup = Setup {
    more_spec: r#"failover:
  backends:
  - name: spare
    service: {namespace: failover-tls-spare, name: spare-lb, port: 443}
    tls: {hostname: shop.example, caSecretName: spare-ca}
  return: {for: 5s, ramp: [100]}"#,
    ..Setup::of(NAMESPACE, 2)
};
const TRAFFIC: &str =
    "traffic: {provider: HAProxy, targetPort: 8080, listeners: [{port: 443, tls: {secretName: shop-tls}}]}";
const RATE: u32 = 20;

pub fn run(fixture: &Fixture) -> Result<String> {
    let (authority, other) = (Authority::new("trusted")?, Authority::new("other")?);
    let trust = |test: &TestNamespace<'_>, authority: &Authority| {
        test.secret("spare-ca", "Opaque", &json!({"ca.crt": authority.own().certificate}))
    };
    let spare = TestNamespace::open(fixture, "failover-tls-spare")?;
    serve_with(&spare, &authority.server(&[HOST])?)?;
    stand_by(&spare, NAMESPACE, 2, TRAFFIC)?;
    let front = Front::set(fixture, &SETUP, |test| trust(test, &authority))?;
    let (test, stage) = (&front.test, front.test.stage);
    standby_ready(&front.service)?;

    test.plugin(&["failover", SHOP, "--to", SPARE])?;
    front.service.wait("sent to the standby", Duration::from_secs(15), |seen| weight(seen) == 100)?;
    // From here on every successful response is from the standby.
    fault(test, SHOP, r#"{"errors": 1.0}"#)?;
    sleep(Duration::from_millis(500));
    let account = Flow::start(stage, &front.url, RATE, 5, &[])?.finish(false)?;
    account.none_lost("over TLS")?;

    trust(test, &other)?;
    for balancer in front.balancers()? {
        front.touch(&balancer, 1)?;
    }
    let reported =
        front.service.wait("with a standby that is not ready", Duration::from_secs(20), |seen| {
            seen.says("FailoverReady").contains("invalid peer certificate")
        })?;
    test.explain(SHOP, &["spare", "invalid peer certificate"])?;
    // The manual override keeps the requests at the standby, and an untrusted server must not get them.
    let control = Flow::start(stage, &front.url, RATE, 3, &[])?.finish(false)?;
    let answered = control.sent - control.lost();
    ensure!(answered == 0, "{answered} requests were answered by an untrusted server");
    requests(account.sent, account.lost(), control.lost());
    Ok(format!("with another authority trusted: {}", reported.says("FailoverReady")))
}
