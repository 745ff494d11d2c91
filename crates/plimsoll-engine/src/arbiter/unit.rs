//! Units: grants that must rise together.

use std::collections::BTreeSet;

use super::ledger::Ledger;

/// New totals of replicas that must be granted together.
pub(super) type Unit = Vec<(usize, i32)>;

/// `target` replicas of each demand, and the dependencies that lack replicas.
///
/// A dependency needs its minimum, and at least one replica if it wants any.
pub(super) fn unit(ledger: &Ledger<'_>, targets: impl IntoIterator<Item = (usize, i32)>) -> Unit {
    let mut unit = Unit::new();
    let mut members = BTreeSet::new();
    let mut open: Vec<(usize, i32)> = targets.into_iter().collect();
    open.reverse();
    while let Some((position, target)) = open.pop() {
        let Some(demand) = ledger.demand(position) else { continue };
        if ledger.granted(position) >= target || !members.insert(position) {
            continue;
        }
        unit.push((position, target));
        let dependencies = demand.depends_on.iter().rev();
        open.extend(dependencies.filter_map(|dependency| {
            let needed = ledger.demand(*dependency)?;
            Some((*dependency, needed.min.max(needed.wanted.min(1))))
        }));
    }
    unit
}

/// Size of a unit: the dominant shares of its new replicas, divided by the mean weight of its demands.
pub(super) fn size(ledger: &Ledger<'_>, unit: &Unit) -> f64 {
    let mut size = 0.0;
    let mut weight = 0.0;
    for (position, target) in unit {
        let new = target.saturating_sub(ledger.granted(*position));
        size += ledger.share(*position) * f64::from(new);
        weight += ledger.demand(*position).map_or(1.0, |demand| f64::from(demand.weight.max(1)));
    }
    if unit.is_empty() { 0.0 } else { size * unit.len() as f64 / weight }
}
