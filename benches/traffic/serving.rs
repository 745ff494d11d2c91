//! Time from a change of an endpoint until HAProxy applies it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::{Value, json};

use crate::{
    RUNS,
    figures::{percentiles, spread},
    shop::{Load, Replicas},
    support::{Balancer, Client, Reached as _, Replica, wait, wanted},
};

const RATE: u32 = 500;
/// Changes of one run.
const CHANGES: usize = 100;

/// The figures, and HAProxy's version.
pub async fn measure(shop: &Path) -> (Value, String) {
    // They only have to be planned and read back.
    let others = Replicas::start(shop, "other", 2, 100).await;
    let pair = [Replica::start("one", Duration::ZERO).await, Replica::start("two", Duration::ZERO).await];
    let empty = wanted(json!({}));
    let states = pair
        .each_ref()
        .map(|replica| empty.with(others.servers(Drain).into_iter().chain([replica.server(Ready)])));
    let balancer = Arc::new(Balancer::start(&states[0]).await);
    let version = balancer.driver.observe().await.unwrap().version;
    let (mut all, mut p99) = (Vec::new(), Vec::new());
    let mut applied = Vec::new();
    let mut lost = Vec::new();
    for _ in 0..RUNS {
        let load = Load::start(shop, &format!("http://{}/", empty.front()), RATE, 1_000_000, &[]);
        wait(300).await;
        let mut run = Vec::new();
        for number in 0..CHANGES {
            let (wanted, name) = (states[(number + 1) % 2].clone(), pair[(number + 1) % 2].name.clone());
            let front = empty.front();
            let begin = Instant::now();
            let prober = tokio::spawn(async move {
                let mut client = Client::new(front);
                while client.get("/", &[]).await.unwrap().body != name {}
                begin.elapsed()
            });
            balancer.sync(&wanted).await;
            applied.push(begin.elapsed());
            run.push(prober.await.unwrap());
            wait(5).await;
        }
        lost.push(load.finish().await.lost());
        let mut sorted = run.clone();
        sorted.sort();
        p99.push(crate::figures::milliseconds(sorted[CHANGES * 99 / 100 - 1]));
        all.extend(run);
    }
    let figures = json!({
        "change": format!("one of two replicas takes over from the other, {CHANGES} times a run, 100 more are drained"),
        "load": format!("{RATE} requests/s, open loop, keep-alive"),
        "eventToFirstAnswer_ms": percentiles(&all),
        "p99OfRuns_ms": spread(&p99),
        "eventToReadBack_ms": percentiles(&applied),
        "lost": spread(&lost),
    });
    (figures, version)
}
