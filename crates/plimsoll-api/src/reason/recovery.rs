//! Reasons for the ejection, replacement and return of outliers.

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
    /// No replica is an outlier.
    NoOutliers,
    /// The outlier query has no fresh sample: no replica is evaluated.
    OutliersUnknown {
        /// The cause.
        why: String,
    },
    /// Too few replicas have a sample for a comparison: no replica is evaluated.
    TooFewPeers {
        /// Number of replicas with a sample.
        replicas: usize,
    },
    /// A replica was an outlier in enough samples and is ejected.
    OutlierEjected {
        /// Name of the pod.
        pod: String,
        /// The value of the replica and the median of its peers; `None` after a restart.
        judged: Option<(f64, f64)>,
    },
    /// Outliers are not ejected, since the maximum number of replicas is already missing.
    EjectionBudgetSpent {
        /// Number of outliers that are not ejected.
        outliers: usize,
        /// Number of missing replicas, for any reason.
        missing: usize,
        /// Maximum number of missing replicas.
        allowed: usize,
        /// Number of replicas of the target.
        replicas: i32,
        /// Names of these outliers.
        pods: String,
    },
    /// An ejected replica returned to rotation.
    OutlierReturned {
        /// Name of the pod.
        pod: String,
    },
    /// An ejected replica was evicted, to be replaced.
    OutlierReplaced {
        /// Name of the pod.
        pod: String,
    },
    /// An ejected replica was not evicted: a PodDisruptionBudget does not allow it now.
    EvictionRefused {
        /// Name of the pod.
        pod: String,
        /// The message of the API server.
        why: String,
    },
    /// The eviction of an ejected replica failed.
    EvictionFailed {
        /// Name of the pod.
        pod: String,
        /// The error.
        why: String,
    },
    /// Mode Observe: no replica is ejected.
    Observing {
        /// Names of the outliers.
        pods: String,
    },
    /// Mode Paused: no replica is ejected, replaced or returned.
    Paused,
}

impl RecoveryReason {
    /// The name of the reason.
    #[must_use]
    pub fn code(&self) -> RecoveryCode {
        self.into()
    }
}

impl fmt::Display for RecoveryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOutliers => f.write_str("no replica is an outlier"),
            Self::OutliersUnknown { why } => {
                write!(f, "no replica is evaluated without a fresh sample{}", cause(why))
            }
            Self::TooFewPeers { replicas } => {
                write!(f, "too few replicas have a sample for a comparison: {replicas} of at least 4")
            }
            Self::OutlierEjected { pod, judged: Some((value, median)) } => {
                let (value, median) = (number(*value), number(*median));
                write!(
                    f,
                    "{pod} is ejected as an outlier: {value}, where the median of its peers is {median}"
                )
            }
            Self::OutlierEjected { pod, judged: None } => {
                write!(f, "{pod} is ejected as an outlier")
            }
            Self::EjectionBudgetSpent { outliers, missing, allowed, replicas, pods } => {
                let more = if *outliers == 1 { "outlier is" } else { "outliers are" };
                let are = if *missing == 1 { "is" } else { "are" };
                write!(
                    f,
                    "{outliers} more {more} not ejected, since {missing} of {replicas} {are} missing and {allowed} may be{}",
                    cause(pods)
                )
            }
            Self::OutlierReturned { pod } => write!(f, "{pod} is back in rotation"),
            Self::OutlierReplaced { pod } => write!(f, "{pod} was evicted to be replaced"),
            Self::EvictionRefused { pod, why } => {
                write!(f, "{pod} is not replaced, a PodDisruptionBudget does not allow it now{}", cause(why))
            }
            Self::EvictionFailed { pod, why } => write!(f, "{pod} could not be evicted{}", cause(why)),
            Self::Observing { pods } => write!(f, "mode is Observe: would be ejected: {pods}"),
            Self::Paused => f.write_str("mode is Paused: no replica is ejected, replaced or returned"),
        }
    }
}
