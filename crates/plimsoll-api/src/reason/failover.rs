//! Reasons for the routing of requests by failover.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use crate::{Percent, text::cause};

/// A reason of failover. Lists of signs are text, which is empty without a sign.
#[derive(Clone, Debug, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(FailoverCode),
    doc = "The name of a [`FailoverReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)
)]
pub enum FailoverReason {
    /// The service itself gets all requests.
    PrimaryServes {
        /// Signs with too few requests to be evaluated.
        few: String,
    },
    /// The service itself shows signs of failure.
    PrimaryFailing {
        /// The signs.
        signs: String,
    },
    /// The service itself fails, and no standby could take its requests.
    NoStandbyReady {
        /// The signs, and why each standby is not ready.
        signs: String,
    },
    /// The service fails by a KPI, but so do many other services at the same time: the KPI is not trusted yet.
    FleetLimit {
        /// The signs.
        signs: String,
    },
    /// Requests move to a standby.
    MovingToStandby {
        /// Name of the standby.
        standby: String,
        /// Share of the requests that are not at the primary.
        away: Percent,
        /// The cause.
        why: String,
    },
    /// A standby gets all requests.
    StandbyServes {
        /// Name of the standby.
        standby: String,
        /// The cause.
        why: String,
    },
    /// Requests return to the service itself in steps.
    MovingToPrimary {
        /// Standby from which they return.
        standby: String,
        /// Share of the requests that are not at the primary.
        away: Percent,
        /// Condition of the next step.
        waits: String,
    },
    /// The service itself fails partially but keeps its requests: `maxSwitchesPerHour` is reached.
    SwitchLimit {
        /// The backend that gets the requests.
        backend: String,
        /// Number of switches within the last hour.
        switches: usize,
        /// `maxSwitchesPerHour`.
        most: usize,
    },
    /// No requests are moved, since the evidence is unknown.
    EvidenceUnknown {
        /// The unknown signs.
        unknown: String,
    },
    /// No requests are moved: the failover is frozen by annotation.
    FrozenByAnnotation {
        /// The value of the annotation, or why it is invalid.
        why: String,
    },
    /// Requests go to a standby by a manual override.
    MovedByAnnotation {
        /// Name of the standby.
        standby: String,
    },
    /// A standby could take all requests now.
    StandbyReady {
        /// Name of the standby.
        standby: String,
    },
    /// No standby could take all requests now.
    StandbyNotReady {
        /// Why each standby is not ready.
        why: String,
    },
    /// Mode Observe: no requests are moved.
    Observing {
        /// The signs of failure.
        signs: String,
    },
    /// Mode Paused: no requests are moved.
    Paused,
}

impl FailoverReason {
    /// The name of the reason.
    #[must_use]
    pub fn code(&self) -> FailoverCode {
        self.into()
    }
}

impl fmt::Display for FailoverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrimaryServes { few } => write!(f, "the service itself gets all requests{}", cause(few)),
            Self::PrimaryFailing { signs } => {
                write!(f, "the service shows signs of failure{}", cause(signs))
            }
            Self::NoStandbyReady { signs } => {
                write!(f, "the service is failing, and no standby can take its requests{}", cause(signs))
            }
            Self::FleetLimit { signs } => write!(
                f,
                "the service fails by a KPI, but so do many others at the same time: the KPI is not trusted yet{}",
                cause(signs)
            ),
            Self::MovingToStandby { standby, away, why } => {
                write!(f, "requests move to {standby} ({away} % are there){}", cause(why))
            }
            Self::StandbyServes { standby, why } => {
                write!(f, "all requests go to {standby}{}", cause(why))
            }
            Self::MovingToPrimary { standby, away, waits } => {
                write!(f, "requests return from {standby} ({away} % are still there){}", cause(waits))
            }
            Self::SwitchLimit { backend, switches, most } => write!(
                f,
                "requests stay with {backend}: {switches} switches within the hour, where maxSwitchesPerHour is {most}"
            ),
            Self::EvidenceUnknown { unknown } => {
                write!(f, "requests stay where they are, since the evidence is unknown{}", cause(unknown))
            }
            Self::FrozenByAnnotation { why } => {
                write!(f, "requests stay where they are, frozen by annotation{}", cause(why))
            }
            Self::MovedByAnnotation { standby } => {
                write!(f, "all requests go to {standby} by manual override")
            }
            Self::StandbyReady { standby } => write!(f, "{standby} could take all requests now"),
            Self::StandbyNotReady { why } => {
                write!(f, "no standby could take all requests now{}", cause(why))
            }
            Self::Observing { signs } => {
                write!(f, "mode Observe: requests stay where they are{}", cause(signs))
            }
            Self::Paused => f.write_str("mode Paused: requests stay where they are"),
        }
    }
}
