//! What comes after: a load that really falls is followed.

use super::scene::{NAMESPACE, play, strike};
use crate::cases::prelude::*;

pub const OVER: Case = Case {
    name: "outage-over",
    must: "after all that, a fall of the load that is real lowers the replicas: nothing is stuck",
    lane: Lane::Alone,
    run: |theatre| {
        let fell = play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, SystemTime::now());
            scene.replace_load(&theatre.stage, "30@120s")?;
            let few = |target: &Sight| (3..=4).contains(&target.wanted());
            let fell = scene.target.wait_since("at 3 or 4 replicas", began, Duration::from_secs(40), few);
            let fell = fell.with_context(|| scene.decisions())?;
            theatre.explain(NAMESPACE, SHOP, &["throughput"])?;
            let after = scene.replicas()?;
            Ok(format!("load 105 -> 30 req/s: replicas {before} -> {after} in {fell:.1} s"))
        });
        strike(theatre)?;
        fell
    },
};
