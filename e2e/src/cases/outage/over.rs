//! After the outages: the replicas follow a real fall of the load.

use super::state::{NAMESPACE, play, strike};
use crate::cases::prelude::*;

pub const OVER: Case = Case {
    name: "outage-over",
    must: "after the outages a real fall of the load lowers the replicas: nothing is stuck",
    lane: Lane::Alone,
    run: |fixture| {
        let fell = play(fixture, |outage| {
            let (before, began) = (outage.replicas()?, SystemTime::now());
            outage.replace_load(&fixture.stage, "30@120s")?;
            let few = |target: &Snapshot| (3..=4).contains(&target.wanted());
            let fell = outage.target.wait_since("at 3 or 4 replicas", began, Duration::from_secs(40), few);
            let fell = fell.with_context(|| outage.decisions())?;
            fixture.explain(NAMESPACE, SHOP, &["throughput"])?;
            let after = outage.replicas()?;
            Ok(format!("load 105 -> 30 req/s: replicas {before} -> {after} in {fell:.1} s"))
        });
        strike(fixture)?;
        fell
    },
};
