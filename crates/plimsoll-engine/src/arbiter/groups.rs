//! Groups of demands that depend on each other.

use std::collections::BTreeMap;

use super::ledger::Ledger;

/// The demands of a class in groups: those that are connected by dependencies within the class. In the order of their first
/// members.
pub(super) fn groups(ledger: &Ledger<'_>, class: &[usize]) -> Vec<Vec<usize>> {
    let mut leaders: BTreeMap<usize, usize> = class.iter().map(|position| (*position, *position)).collect();
    for position in class {
        for dependency in ledger.demand(*position).into_iter().flat_map(|demand| &demand.depends_on) {
            if leaders.contains_key(dependency) {
                join(&mut leaders, *position, *dependency);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for position in class {
        groups.entry(leader(&mut leaders, *position)).or_default().push(*position);
    }
    groups.into_values().collect()
}

fn join(leaders: &mut BTreeMap<usize, usize>, one: usize, other: usize) {
    let (one, other) = (leader(leaders, one), leader(leaders, other));
    leaders.insert(one.max(other), one.min(other));
}

/// The first member of a demand's group. Shortens the path to it for the next time.
fn leader(leaders: &mut BTreeMap<usize, usize>, of: usize) -> usize {
    let mut first = of;
    while let Some(next) = leaders.get(&first).copied().filter(|next| *next != first) {
        first = next;
    }
    leaders.insert(of, first);
    first
}
