//! The result of the arbiter.

use std::collections::BTreeMap;

use plimsoll_api::Criticality;

use super::{Amount, Budget, Consumption, Demand, Resources, ledger::Ledger};

/// Grants and totals, in the order of the [`super::Situation`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One for each demand.
    pub grants: Vec<Grant>,
    /// One for each budget.
    pub budgets: Vec<BudgetTotals>,
}

/// What one service gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Replicas that fit every budget. It can be below the minimum if the minimums exceed a limit.
    pub replicas: i32,
    /// Replicas that could exist now, up to the maximum, if no other grant rose.
    pub achievable: i32,
    /// Criticality that ranked it: its own, or that of a service that depends on it.
    pub criticality: Criticality,
    /// What prevented more; `None` if it gets all that it wants.
    pub obstacle: Option<Obstacle>,
}

/// What prevents a higher grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Why.
    pub cause: Cause,
    /// Position of the demand that does not fit: the service itself, or one that it depends on.
    pub of: usize,
}

/// Why a replica does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The budget's limit would be exceeded.
    Budget {
        /// Position of the budget.
        budget: usize,
    },
    /// The rest of the budget is guaranteed to other consumers.
    Guaranteed {
        /// Position of the budget.
        budget: usize,
    },
    /// No node has room for a replica, whatever the sum of their room is.
    Nodes,
    /// The budget's limit or its use is unknown.
    Unknown {
        /// Position of the budget.
        budget: usize,
    },
    /// No entry of the budget's consumers admits the service.
    NotAdmitted {
        /// Position of the budget.
        budget: usize,
    },
}

/// Totals of one budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetTotals {
    /// Of all consumers.
    pub all: Totals,
    /// Of each entry of the consumers.
    pub entries: Vec<Totals>,
    /// Whether it allows no more to a service that asks for more.
    pub exhausted: bool,
}

/// What is asked for and what is granted, without the surge of rollouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of services.
    pub services: usize,
    /// Amount for the wanted replicas.
    pub requested: Amount,
    /// Amount for the granted replicas.
    pub granted: Amount,
}

impl Totals {
    fn add(&mut self, requested: Amount, granted: Amount) {
        self.services += 1;
        self.requested += requested;
        self.granted += granted;
    }
}

/// The result, when no grant can rise any more.
pub(super) fn of(ledger: &Ledger<'_>, ranks: &[Criticality]) -> Outcome {
    let situation = ledger.situation();
    let mut rooms = Rooms::default();
    let grants: Vec<Grant> = situation
        .demands
        .iter()
        .zip(ranks)
        .enumerate()
        .map(|(position, (demand, rank))| {
            let replicas = ledger.granted(position);
            let obstacle = ledger.obstacle(position).filter(|_| replicas < demand.wanted);
            let achievable = rooms.achievable(ledger, position, demand);
            Grant { replicas, achievable, criticality: *rank, obstacle }
        })
        .collect();
    let totals = |budget: &Budget| BudgetTotals {
        entries: vec![Totals::default(); budget.guaranteed.len()],
        ..BudgetTotals::default()
    };
    let mut budgets: Vec<BudgetTotals> = situation.budgets.iter().map(totals).collect();
    for obstacle in grants.iter().filter_map(|grant| grant.obstacle) {
        let of_nodes =
            |one: &&Consumption| situation.budgets.get(one.budget).is_some_and(|budget| budget.of_nodes);
        let consumes =
            ledger.demand(obstacle.of).map(|demand| demand.consumes.as_slice()).unwrap_or_default();
        let nodes = consumes.iter().filter(of_nodes).map(|one| one.budget);
        let nodes = nodes.filter(|_| obstacle.cause == Cause::Nodes);
        for budget in nodes.chain(ledger.exhausted(obstacle.of)) {
            budgets.get_mut(budget).into_iter().for_each(|totals| totals.exhausted = true);
        }
    }
    for (demand, grant) in situation.demands.iter().zip(&grants) {
        demand
            .consumes
            .iter()
            .for_each(|consumption| add(&mut budgets, consumption, demand.wanted, grant.replicas));
    }
    Outcome { grants, budgets }
}

fn add(budgets: &mut [BudgetTotals], consumption: &Consumption, wanted: i32, granted: i32) {
    let Some(totals) = budgets.get_mut(consumption.budget) else { return };
    let requested = consumption.per_replica.times(wanted);
    let granted = consumption.per_replica.times(granted);
    totals.all.add(requested, granted);
    let entry = consumption.entry.and_then(|entry| totals.entries.get_mut(entry));
    entry.into_iter().for_each(|entry| entry.add(requested, granted));
}

/// Room on the nodes for each shape: few shapes, but many services.
#[derive(Default)]
struct Rooms(BTreeMap<(usize, Resources), i32>);

impl Rooms {
    fn achievable(&mut self, ledger: &Ledger<'_>, position: usize, demand: &Demand) -> i32 {
        let granted = ledger.granted(position);
        let room = demand.placement.as_ref().map_or(i32::MAX, |placement| {
            let (pool, shape) = (placement.pool, placement.shape);
            *self.0.entry((pool, shape)).or_insert_with(|| ledger.room(pool, shape))
        });
        // Amounts grow with the replicas, so a binary search finds the last number that fits.
        let (mut fits, mut most) = (granted, demand.max.min(granted.saturating_add(room)).max(granted));
        while fits < most {
            let middle = fits + (most - fits + 1) / 2;
            if ledger.refusal(position, middle).is_none() { fits = middle } else { most = middle - 1 }
        }
        fits - ledger.unplaced(position)
    }
}
