//! Weighted max-min fairness within one criticality, by progressive filling.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{Demand, ledger::Ledger, unit};

/// A demand that may get one more replica.
struct Next {
    /// Dominant share of what it has, divided by its weight.
    share: f64,
    /// Dominant share of one replica.
    step: f64,
    position: usize,
}

impl Ord for Next {
    /// The greatest is next: the lowest share, then the smallest replica, then the first position.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_share = other.share.total_cmp(&self.share);
        let by_step = other.step.total_cmp(&self.step);
        by_share.then(by_step).then(other.position.cmp(&self.position))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

/// Grants one replica after the other to the demands of a class, until each has its target or can't get more.
pub(super) fn grant(ledger: &mut Ledger<'_>, class: &[usize], target: impl Fn(&Demand) -> i32) {
    let next = |ledger: &Ledger<'_>, position: usize| {
        let demand = ledger.demand(position)?;
        let granted = ledger.granted(position);
        let step = ledger.share(position);
        let share = step * f64::from(granted) / f64::from(demand.weight.max(1));
        (granted < target(demand)).then_some(Next { share, step, position })
    };
    let mut heap: BinaryHeap<Next> = class.iter().filter_map(|position| next(ledger, *position)).collect();
    while let Some(Next { share, position, .. }) = heap.pop() {
        let Some(now) = next(ledger, position) else { continue };
        if now.share > share {
            // It got replicas as a dependency.
            heap.push(now);
            continue;
        }
        let granted = ledger.granted(position);
        let unit = if granted == 0 {
            // The first replica needs those that it depends on.
            unit::unit(ledger, [(position, 1)])
        } else {
            vec![(position, granted + 1)]
        };
        match ledger.raise_all(&unit) {
            Ok(()) => heap.extend(next(ledger, position)),
            Err(obstacle) => ledger.limited(position, obstacle),
        }
    }
}
