//! The arbiter: distributes finite capacity among all services.
//!
//! Grants are made one replica at a time, and each must fit every budget that it touches:
//!
//! 1. Replicas that run are kept.
//! 2. Minimums, the most critical first. Within a criticality, services that depend on each other are one group, and a whole
//!    group comes before a part of another: an application without one of its services is of little use.
//! 3. The rest of the demand, the most critical first. Within a criticality by weighted max-min fairness: the next replica
//!    goes to the service with the lowest dominant share divided by its weight (progressive filling; Bertsekas and Gallager,
//!    Data Networks, 6.5; dominant shares: Ghodsi et al., Dominant Resource Fairness, NSDI 2011).
//!
//! A dependency of a service is at least as critical as the service, and is granted with it. Amounts that an entry of a
//! budget's consumers is guaranteed are not granted to others, even while the entry does not need them. While a limit or a use
//! is unknown, no grant is above or below what runs.
//!
//! The result depends only on the input: equal services are ordered by their position.

mod account;
mod amount;
mod fill;
mod groups;
mod ledger;
mod minimums;
mod nodes;
mod outcome;
mod rank;
mod situation;
mod unit;

use plimsoll_api::Criticality;
use strum::IntoEnumIterator as _;

use self::ledger::Ledger;

pub use amount::Amount;
pub use outcome::{BudgetTotals, Cause, Grant, Obstacle, Outcome, Totals};
pub use situation::{Budget, Consumption, Demand, Node, Placement, Resources, Situation, Surge};

/// Distributes the capacity of all budgets among all services.
#[must_use]
pub fn arbitrate(situation: &Situation) -> Outcome {
    let ranks = rank::ranks(&situation.demands);
    let mut ledger = Ledger::new(situation);
    for criticality in Criticality::iter() {
        minimums::grant(&mut ledger, &rank::class(&ranks, criticality));
    }
    for criticality in Criticality::iter() {
        fill::grant(&mut ledger, &rank::class(&ranks, criticality), |demand| demand.wanted);
    }
    outcome::of(&ledger, &ranks)
}
