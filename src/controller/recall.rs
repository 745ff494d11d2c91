//! The past of scrape targets, for a process that looks at a KPI for the first time.

use std::time::Duration;

use super::context::Context;
use crate::kpi::Asker;
use plimsoll_api::Validated;
use plimsoll_engine::{Memory, Observation, RECALLED};

/// Time between two numbers of the past: half of the minute that the engine goes by.
const STEP: Duration = Duration::from_secs(30);

/// Asks how many scrape targets there were behind each KPI of which the memory does not know how many are normal. What can't
/// be read is asked for again later.
pub async fn recall(
    spec: &Validated,
    seen: &Observation,
    memory: &mut Memory,
    asker: &Asker,
    context: &Context,
) {
    let (shared, window) = (&context.shared, Duration::try_from(RECALLED).unwrap_or_default());
    let asked = memory.unrecalled(&spec.kpis, seen, shared.clock.now()).into_iter().map(|rule| async move {
        (rule.name.as_str(), shared.kpis.past_targets(asker, rule, window, STEP).await)
    });
    for (name, past) in futures::future::join_all(asked).await {
        memory.recall(name, past.as_deref().map_err(String::clone), seen.replicas, shared.clock.now());
    }
}
