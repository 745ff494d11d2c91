//! Grants from what is known: services, budgets and nodes become a [`Situation`] of the arbiter, and its outcome becomes
//! grants with reasons.

mod answer;
mod cycle;
mod facts;
mod limit;
mod pools;
mod requests;
mod situation;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_api::{BudgetReason, Criticality, GrantReason};

use self::limit::LimitHistory;
use super::arbiter::{Totals, arbitrate};

pub use cycle::cycle;
pub use facts::{BudgetFacts, Facts, NodeFacts, Requests, ServiceFacts, Workload};

/// What the next pass needs to know of the earlier ones: the limits of the budgets, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapacityMemory {
    limits: BTreeMap<String, LimitHistory>,
}

/// Grants of all services and the state of all budgets, in the order of the facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// One for each service.
    pub services: Vec<ServiceGrant>,
    /// One for each budget.
    pub budgets: Vec<BudgetState>,
}

/// What one service gets.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceGrant {
    /// Replicas that it asks for, between its current minimum and `maxReplicas`.
    pub asked: i32,
    /// Replicas that fit every budget, at most those that it asked for. It can be below `minReplicas` if that does not fit.
    pub replicas: i32,
    /// Replicas that could exist now if no other grant rose, at most `maxReplicas`.
    pub achievable: i32,
    /// Criticality that counts.
    pub criticality: Criticality,
    /// Names of the budgets that it consumes, with those that its pods consume by their requests.
    pub budgets: Vec<String>,
    /// What limits it and how it is ranked.
    pub reasons: Vec<GrantReason>,
}

/// The state of one budget. Amounts are in the unit of its resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetState {
    /// The limit that counts, with the reserved amount; `None` if it is unknown.
    pub limit: Option<f64>,
    /// Amount in use by everybody, as far as it is measured; `None` if it is unknown.
    pub used: Option<f64>,
    /// Of all consumers.
    pub total: Totals,
    /// Of each entry of `consumers`, in their order.
    pub consumers: Vec<Totals>,
    /// Whether it allows no more to a service that asks for more.
    pub exhausted: bool,
    /// What is unknown, and what does not fit.
    pub reasons: Vec<BudgetReason>,
}

/// Distributes the capacity of all budgets at `now`.
#[must_use]
pub fn grant(facts: &Facts<'_>, memory: &mut CapacityMemory, now: Timestamp) -> Grants {
    let limits = limit::trusted(facts, &mut memory.limits, now);
    let situation = situation::of(facts, &limits, now);
    let outcome = arbitrate(&situation.arbiter);
    answer::grants(facts, &limits, &situation, &outcome)
}
