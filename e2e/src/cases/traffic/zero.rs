//! A thousand requests at once find no replica.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    flow::why,
    front::{Front, SHOP, Setup, seconds, unix},
};
use crate::{
    cases::{
        Theatre,
        repeat::{figure, requests},
        scene::{Sight, Trail},
    },
    stage::{Load, service_url},
};

/// 100 connections a replica, so that 1,000 requests ask for ten.
const SETUP: Setup = Setup {
    workers: 10,
    window: 12,
    traffic: "listeners: [{port: 80}]\nlimits: {connectionsPerReplica: 100, queueTimeout: 30s}",
    ..Setup::of("traffic-zero", 0)
};
/// A thousand within 50 ms.
const AT_ONCE: &str = "20000@50ms";
const FLAGS: [&str; 3] = ["--timeout=30s", "--requests-per-connection=1", "--arrivals=uniform"];
/// From the pod's readiness to the end of the first answer.
const FIRST_WITHIN: f64 = 0.3;

pub fn run(theatre: &Theatre) -> Result<String> {
    let front = Front::set(theatre, &SETUP, |_| Ok(()))?;
    let stage = front.scene.stage;
    let plain = service_url(stage, SETUP.namespace, SHOP, 8080)?;
    let control = Load::start(stage, &plain, AT_ONCE, &FLAGS)?.finish(false)?;
    ensure!(control.lost() > 0, "control, a plain Service: none of {} was lost", control.sent);

    let pods = Trail::of_all(&stage.cluster, SETUP.namespace, "pods", "app=shop")?;
    sleep(Duration::from_secs(1));
    let load = Load::start(stage, &front.url, AT_ONCE, &FLAGS)?;
    let account = load.finish(false)?;
    let ready = pods.all().into_iter().find(is_ready).context("no pod was ever ready")?;
    let first = account.first_ok.context("nothing was answered")? - unix(ready.at);
    let woken = front.target.all().into_iter().find(|sight| sight.wanted() > 0).context("never woken")?;
    requests(account.sent, account.lost(), control.lost());
    figure("first pod ready after, s", seconds(woken.at, ready.at));
    figure("first answer after readiness, ms", first * 1e3);
    figure("last answer, s", account.max.unwrap_or_default());
    ensure!(account.lost() == 0, "{} of {} lost: {}", account.lost(), account.sent, why(&account));
    ensure!(
        first <= FIRST_WITHIN,
        "the first answer came {:.0} ms after the first pod was ready",
        first * 1e3
    );
    let asleep = front
        .target
        .wait("at zero again", Duration::from_secs(30), |sight| sight.at > woken.at && sight.wanted() == 0)?;
    Ok(format!(
        "0 -> {} replicas, the first pod ready after {:.1} s, the first answer {:.0} ms later, the last after {:.1} s; \
         {} requests, none lost; at zero again {:.0} s later; control, a plain Service, lost {} ({})",
        woken.wanted(),
        seconds(woken.at, ready.at),
        first * 1e3,
        account.max.unwrap_or_default(),
        account.sent,
        seconds(woken.at, asleep.at),
        control.lost(),
        why(&control)
    ))
}

fn is_ready(pod: &Sight) -> bool {
    let conditions = pod.object.pointer("/status/conditions").and_then(Value::as_array);
    let holds = |condition: &Value| {
        condition.pointer("/type").is_some_and(|type_| type_ == "Ready")
            && condition.pointer("/status").is_some_and(|status| status == "True")
    };
    conditions.into_iter().flatten().any(holds)
}
