//! The output lines of `plimsoll plan`.

use std::{collections::BTreeMap, fmt::Display};

use schemars::JsonSchema;
use serde::Serialize;

use plimsoll_api::{BudgetMode, Criticality};
use plimsoll_engine::{
    arbiter::Totals,
    capacity::{BudgetFacts, BudgetState, Facts, Grants, ServiceGrant},
};

/// What the budgets grant, as if all of them were enforced.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct GrantsLine {
    /// The time of the input line.
    pub time: f64,
    /// Each service by `NAMESPACE/NAME`.
    pub services: BTreeMap<String, ServiceAnswer>,
    /// Each budget by its name.
    pub budgets: BTreeMap<String, BudgetAnswer>,
}

/// What one service gets.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAnswer {
    /// Replicas that it asks for, between its current minimum and `maxReplicas`.
    pub wanted: i32,
    /// Replicas that fit every budget.
    pub granted: i32,
    /// Replicas that could exist now if no other grant rose.
    pub achievable: i32,
    /// Criticality that counts.
    pub criticality: Criticality,
    /// Names of the budgets that it consumes.
    pub budgets: Vec<String>,
    /// What limits it and how it is ranked.
    pub reasons: Vec<ReasonLine>,
}

/// The state of one budget, in the unit of its resource.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetAnswer {
    /// Whether the operator limits replicas by it.
    pub mode: BudgetMode,
    /// The limit that counts; absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Amount in use by everybody, as far as it is measured; absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<f64>,
    /// All consumers.
    #[serde(flatten)]
    pub total: ConsumerAnswer,
    /// Whether it allows no more to a service that asks for more.
    pub exhausted: bool,
    /// Each entry of `consumers` by its name.
    pub consumers: BTreeMap<String, ConsumerAnswer>,
    /// What is unknown, and what does not fit.
    pub reasons: Vec<ReasonLine>,
}

/// Sums over services.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerAnswer {
    /// Number of services.
    pub services: usize,
    /// Amount for the replicas that they ask for.
    pub requested: f64,
    /// Amount for the replicas that they are granted.
    pub granted: f64,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReasonLine {
    /// Its name.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl ReasonLine {
    fn new(code: &'static str, reason: &impl Display) -> Self {
        Self { code, message: reason.to_string() }
    }
}

pub(super) fn line(time: f64, facts: &Facts<'_>, grants: &Grants) -> GrantsLine {
    let services = facts.services.iter().zip(&grants.services);
    let services = services.map(|(facts, grant)| (facts.key(), service(grant)));
    let budgets = facts.budgets.iter().zip(&grants.budgets);
    let budgets = budgets.map(|(facts, state)| (facts.name.to_owned(), budget(facts, state)));
    GrantsLine { time, services: services.collect(), budgets: budgets.collect() }
}

fn service(grant: &ServiceGrant) -> ServiceAnswer {
    ServiceAnswer {
        wanted: grant.asked,
        granted: grant.replicas,
        achievable: grant.achievable,
        criticality: grant.criticality,
        budgets: grant.budgets.clone(),
        reasons: grant.reasons.iter().map(|reason| ReasonLine::new(reason.code().into(), reason)).collect(),
    }
}

fn budget(facts: &BudgetFacts<'_>, state: &BudgetState) -> BudgetAnswer {
    let consumers = facts.spec.consumers.iter().zip(&state.consumers);
    BudgetAnswer {
        mode: facts.spec.mode,
        limit: state.limit,
        used: state.used,
        total: sums(&state.total),
        exhausted: state.exhausted,
        consumers: consumers.map(|(consumer, of)| (consumer.name.clone(), sums(of))).collect(),
        reasons: state.reasons.iter().map(|reason| ReasonLine::new(reason.code().into(), reason)).collect(),
    }
}

fn sums(totals: &Totals) -> ConsumerAnswer {
    let Totals { services, requested, granted } = *totals;
    ConsumerAnswer { services, requested: requested.units(), granted: granted.units() }
}
