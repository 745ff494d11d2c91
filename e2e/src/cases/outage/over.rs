//! What comes after: a load that really falls is followed.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::{
    super::{Case, Lane},
    film::number,
    scene::{NAMESPACE, SHOP, play, strike},
    table::print,
};

/// The case.
pub const OVER: Case = Case {
    name: "outage-over",
    must: "after all that, a fall of the load that is real lowers the replicas: nothing is stuck",
    lane: Lane::Alone,
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
