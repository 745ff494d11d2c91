//! 10 -> 100 -> 10 replicas ten times under load; removed replicas are killed as soon as they are drained.

use std::path::Path;

use plimsoll::balancer::{
    ServerState::{Drain, Ready},
    Wanted,
};
use serde_json::{Value, json};

use crate::{
    RUNS,
    figures::spread,
    shop::{CONNECTIONS, Load, Replicas, SERVICE_TIME, Summary},
    support::{Balancer, Reached as _, eventually, wait, wanted},
};

const RATE: u32 = 600;
const CHANGES: usize = 10;
/// How long 100 replicas serve before 90 are removed.
const PAUSE_MS: u64 = 200;

pub async fn measure(shop: &Path) -> Value {
    let mut figures = json!({
        "change": format!("10 -> 100 -> 10 replicas, {CHANGES} times; 90 are killed when they are drained"),
        "load": format!("{RATE} requests/s, open loop, {SERVICE_TIME} each"),
    });
    for (name, per_connection) in CONNECTIONS {
        let (mut lost, mut sent, mut reloads, mut p99, mut still) = (vec![], vec![], vec![], vec![], vec![]);
        let mut control = vec![];
        for _ in 0..RUNS {
            let run = run(shop, per_connection, CHANGES, true).await;
            lost.push(run.load.lost());
            sent.push(run.load.sent);
            reloads.push(run.reloads);
            p99.push(run.load.p99_ms());
            still.push(run_still(shop, per_connection).await.p99_ms());
            control.push(self::run(shop, per_connection, 2, false).await.load.lost());
        }
        figures[name] = json!({
            "sent": spread(&sent),
            "lost": spread(&lost),
            "reloads": spread(&reloads),
            "p99_ms": spread(&p99),
            "p99WithoutChange_ms": spread(&still),
            "controlKilledUndrained_lost": spread(&control),
        });
    }
    figures
}

struct Run {
    load: Summary,
    reloads: usize,
}

async fn run(shop: &Path, per_connection: u32, changes: usize, drain: bool) -> Run {
    let stay = Replicas::start(shop, "stay", 0, 10).await;
    let mut go = Replicas::start(shop, "go", 1, 90).await;
    let empty = wanted(json!({}));
    let few = empty.with(stay.servers(Ready));
    let both = |state| empty.with(stay.servers(Ready).into_iter().chain(go.servers(state)));
    let (many, draining) = (both(Ready), both(Drain));
    let balancer = Balancer::start(&few).await;
    let load = begin(shop, &empty, per_connection).await;
    let mut reloads = 0;
    for _ in 0..changes {
        go.spawn().await;
        reloads += usize::from(balancer.sync(&many).await.reloaded);
        wait(PAUSE_MS).await;
        if drain {
            reloads += usize::from(balancer.sync(&draining).await.reloaded);
            let names = go.names();
            eventually("90 are drained", || async {
                let drained = balancer.driver.drained(&draining, &names).await.unwrap();
                (drained.len() == names.len()).then_some(())
            })
            .await;
        }
        go.kill();
        reloads += usize::from(balancer.sync(&few).await.reloaded);
        wait(PAUSE_MS / 2).await;
    }
    Run { load: load.finish().await, reloads }
}

/// The same load for the same time, without a change.
async fn run_still(shop: &Path, per_connection: u32) -> Summary {
    let stay = Replicas::start(shop, "stay", 0, 10).await;
    let few = wanted(json!({})).with(stay.servers(Ready));
    let _balancer = Balancer::start(&few).await;
    let load = begin(shop, &few, per_connection).await;
    wait(PAUSE_MS * CHANGES as u64 * 2).await;
    load.finish().await
}

async fn begin(shop: &Path, wanted: &Wanted, per_connection: u32) -> Load {
    let load = Load::start(shop, &format!("http://{}/", wanted.front()), RATE, per_connection, &[]);
    wait(500).await;
    load
}
