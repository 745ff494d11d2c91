//! Reasons for the state of a budget.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use crate::text::amount;

/// What is known about a budget.
#[derive(Clone, Debug, PartialEq, EnumDiscriminants)]
#[strum_discriminants(
    name(BudgetCode),
    doc = "The name of a [`BudgetReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)
)]
pub enum BudgetReason {
    /// The limit is unknown.
    LimitUnknown,
    /// The limit fell by more than `maxDecreasePercent`, and has not lasted.
    LimitFell {
        /// The limit that was known before.
        from: f64,
        /// The new limit.
        to: f64,
        /// The largest fall that applies at once, in percent.
        max_decrease_percent: i32,
        /// Seconds until the new limit applies.
        seconds_left: f64,
    },
    /// The use is unknown.
    UsageUnknown,
    /// The guarantees of the consumers exceed the limit.
    GuaranteesExceedLimit {
        /// Sum of the guarantees.
        guaranteed: f64,
        /// What the budget has for its consumers.
        available: f64,
    },
    /// The budget allows no more to a consumer that asks for more.
    Exhausted {
        /// What the consumers ask for.
        requested: f64,
        /// What they are granted.
        granted: f64,
    },
}

impl BudgetReason {
    /// The name of the reason.
    #[must_use]
    pub fn code(&self) -> BudgetCode {
        self.into()
    }
}

impl fmt::Display for BudgetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LimitUnknown => f.write_str("the limit is unknown, so no grant rises"),
            Self::LimitFell { from, to, max_decrease_percent, seconds_left } => {
                let (from, to) = (amount(*from), amount(*to));
                write!(
                    f,
                    "the limit fell from {from} to {to}, by more than {max_decrease_percent} %; it is unknown for {seconds_left} s \
                     more, unless it rises again"
                )
            }
            Self::UsageUnknown => f.write_str("the use is unknown, so no grant rises"),
            Self::GuaranteesExceedLimit { guaranteed, available } => {
                let (guaranteed, available) = (amount(*guaranteed), amount(*available));
                write!(f, "consumers are guaranteed {guaranteed}, but only {available} are available to them")
            }
            Self::Exhausted { requested, granted } => {
                write!(f, "{} of the requested {} are granted", amount(*granted), amount(*requested))
            }
        }
    }
}
