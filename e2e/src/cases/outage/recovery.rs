//! What comes after: a load that rose unseen is followed at once, and a load that really falls too.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{
    super::Case,
    answers::Broken,
    film::number,
    scene::{LASTS, NAMESPACE, SHOP, play, strike},
    table::{Row, print},
};

/// The case.
pub const RISE: Case = Case {
    name: "outage-rise",
    must: "the load doubles while Prometheus is down: no replica is invented; at its return they follow at once",
    run: |theatre| {
        play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            let broken = Broken::by(&theatre.prometheus, &json!({"mode": "down"}))?;
            let told = scene.ready_says("False", began, Duration::from_secs(8))?;
            let more = scene.more_load(&theatre.stage, "315@120s")?;
            sleep(LASTS);
            let held = scene.replicas()?;
            let condition =
                scene.complaints(began).last().map(|said| said.reason.clone()).unwrap_or_default();
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            let healed = broken.heal()?;
            let followed = scene.target.wait("19 replicas", healed, Duration::from_secs(15), |target| {
                number(target, "/spec/replicas") >= 19
            })?;
            let ready = scene.ready_says("True", healed, Duration::from_secs(15))?;
            let row = Row {
                fault: "down, load x2".into(),
                states: scene.states(began),
                before,
                lowest: scene.lowest(&theatre.stage, began)?,
                condition,
                told: Some(told),
                recovered: Some(followed),
            };
            scene.rows.push(row.clone());
            more.finish(true)?;
            ensure!(held == before, "{before} replicas became {held} without evidence");
            ensure!(row.lowest >= before, "{before} replicas fell to {}", row.lowest);
            // The status that tells of the change comes with the look that made it.
            ensure!(
                followed <= ready + Duration::from_secs(1),
                "the first fresh look did not raise: {followed:?}"
            );
            Ok(row.line())
        })
    },
};

/// The case.
pub const OVER: Case = Case {
    name: "outage-over",
    must: "after all that, a fall of the load that is real lowers the replicas: nothing is stuck",
    run: |theatre| {
        let fell = play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            scene.replace_load(&theatre.stage, "90@120s")?;
            let fell = scene.target.wait("3 or 4 replicas", began, Duration::from_secs(40), |target| {
                (3..=4).contains(&number(target, "/spec/replicas"))
            });
            let fell = fell.with_context(|| scene.decisions())?;
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            Ok(format!(
                "load 315 -> 90 req/s: replicas {before} -> {} in {:.1} s",
                scene.replicas()?,
                fell.as_secs_f64()
            ))
        });
        print(&strike(theatre)?);
        fell
    },
};
