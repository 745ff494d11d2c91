//! Which limit counts: a limit that falls suddenly may be a typo or a wrong query.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plimsoll_api::{BudgetReason, Limit};

use super::{BudgetFacts, Facts, NodeFacts};

/// How long a limit must stay after a fall by more than `maxDecreasePercent` before it counts.
const LASTS: SignedDuration = SignedDuration::from_mins(5);

/// The limit of one budget over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LimitHistory {
    /// The limit that counted last.
    known: Option<f64>,
    /// A limit far below `known`, and since when it has been seen.
    fallen: Option<(f64, Timestamp)>,
}

impl LimitHistory {
    /// The limit that counts, or why none does.
    fn trust(
        &mut self,
        seen: Option<f64>,
        max_decrease_percent: i32,
        now: Timestamp,
    ) -> Result<f64, BudgetReason> {
        let Some(seen) = seen.filter(|seen| seen.is_finite() && *seen >= 0.0) else {
            self.fallen = None;
            return Err(BudgetReason::LimitUnknown);
        };
        let from = self.known.unwrap_or(seen);
        let least = |before: f64| before * (1.0 - f64::from(max_decrease_percent) / 100.0);
        if seen < least(from) {
            // A further fall starts the time again, and so does a clock that was set back.
            let lasting = self.fallen.filter(|(to, since)| seen >= least(*to) && *since <= now);
            let (to, since) = lasting.unwrap_or((seen, now));
            let left = LASTS - now.duration_since(since);
            if left > SignedDuration::ZERO {
                self.fallen = Some((to, since));
                let seconds_left = left.as_secs_f64().ceil();
                return Err(BudgetReason::LimitFell { from, to: seen, max_decrease_percent, seconds_left });
            }
        }
        *self = Self { known: Some(seen), fallen: None };
        Ok(seen)
    }
}

/// The limit of each budget that counts, or why none does.
pub(super) fn trusted(
    facts: &Facts<'_>,
    histories: &mut BTreeMap<String, LimitHistory>,
    now: Timestamp,
) -> Vec<Result<f64, BudgetReason>> {
    histories.retain(|name, _| facts.budgets.iter().any(|budget| budget.name == name));
    let mut limit = |budget: &BudgetFacts<'_>| {
        let seen = match &budget.spec.limit {
            Limit::Value(value) => Some(*value),
            Limit::Prometheus(_) | Limit::ResourceQuota(_) => budget.limit,
            // A sum of nodes is observed, so a fall of it is no typo.
            Limit::Nodes(_) => return sum_of_nodes(facts, budget).ok_or(BudgetReason::LimitUnknown),
        };
        let history = histories.entry(budget.name.to_owned()).or_default();
        history.trust(seen, i32::from(budget.spec.max_decrease), now)
    };
    facts.budgets.iter().map(&mut limit).collect()
}

fn sum_of_nodes(facts: &Facts<'_>, budget: &BudgetFacts<'_>) -> Option<f64> {
    let sum: Option<f64> =
        nodes_of(facts, budget)?.map(|node| node.allocatable.of(&budget.spec.resource)).sum();
    sum.filter(|sum| sum.is_finite())
}

/// The nodes of a budget; `None` if the nodes are unknown.
pub(super) fn nodes_of<'a>(
    facts: &'a Facts<'_>,
    budget: &'a BudgetFacts<'_>,
) -> Option<impl Iterator<Item = &'a NodeFacts>> {
    let nodes = facts.nodes.as_ref()?.iter();
    Some(nodes.filter(|node| budget.spec.limit.includes_node(&node.labels)))
}
