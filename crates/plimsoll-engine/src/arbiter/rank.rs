//! Criticality of demands, with what they inherit from the demands that depend on them.

use plimsoll_api::Criticality;

use super::Demand;

/// The criticality of each demand: its own, or that of the most critical demand that depends on it, up to its `most_critical`.
pub(super) fn ranks(demands: &[Demand]) -> Vec<Criticality> {
    // A lower criticality is greater.
    let capped =
        |demand: &Demand, rank: Criticality| demand.most_critical.map_or(rank, |most| rank.max(most));
    let mut ranks: Vec<Criticality> =
        demands.iter().map(|demand| capped(demand, demand.criticality)).collect();
    let mut changed: Vec<usize> = (0..demands.len()).collect();
    // A demand is visited again only after its rank has risen, so this ends even for a cycle.
    while let Some(position) = changed.pop() {
        let (Some(demand), Some(rank)) = (demands.get(position), ranks.get(position).copied()) else {
            continue;
        };
        for dependency in &demand.depends_on {
            if let (Some(inherited), Some(needed)) = (ranks.get_mut(*dependency), demands.get(*dependency))
                && capped(needed, rank) < *inherited
            {
                *inherited = capped(needed, rank);
                changed.push(*dependency);
            }
        }
    }
    ranks
}

/// Positions of the demands of one criticality.
pub(super) fn class(ranks: &[Criticality], criticality: Criticality) -> Vec<usize> {
    let positions = ranks.iter().enumerate().filter(|(_, rank)| **rank == criticality);
    positions.map(|(position, _)| position).collect()
}
