//! The shop that is scaled under load, and its careless sister that loses requests.

use crate::{
    cases::prelude::*,
    stage::{Load, Shop, scalable_service},
};

const NAME: &str = "checkout";
const CARELESS: &str = "careless";
const CARELESS_REPLICAS: u32 = 4;
/// Within this time pods that are told to go are gone, and what they had in hand is counted.
const SEEN: Duration = Duration::from_secs(20);

/// Deploys the shop: a pod serves 80 requests a second at the most. Returns its URL.
pub fn deploy(test_namespace: &TestNamespace<'_>, replicas: u32) -> Result<String> {
    let shop = Shop::of(test_namespace.namespace, NAME, replicas);
    Shop { service_time: "50ms", startup: "1s", more: &["--queue-limit=400"], ..shop }
        .serve(test_namespace.stage)
}

pub fn service(namespace: &str, least: u32, spec: &str) -> String {
    scalable_service((namespace, NAME), "{kind: Deployment, name: checkout}", least..=20, spec)
}

/// Puts it under load. A Service balances connections, not requests: one that lives long would keep its load on an
/// old pod.
pub fn load(test_namespace: &TestNamespace<'_>, url: &str, shape: &str) -> Result<Load> {
    let more = ["--objective=0.25s", "--timeout=5s", "--requests-per-connection=1"];
    Load::start(test_namespace.stage, url, shape, &more)
}

/// The negative control: a shop under the same load generator whose pods end at once when they are told to, and are all
/// told at once. Returns how many requests that cost, which must be seen here if "none lost" is to mean anything.
pub fn careless(test_namespace: &TestNamespace<'_>) -> Result<u64> {
    let more = &["--drain-delay=0s", "--shutdown-grace=0s"];
    let shop = Shop::of(test_namespace.namespace, CARELESS, CARELESS_REPLICAS);
    let url = Shop { workers: 20, service_time: "300ms", startup: "1s", more, ..shop }
        .serve(test_namespace.stage)?;
    let load = load(test_namespace, &url, "120@60s")?;
    sleep(Duration::from_secs(1));
    test_namespace.kubectl("delete pods --selector=app=careless --wait=false")?;
    wait_for("a request that is lost with a pod that does not drain", SEEN, || {
        Ok(load.seconds().iter().any(|second| second.lost() > 0))
    })
    .context("the harness does not see loss")?;
    let account = load.finish(true)?;
    Ok(account.lost())
}
