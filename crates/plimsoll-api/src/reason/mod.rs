//! Reasons of decisions, limits and refusals: closed sets, one for each part of Plimsoll.
//!
//! - [`DecisionReason`]: a step of a decision on replicas, with its numbers. Written to `status.decisions`.
//! - [`FailoverReason`]: the routing of requests by failover.
//! - [`RecoveryReason`]: ejection, replacement and return of outliers.
//! - [`GrantReason`] and [`BudgetReason`]: what the budgets grant to a service, and the state of a budget.
//! - [`ConditionCode`]: other reasons of conditions and events.
//!
//! Reasons of all sets but the last have typed fields, and their `Display` is a sentence. The code of a reason is its name without
//! the fields; [`ReasonCode`] is any of these names, for conditions and events.

mod budget;
mod condition;
mod decision;
mod failover;
mod grant;
mod record;
mod recovery;
mod role;
mod sentence;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use strum::IntoEnumIterator;

pub use budget::{BudgetCode, BudgetReason};
pub use condition::ConditionCode;
pub use decision::{DecisionCode, DecisionReason, DecisionStep, Measured, RateLimit, RatePolicy, RateRule};
pub(crate) use record::known_steps;

pub use failover::{FailoverCode, FailoverReason};
pub use grant::{GrantCode, GrantReason, Holder};
pub use record::{One, StepRecord, UnknownStep};
pub use recovery::{RecoveryCode, RecoveryReason};
pub use role::Role;
pub use sentence::{draining, moment, zones_lost};

/// The name of a reason in conditions, events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonCode {
    /// Of a decision on replicas.
    Decision(DecisionCode),
    /// Only of a condition or an event.
    Condition(ConditionCode),
    /// Of recovery.
    Recovery(RecoveryCode),
    /// Of failover.
    Failover(FailoverCode),
}

impl ReasonCode {
    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decision(code) => code.into(),
            Self::Condition(code) => code.into(),
            Self::Recovery(code) => code.into(),
            Self::Failover(code) => code.into(),
        }
    }

    /// All codes. Names that several sets have (`Observing`, `Paused`) are repeated, the decision's first.
    pub fn all() -> impl Iterator<Item = Self> {
        let decision = DecisionCode::iter().map(Self::Decision);
        let condition = ConditionCode::iter().map(Self::Condition);
        let recovery = RecoveryCode::iter().map(Self::Recovery);
        let failover = FailoverCode::iter().map(Self::Failover);
        decision.chain(condition).chain(recovery).chain(failover)
    }

    /// The code with this name; `None` for a name that is unknown to this version.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|code| code.name() == name)
    }
}

/// The names of all sets in one list, as in v1alpha1.
impl JsonSchema for ReasonCode {
    fn schema_name() -> Cow<'static, str> {
        "ReasonCode".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sets = [
            DecisionCode::json_schema(generator),
            ConditionCode::json_schema(generator),
            RecoveryCode::json_schema(generator),
            FailoverCode::json_schema(generator),
        ];
        let mut names: Vec<&Value> = Vec::new();
        for name in sets.iter().filter_map(|set| set.get("oneOf")?.as_array()).flatten() {
            if !names.iter().any(|known| known.get("const") == name.get("const")) {
                names.push(name);
            }
        }
        json_schema!({ "description": "Why something was decided, limited or refused.", "oneOf": names })
    }
}

impl From<DecisionCode> for ReasonCode {
    fn from(code: DecisionCode) -> Self {
        Self::Decision(code)
    }
}

impl From<ConditionCode> for ReasonCode {
    fn from(code: ConditionCode) -> Self {
        Self::Condition(code)
    }
}

impl From<RecoveryCode> for ReasonCode {
    fn from(code: RecoveryCode) -> Self {
        Self::Recovery(code)
    }
}

impl From<FailoverCode> for ReasonCode {
    fn from(code: FailoverCode) -> Self {
        Self::Failover(code)
    }
}

#[cfg(test)]
mod tests {
    use super::{ConditionCode, DecisionCode, ReasonCode};

    #[test]
    fn a_reason_code_is_found_by_its_name() {
        assert_eq!(ReasonCode::named("ScalerConflict"), Some(ConditionCode::ScalerConflict.into()));
        assert_eq!(ReasonCode::named("Paused"), Some(DecisionCode::Paused.into()));
        assert_eq!(ReasonCode::named("SomethingNewer"), None);
    }
}
