//! Why replicas that stand out from their peers are ejected, replaced or put back.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use crate::text::{cause, number};

/// A reason of recovery.
#[derive(Clone, Debug, PartialEq, EnumDiscriminants)]
#[strum_discriminants(
    name(RecoveryCode),
    doc = "The name of a [`RecoveryReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)
)]
pub enum RecoveryReason {
    /// No replica stands out from its peers.
    NoOutliers,
    /// The question about outliers has no fresh answer: no replica is judged.
    OutliersUnknown {
        /// Why not.
        why: String,
    },
    /// Fewer replicas have a sample than it takes to compare one with the others: no replica is judged.
    TooFewPeers {
        /// Replicas that have one.
        replicas: usize,
    },
    /// A replica stood out from its peers often enough and is out.
    OutlierEjected {
        /// Its name.
        pod: String,
        /// Its value and the median of its peers; `None` after a restart.
        judged: Option<(f64, f64)>,
    },
    /// Replicas stand out from their peers and are not ejected: as many are missing as may be.
    EjectionBudgetSpent {
        /// Replicas that stand out.
        outliers: usize,
        /// Replicas that are missing, for whatever reason.
        missing: usize,
        /// Replicas that may be missing.
        allowed: usize,
        /// Replicas that the target wants.
        replicas: i32,
        /// Names of those that stand out.
        pods: String,
    },
    /// A replica that was out came back.
    OutlierReturned {
        /// Its name.
        pod: String,
    },
    /// A replica that was out was evicted, for another one in its place.
    OutlierReplaced {
        /// Its name.
        pod: String,
    },
    /// A replica that is out was not evicted: a PodDisruptionBudget does not allow it now.
    EvictionRefused {
        /// Its name.
        pod: String,
        /// The API server's words.
        why: String,
    },
    /// A replica that is out could not be evicted.
    EvictionFailed {
        /// Its name.
        pod: String,
        /// The error.
        why: String,
    },
    /// mode: Observe: nothing is ejected.
    Observing {
        /// Names of those that would be.
        pods: String,
    },
    /// mode: Paused: held as it is.
    Paused,
}

impl RecoveryReason {
    /// Its name.
    #[must_use]
    pub fn code(&self) -> RecoveryCode {
        self.into()
    }
}

impl fmt::Display for RecoveryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOutliers => f.write_str("no replica stands out from its peers"),
            Self::OutliersUnknown { why } => {
                write!(f, "no replica is judged without fresh evidence{}", cause(why))
            }
            Self::TooFewPeers { replicas } => {
                write!(f, "{replicas} of at least 4 replicas have a number to be compared by")
            }
            Self::OutlierEjected { pod, judged: Some((value, median)) } => {
                let (value, median) = (number(*value), number(*median));
                write!(
                    f,
                    "{pod} stands out from its peers and is out: {value}, where the median of its peers is {median}"
                )
            }
            Self::OutlierEjected { pod, judged: None } => {
                write!(f, "{pod} stands out from its peers and is out")
            }
            Self::EjectionBudgetSpent { outliers, missing, allowed, replicas, pods } => {
                let more = if *outliers == 1 { "replica stands" } else { "replicas stand" };
                let are = if *missing == 1 { "is" } else { "are" };
                write!(
                    f,
                    "{outliers} more {more} out, but {missing} of {replicas} {are} missing, where {allowed} may be{}",
                    cause(pods)
                )
            }
            Self::OutlierReturned { pod } => write!(f, "{pod} is back"),
            Self::OutlierReplaced { pod } => write!(f, "{pod} was evicted, for another one in its place"),
            Self::EvictionRefused { pod, why } => {
                write!(f, "{pod} is not replaced, a PodDisruptionBudget does not allow it now{}", cause(why))
            }
            Self::EvictionFailed { pod, why } => write!(f, "{pod} could not be evicted{}", cause(why)),
            Self::Observing { pods } => write!(f, "mode is Observe: would be ejected: {pods}"),
            Self::Paused => f.write_str("mode is Paused: no replica is ejected, replaced or put back"),
        }
    }
}
