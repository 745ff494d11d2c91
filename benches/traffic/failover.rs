//! All requests to a standby and back, a hundred times under load.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use plimsoll::balancer::{ServerState::Ready, Wanted};
use serde_json::{Value, json};

use crate::{
    RUNS,
    figures::{milliseconds, percentiles, spread},
    shop::{CONNECTIONS, Load, Replicas},
    support::{Balancer, Client, Reached as _, Replica, wait, wanted},
};

const RATE: u32 = 600;
/// Half of them move requests to the standby, half back.
const FLIPS: usize = 100;

pub async fn measure(shop: &Path) -> Value {
    let mut figures = json!({
        "change": format!("all requests to a standby and back, {FLIPS} flips"),
        "load": format!("{RATE} requests/s, open loop, retries off"),
    });
    for (name, per_connection) in CONNECTIONS {
        let (mut lost, mut sent, mut p99, mut all) = (vec![], vec![], vec![], vec![]);
        let mut control = vec![];
        for _ in 0..RUNS {
            let run = run(shop, per_connection).await;
            lost.push(run.lost);
            sent.push(run.sent);
            let mut sorted = run.first.clone();
            sorted.sort();
            p99.push(milliseconds(sorted[FLIPS * 99 / 100 - 1]));
            all.extend(run.first);
            control.push(killed_before_the_flip(shop, per_connection).await);
        }
        figures[name] = json!({
            "sent": spread(&sent),
            "lost": spread(&lost),
            "flipToFirstAnswer_ms": percentiles(&all),
            "p99OfRuns_ms": spread(&p99),
            "controlKilledBeforeTheFlip_lost": spread(&control),
        });
    }
    figures
}

struct Run {
    lost: u64,
    sent: u64,
    first: Vec<Duration>,
}

async fn run(shop: &Path, per_connection: u32) -> Run {
    let both =
        [Replica::start("primary", Duration::ZERO).await, Replica::start("east", Duration::ZERO).await];
    let only = wanted(json!({"retries": {"attempts": 0}})).with([both[0].server(Ready)]);
    let balancer = Balancer::start(&with(&only, &both[1], 0)).await;
    let load = Load::start(shop, &format!("http://{}/", only.front()), RATE, per_connection, &[]);
    wait(300).await;
    let mut first = Vec::new();
    for flip in 0..FLIPS {
        let to = both[(flip + 1) % 2].name.clone();
        let wanted = with(&only, &both[1], if flip % 2 == 0 { 100 } else { 0 });
        let front = only.front();
        let begin = Instant::now();
        let prober = tokio::spawn(async move {
            let mut client = Client::new(front);
            while client.get("/", &[]).await.unwrap().body != to {}
            begin.elapsed()
        });
        assert!(!balancer.sync(&wanted).await.reloaded);
        first.push(prober.await.unwrap());
        wait(5).await;
    }
    let load = load.finish().await;
    Run { lost: load.lost(), sent: load.sent, first }
}

/// Control: the primary is killed before the switch.
async fn killed_before_the_flip(shop: &Path, per_connection: u32) -> u64 {
    let mut primary = Replicas::start(shop, "primary", 3, 4).await;
    let east = Replica::start("east", Duration::ZERO).await;
    let only = wanted(json!({"retries": {"attempts": 0}})).with(primary.servers(Ready));
    let balancer = Balancer::start(&with(&only, &east, 0)).await;
    let load = Load::start(shop, &format!("http://{}/", only.front()), RATE, per_connection, &[]);
    wait(300).await;
    primary.kill();
    wait(50).await;
    balancer.sync(&with(&only, &east, 100)).await;
    wait(200).await;
    load.finish().await.lost()
}

fn with(only: &Wanted, standby: &Replica, weight: u8) -> Wanted {
    Wanted { standbys: vec![standby.standby(weight)], ..only.clone() }
}
