//! Why requests go where they go.

use std::fmt;

use schemars::JsonSchema;
use strum::{EnumDiscriminants, EnumIter, IntoStaticStr};

use crate::{Percent, text::cause};

/// A reason of failover. What a list of signs says is a text of its own; it is empty where no sign says anything.
#[derive(Clone, Debug, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(FailoverCode),
    doc = "The name of a [`FailoverReason`].",
    derive(PartialOrd, Ord, Hash, EnumIter, IntoStaticStr, JsonSchema)
)]
pub enum FailoverReason {
    /// The service itself gets all requests.
    PrimaryServes {
        /// Signs that have too few requests to say anything.
        few: String,
    },
    /// There are signs that the service itself fails.
    PrimaryFailing {
        /// Which.
        signs: String,
    },
    /// It fails, and no standby would take its requests.
    NoStandbyReady {
        /// The signs, and what keeps each standby from it.
        signs: String,
    },
    /// It fails by a KPI, and so many other services are being switched that the KPI is not believed yet.
    FleetLimit {
        /// The signs.
        signs: String,
    },
    /// Requests move to a standby.
    MovingToStandby {
        /// Its name.
        standby: String,
        /// Share of the requests that are not at the primary.
        away: Percent,
        /// Why.
        why: String,
    },
    /// A standby gets all requests.
    StandbyServes {
        /// Its name.
        standby: String,
        /// Why.
        why: String,
    },
    /// Requests come back to the service itself, step by step.
    MovingToPrimary {
        /// Where they come from.
        standby: String,
        /// Share of the requests that are not at the primary.
        away: Percent,
        /// What the next step waits for.
        waits: String,
    },
    /// The service itself fails in part and keeps its requests: `maxSwitchesPerHour` is used up.
    SwitchLimit {
        /// The backend that has the requests.
        backend: String,
        /// Switches within the last hour.
        switches: usize,
        /// `maxSwitchesPerHour`.
        most: usize,
    },
    /// Nothing is moved: what would have to be known for it is not.
    EvidenceUnknown {
        /// Signs that are unknown.
        unknown: String,
    },
    /// Nothing is moved: an annotation said so.
    FrozenByAnnotation {
        /// The annotation's text, or what is wrong with it.
        why: String,
    },
    /// Requests go where an annotation said.
    MovedByAnnotation {
        /// The backend.
        standby: String,
    },
    /// A standby would take the requests now.
    StandbyReady {
        /// Its name.
        standby: String,
    },
    /// No standby would take all the requests now.
    StandbyNotReady {
        /// What keeps each from it.
        why: String,
    },
    /// mode: Observe: nothing is moved.
    Observing {
        /// The signs of failure.
        signs: String,
    },
    /// mode: Paused: held as it is.
    Paused,
}

impl FailoverReason {
    /// Its name.
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
                write!(f, "there are signs that the service fails{}", cause(signs))
            }
            Self::NoStandbyReady { signs } => {
                write!(f, "the service fails, and no standby would take its requests{}", cause(signs))
            }
            Self::FleetLimit { signs } => write!(
                f,
                "a KPI says that the service fails, as it does of many others: it is not believed yet{}",
                cause(signs)
            ),
            Self::MovingToStandby { standby, away, why } => {
                write!(f, "requests move to {standby} ({away} % are there){}", cause(why))
            }
            Self::StandbyServes { standby, why } => {
                write!(f, "all requests go to {standby}{}", cause(why))
            }
            Self::MovingToPrimary { standby, away, waits } => {
                write!(f, "requests come back from {standby} ({away} % are still there){}", cause(waits))
            }
            Self::SwitchLimit { backend, switches, most } => write!(
                f,
                "requests stay with {backend}: {switches} switches within the hour, where maxSwitchesPerHour is {most}"
            ),
            Self::EvidenceUnknown { unknown } => write!(
                f,
                "requests stay where they are, since what would move them is not known{}",
                cause(unknown)
            ),
            Self::FrozenByAnnotation { why } => {
                write!(f, "requests stay where they are, as a person said{}", cause(why))
            }
            Self::MovedByAnnotation { standby } => {
                write!(f, "all requests go to {standby}, as a person said")
            }
            Self::StandbyReady { standby } => write!(f, "{standby} would take all requests now"),
            Self::StandbyNotReady { why } => {
                write!(f, "no standby would take all requests now{}", cause(why))
            }
            Self::Observing { signs } => {
                write!(f, "mode Observe: requests stay where they are{}", cause(signs))
            }
            Self::Paused => f.write_str("mode Paused: requests stay where they are"),
        }
    }
}
