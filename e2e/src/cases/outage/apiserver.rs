//! The API server that the operators write to is killed.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{
    super::{Case, Lane, Theatre, away::Away},
    film::{Film, condition, number, text},
    scene::{LASTS, NAMESPACE, RECOVERY, SHOP, Scene, play},
    table::Row,
};
use crate::stage::OPERATOR_NAMESPACE;

/// 315 requests a second more within 8 s: 21 replicas.
const RISE: &str = "0..315@8s,315@90s";
/// Replicas for 630 requests a second, within the tolerance.
const RISEN: i64 = 19;
/// Length of the lease (15 s), a follower's pause (2 s) and some time to ask.
const TAKE_OVER: Duration = Duration::from_secs(20);

/// The case.
pub const API_SERVER: Case = Case {
    name: "outage-apiserver",
    must: "the API server is killed while the load doubles: replicas hold, and follow once it is back",
    lane: Lane::Alone,
    run: |theatre| {
        play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            let lease = Film::start(&theatre.stage, OPERATOR_NAMESPACE, "lease", "plimsoll")?;
            let killed = Away::of(&theatre.stage.cluster)?;
            let more = scene.more_load(&theatre.stage, RISE)?;
            sleep(LASTS);
            let renewed = text(&lease.last()?, "/spec/renewTime");
            let back = Instant::now();
            killed.end()?;
            let led =
                lease.wait("a leader", back, TAKE_OVER, |lease| text(lease, "/spec/renewTime") != renewed)?;
            let followed = follows(scene, back, Duration::from_secs(30))?;
            scene.ready_says("True", back, RECOVERY)?;
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            let row = rising(theatre, scene, "API server", (before, began), followed)?;
            more.finish(true)?;
            Ok(format!("{}; a leader {:.1} s after its start", row.line(), led.as_secs_f64()))
        })
    },
};

/// Waits until the replicas are right for the load that rose.
fn follows(scene: &Scene, from: Instant, within: Duration) -> Result<Duration> {
    let risen = |target: &Value| number(target, "/spec/replicas") >= RISEN;
    scene.target.wait(&format!("{RISEN} replicas"), from, within, risen)
}

/// The row of an outage in which the load rises: no frame may have fewer replicas than the one before.
fn rising(
    theatre: &Theatre,
    scene: &mut Scene,
    fault: &str,
    (before, began): (i64, Instant),
    recovered: Duration,
) -> Result<Row> {
    sleep(Duration::from_secs(3));
    let row = Row {
        fault: fault.into(),
        states: scene.states(began),
        before,
        lowest: scene.lowest(&theatre.stage, began)?,
        condition: condition(&scene.service.last()?, "Ready").reason,
        told: None,
        recovered: Some(recovered),
    };
    scene.rows.push(row.clone());
    let frames = scene.target.since(began);
    let replicas: Vec<_> = frames.iter().map(|frame| number(&frame.object, "/spec/replicas")).collect();
    ensure!(replicas.is_sorted(), "the load only rose, but the replicas were {replicas:?}");
    Ok(row)
}
