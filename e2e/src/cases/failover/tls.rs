//! A standby whose balancers end TLS, and an authority that is trusted until it is not.

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
    let trust = |test_namespace: &TestNamespace<'_>, authority: &Authority| {
        test_namespace.secret("spare-ca", "Opaque", &json!({"ca.crt": authority.own().certificate}))
    };
    let spare = TestNamespace::open(fixture, "failover-tls-spare")?;
    serve_with(&spare, &authority.server(&[HOST])?)?;
    stand_by(&spare, NAMESPACE, 2, TRAFFIC)?;
    let front = Front::set(fixture, &SETUP, |test_namespace| trust(test_namespace, &authority))?;
    let (test_namespace, stage) = (&front.test_namespace, front.test_namespace.stage);
    standby_ready(&front.service)?;

    test_namespace.plugin(&["failover", SHOP, "--to", SPARE])?;
    front.service.wait("sent to the standby", Duration::from_secs(15), |snapshot| weight(snapshot) == 100)?;
    // What is answered well from here on is an answer of the standby.
    fault(test_namespace, SHOP, r#"{"errors": 1.0}"#)?;
    sleep(Duration::from_millis(500));
    let account = Flow::start(stage, &front.url, RATE, 5, &[])?.finish(false)?;
    account.none_lost("over TLS")?;

    trust(test_namespace, &other)?;
    for balancer in front.balancers()? {
        front.touch(&balancer, 1)?;
    }
    let told =
        front.service.wait("with a standby that is not ready", Duration::from_secs(20), |snapshot| {
            snapshot.says("FailoverReady").contains("invalid peer certificate")
        })?;
    test_namespace.explain(SHOP, &["spare", "invalid peer certificate"])?;
    // A person wants its requests there, so they stay; and nobody else gets them, whatever name it goes by.
    let control = Flow::start(stage, &front.url, RATE, 3, &[])?.finish(false)?;
    let answered = control.sent - control.lost();
    ensure!(answered == 0, "{answered} requests were answered by who does not prove to be the standby");
    requests(account.sent, account.lost(), control.lost());
    Ok(format!("with another authority trusted: {}", told.says("FailoverReady")))
}
