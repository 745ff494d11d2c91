//! The history of scrape targets, for the first evaluation of a KPI in this process.

use std::time::Duration;

use super::context::Context;
use crate::kpi::Asker;
use plimsoll_api::Validated;
use plimsoll_engine::{Memory, Observation, RECALLED};

/// Step of the history: half of the engine's unit of a minute.
const STEP: Duration = Duration::from_secs(30);

/// Queries the past number of scrape targets of each KPI whose normal number is not in the memory yet. A failed query is
/// repeated later.
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
