//! The shop that is scaled under load, and its careless sister that loses requests.

use std::{thread::sleep, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    cases::scene::Scene,
    stage::{Load, Shop},
};

/// Deployment and Service of the shop.
const NAME: &str = "checkout";
/// Deployment and Service of the shop that does not drain.
pub const CARELESS: &str = "careless";
/// Replicas of the latter.
const CARELESS_REPLICAS: u32 = 4;

/// Deploys the shop: a pod serves 80 requests a second at the most. Returns its URL.
pub fn deploy(scene: &Scene<'_>, replicas: u32) -> Result<String> {
    shop(scene, NAME, replicas, &["--queue-limit=400"])
}

/// Puts it under load. A Service balances connections, not requests: one that lives long would keep its load on an
/// old pod.
pub fn load(scene: &Scene<'_>, url: &str, shape: &str) -> Result<Load> {
    let more = ["--objective=0.25s", "--timeout=5s", "--requests-per-connection=1"];
    Load::start(scene.stage, url, shape, &more)
}

/// The negative control: the same shop and load generator, but the pods end at once when they are told to.
/// Returns how many requests `disturb` cost, which must be seen here if "none lost" is to mean anything.
pub fn careless(scene: &Scene<'_>, disturb: impl FnOnce() -> Result<()>) -> Result<u64> {
    let at_once = ["--drain-delay=0s", "--shutdown-grace=0s"];
    let url = shop(scene, CARELESS, CARELESS_REPLICAS, &at_once)?;
    let load = load(scene, &url, "120@60s")?;
    sleep(Duration::from_secs(1));
    disturb()?;
    sleep(Duration::from_secs(3));
    let account = load.finish(true)?;
    ensure!(
        account.lost() > 0,
        "pods that do not drain lost none of {} requests: loss is not seen",
        account.sent
    );
    Ok(account.lost())
}

fn shop(scene: &Scene<'_>, name: &str, replicas: u32, more: &[&str]) -> Result<String> {
    let shop = Shop {
        namespace: scene.namespace,
        name,
        replicas,
        workers: 4,
        service_time: "50ms",
        startup: "1s",
        more,
    };
    shop.deploy(scene.stage)?;
    shop.url(scene.stage)
}
