//! Reasons for what the budgets grant to a service.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use crate::{
    Criticality,
    text::{amount, replicas},
};

/// Why a service gets fewer replicas than it asks for, or how it is ranked.
#[derive(Clone, Debug, PartialEq, EnumDiscriminants)]
#[strum_discriminants(
    name(GrantCode),
    doc = "The name of a [`GrantReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)
)]
pub enum GrantReason {
    /// The limit of a budget allows no more replicas.
    LimitedByBudget {
        /// Name of the budget.
        budget: String,
        /// Replicas that the service asked for.
        asked: i32,
        /// Replicas that are granted.
        granted: i32,
        /// What the budget has for its consumers and others, in its unit.
        available: f64,
        /// What others use of it.
        others: f64,
        /// The other service that has most of it.
        holder: Option<Holder>,
    },
    /// The rest of a budget is guaranteed to other consumers.
    LimitedByGuarantees {
        /// Name of the budget.
        budget: String,
        /// Replicas that the service asked for.
        asked: i32,
        /// Replicas that are granted.
        granted: i32,
    },
    /// No node has room for another replica.
    LimitedByNodes {
        /// Replicas that the service asked for.
        asked: i32,
        /// Replicas that are granted.
        granted: i32,
    },
    /// Another service that this one depends on does not fit.
    LimitedByDependency {
        /// Namespace and name of the other service.
        service: String,
        /// Why the other service does not fit.
        cause: Box<Self>,
    },
    /// The limit or the use of a budget is unknown: no grant rises.
    HeldByUnknownBudget {
        /// Name of the budget.
        budget: String,
        /// Replicas that run.
        kept: i32,
    },
    /// No entry of the budget's `consumers` selects the namespace of the service.
    NotAConsumer {
        /// Name of the budget.
        budget: String,
        /// Replicas that run.
        kept: i32,
    },
    /// The labels of the namespace are unknown, so it may be a consumer.
    NamespaceUnknown {
        /// Name of the namespace.
        namespace: String,
    },
    /// `consumes` names a budget that does not exist.
    BudgetNotFound {
        /// Name of the budget.
        budget: String,
    },
    /// `dependsOn` names a service that does not exist.
    DependencyNotFound {
        /// Namespace and name of the other service.
        service: String,
    },
    /// The requests of the pods are unknown, and count as zero.
    RequestsUnknown {
        /// Kind and name of the target.
        target: String,
    },
    /// The minimum does not fit.
    MinimumNotGranted {
        /// `minReplicas`, or that of a schedule.
        min_replicas: i32,
        /// Replicas that fit.
        granted: i32,
    },
    /// More replicas run than the nodes have room for.
    NotAllPlaced {
        /// Replicas that can run.
        achievable: i32,
        /// Replicas that the target has.
        replicas: i32,
    },
    /// A budget does not admit the criticality of the service.
    CriticalityCapped {
        /// Name of the budget.
        budget: String,
        /// What the service declares.
        declared: Criticality,
        /// What counts.
        counts_as: Criticality,
    },
    /// A more critical service depends on this one.
    CriticalityInherited {
        /// What the service declares.
        declared: Criticality,
        /// What counts.
        counts_as: Criticality,
    },
}

/// The service that has most of a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Namespace and name.
    pub service: String,
    /// What counts for it.
    pub criticality: Criticality,
    /// What it has, in the unit of the budget.
    pub amount: f64,
}

impl GrantReason {
    /// The name of the reason.
    #[must_use]
    pub fn code(&self) -> GrantCode {
        self.into()
    }
}

impl fmt::Display for GrantReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LimitedByBudget { budget, asked, granted, available, others, holder } => {
                write!(f, "asked for {asked}, the budget {budget} allows {granted}")?;
                let available = amount(*available);
                match holder {
                    Some(Holder { service, criticality, amount: has }) if has >= others => {
                        let has = amount(*has);
                        write!(f, "; {service}, {criticality:?}, has {has} of its {available}")
                    }
                    _ if *others > 0.0 => {
                        let others = amount(*others);
                        write!(f, "; others than its consumers use {others} of its {available}")
                    }
                    _ => Ok(()),
                }
            }
            Self::LimitedByGuarantees { budget, asked, granted } => {
                write!(
                    f,
                    "asked for {asked}, the budget {budget} allows {granted}: the rest is guaranteed to other consumers"
                )
            }
            Self::LimitedByNodes { asked, granted } => {
                write!(f, "asked for {asked}, the nodes have room for {granted}")
            }
            Self::LimitedByDependency { service, cause } => {
                write!(f, "its dependency {service} does not fit: {cause}")
            }
            Self::HeldByUnknownBudget { budget, kept } => {
                write!(
                    f,
                    "the limit or the use of the budget {budget} is unknown, so {} are kept",
                    replicas(*kept)
                )
            }
            Self::NotAConsumer { budget, kept } => {
                write!(
                    f,
                    "no entry in consumers of the budget {budget} selects the namespace, so {} are kept",
                    replicas(*kept)
                )
            }
            Self::NamespaceUnknown { namespace } => {
                write!(f, "the labels of the namespace {namespace} are unknown")
            }
            Self::BudgetNotFound { budget } => {
                write!(f, "consumes names the budget {budget}, which does not exist, so it limits nothing")
            }
            Self::DependencyNotFound { service } => {
                write!(f, "dependsOn names {service}, which does not exist")
            }
            Self::RequestsUnknown { target } => {
                write!(f, "the requests of {target} are unknown and count as zero")
            }
            Self::MinimumNotGranted { min_replicas, granted } => {
                write!(f, "the minimum is {}, but only {granted} can be granted", replicas(*min_replicas))
            }
            Self::NotAllPlaced { achievable, replicas } => {
                write!(
                    f,
                    "spec.replicas of the target is {replicas}, but the nodes have room for {achievable}"
                )
            }
            Self::CriticalityCapped { budget, declared, counts_as } => {
                write!(
                    f,
                    "criticality is {declared:?}, but the budget {budget} admits {counts_as:?} at most, so {counts_as:?} counts"
                )
            }
            Self::CriticalityInherited { declared, counts_as } => {
                write!(
                    f,
                    "criticality is {declared:?}, but a more critical service depends on it, so {counts_as:?} counts"
                )
            }
        }
    }
}
