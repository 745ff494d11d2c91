//! The same behind NGINX, by reloads: ten changes of replicas under load.

use std::path::Path;

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::{Value, json};

use crate::{
    RUNS,
    figures::spread,
    proxy::{Proxy, wanted},
    shop::{CONNECTIONS, Load, Replicas, SERVICE_TIME},
    support::{Reached as _, eventually, wait},
};

const RATE: u32 = 600;
/// Changes, each in one direction: 10 -> 100 or back.
const CHANGES: usize = 10;
/// Pause between two changes, in addition to the driver's announcement to clients.
const PAUSE_MS: u64 = 300;

pub async fn measure(shop: &Path) -> Value {
    let mut figures = json!({
        "change": format!("10 -> 100 -> 10 replicas, {CHANGES} reloads; 90 are killed when they are drained"),
        "load": format!("{RATE} requests/s, open loop, {SERVICE_TIME} each, retries off"),
    });
    for (name, per_connection) in CONNECTIONS {
        let (mut lost, mut sent, mut reloads, mut p99) = (vec![], vec![], vec![], vec![]);
        let (mut undrained, mut unannounced) = (vec![], vec![]);
        for _ in 0..RUNS {
            let run = run(shop, per_connection, CHANGES / 2, true).await;
            lost.push(run.0.lost());
            sent.push(run.0.sent);
            p99.push(run.0.p99_ms());
            reloads.push(run.1);
            undrained.push(self::run(shop, per_connection, 1, false).await.0.lost());
            unannounced.push(unannounced_reloads(shop, per_connection).await);
        }
        figures[name] = json!({
            "sent": spread(&sent),
            "lost": spread(&lost),
            "reloadsDone": spread(&reloads),
            "p99_ms": spread(&p99),
            "controlKilledUndrained_lost": spread(&undrained),
            "plainReloads_lost": spread(&unannounced),
        });
    }
    figures
}

async fn run(shop: &Path, per_connection: u32, times: usize, drain: bool) -> (crate::shop::Summary, usize) {
    let stay = Replicas::start(shop, "stay", 0, 10).await;
    let mut go = Replicas::start(shop, "go", 1, 90).await;
    let empty = wanted(&json!({"retries": {"attempts": 0}}));
    let few = empty.with(stay.servers(Ready));
    let both = |state| empty.with(stay.servers(Ready).into_iter().chain(go.servers(state)));
    let (many, draining) = (both(Ready), both(Drain));
    let proxy = Proxy::start(&few).await;
    let load = Load::start(shop, &format!("http://{}/", empty.front()), RATE, per_connection, &[]);
    wait(500).await;
    let mut reloads = 0;
    for _ in 0..times {
        go.spawn().await;
        reloads += usize::from(proxy.sync(&many).await.reloaded);
        wait(PAUSE_MS).await;
        if drain {
            reloads += usize::from(proxy.sync(&draining).await.reloaded);
            let names = go.names();
            eventually("90 are drained", || async {
                let drained = proxy.driver.drained(&draining, &names).await.unwrap();
                (drained.len() == names.len()).then_some(())
            })
            .await;
        }
        go.kill();
        reloads += usize::from(proxy.sync(&few).await.reloaded);
        wait(PAUSE_MS).await;
    }
    (load.finish().await, reloads)
}

/// The cost of NGINX's own reload without an announcement to clients.
async fn unannounced_reloads(shop: &Path, per_connection: u32) -> u64 {
    let stay = Replicas::start(shop, "stay", 0, 10).await;
    let few = wanted(&json!({"retries": {"attempts": 0}})).with(stay.servers(Ready));
    let proxy = Proxy::start(&few).await;
    let load = Load::start(shop, &format!("http://{}/", few.front()), RATE, per_connection, &[]);
    wait(500).await;
    for _ in 0..CHANGES {
        proxy.signal("-HUP");
        wait(PAUSE_MS).await;
    }
    load.finish().await.lost()
}
