//! A standby whose balancers end TLS, and an authority that is trusted until it is not.

use std::{thread::sleep, time::Duration};

use anyhow::{Result, ensure};

use super::{SPARE, stand_by, weight};
use crate::cases::{
    Theatre,
    authority::Authority,
    pods::fault,
    repeat::requests,
    scene::{Scene, Sight},
    traffic::{
        flow::Flow,
        front::{Front, SHOP, Setup},
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
/// The standby's balancers, which end TLS.
const TRAFFIC: &str =
    "traffic: {provider: HAProxy, targetPort: 8080, listeners: [{port: 443, tls: {secretName: shop-tls}}]}";
/// Requests a second on kept and on fresh connections.
const RATE: u32 = 20;

pub fn run(theatre: &Theatre) -> Result<String> {
    let folder = std::env::temp_dir().join("plimsoll-failover-tls");
    let (authority, other) =
        (Authority::new(&folder.join("trusted"))?, Authority::new(&folder.join("other"))?);
    let spare = Scene::open(theatre, "failover-tls-spare")?;
    authority.issue(&spare, 0)?;
    stand_by(&spare, NAMESPACE, 2, TRAFFIC)?;
    let front = Front::set(theatre, &SETUP, |scene| authority.trust(scene, "spare-ca"))?;
    let (scene, stage) = (&front.scene, front.scene.stage);
    let ready = |sight: &Sight| sight.condition("FailoverReady").starts_with("True");
    front.service.wait("with a standby that is ready", Duration::from_secs(20), ready)?;

    scene.plugin(&["failover", SHOP, "--to", SPARE])?;
    front.service.wait("sent to the standby", Duration::from_secs(15), |sight| weight(sight) == 100)?;
    // What is answered well from here on is an answer of the standby.
    fault(scene, SHOP, r#"{"errors": 1.0}"#)?;
    sleep(Duration::from_millis(500));
    let account = Flow::start(stage, &front.url, RATE, 5, &[])?.finish(false)?;
    account.none_lost("over TLS")?;

    other.trust(scene, "spare-ca")?;
    for balancer in front.balancers()? {
        front.touch(&balancer, 1)?;
    }
    let told = front.service.wait("with a standby that is not ready", Duration::from_secs(20), |sight| {
        sight.condition("FailoverReady").contains("invalid peer certificate")
    })?;
    scene.explain(SHOP, &["spare", "invalid peer certificate"])?;
    // A person wants its requests there, so they stay; and nobody else gets them, whatever name it goes by.
    let control = Flow::start(stage, &front.url, RATE, 3, &[])?.finish(false)?;
    let answered = control.sent() - control.lost();
    ensure!(answered == 0, "{answered} requests were answered by who does not prove to be the standby");
    requests(account.sent(), account.lost(), control.lost());
    Ok(format!(
        "over TLS: {} requests, none lost; with another authority trusted: {}; none of {} requests answered",
        account.sent(),
        told.condition("FailoverReady"),
        control.sent()
    ))
}
