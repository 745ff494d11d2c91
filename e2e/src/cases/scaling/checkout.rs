//! The shop that is scaled under load, and a control that loses requests.

use crate::{
    cases::prelude::*,
    stage::{Load, Shop, scalable_service},
};

const NAME: &str = "checkout";
const CARELESS: &str = "careless";
const CARELESS_REPLICAS: u32 = 4;
/// Time until deleted pods have terminated and their lost requests are counted.
const SEEN: Duration = Duration::from_secs(20);

/// Deploys the shop: a pod serves 80 requests a second at the most. Returns its URL.
pub fn deploy(test: &TestNamespace<'_>, replicas: u32) -> Result<String> {
    let shop = Shop::of(test.namespace, NAME, replicas);
    Shop { service_time: "50ms", startup: "1s", more: &["--queue-limit=400"], ..shop }.serve(test.stage)
}

pub fn service(namespace: &str, least: u32, spec: &str) -> String {
    scalable_service((namespace, NAME), "{kind: Deployment, name: checkout}", least..=20, spec)
}

/// Starts the load. A Service balances connections, not requests: a long-lived connection would keep its load on an old
/// pod.
pub fn load(test: &TestNamespace<'_>, url: &str, shape: &str) -> Result<Load> {
    let more = ["--objective=0.25s", "--timeout=5s", "--requests-per-connection=1"];
    Load::start(test.stage, url, shape, &more)
}

/// The negative control: a shop whose pods exit on SIGTERM without draining, all deleted at the same time. Returns the
/// number of lost requests; without any, "none lost" would prove nothing.
pub fn careless(test: &TestNamespace<'_>) -> Result<u64> {
    let more = &["--drain-delay=0s", "--shutdown-grace=0s"];
    let shop = Shop::of(test.namespace, CARELESS, CARELESS_REPLICAS);
    let url = Shop { workers: 20, service_time: "300ms", startup: "1s", more, ..shop }.serve(test.stage)?;
    let load = load(test, &url, "120@60s")?;
    sleep(Duration::from_secs(1));
    test.kubectl("delete pods --selector=app=careless --wait=false")?;
    wait_for("a request that is lost with a pod that does not drain", SEEN, || {
        Ok(load.seconds().iter().any(|second| second.lost() > 0))
    })
    .context("the harness does not see loss")?;
    let account = load.finish(true)?;
    Ok(account.lost())
}
