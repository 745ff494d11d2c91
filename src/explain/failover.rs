//! The sentences about failover.

use super::{
    fact::fact,
    phrase::{detail, numbers, replicas, who, with},
};
use plimsoll_api::{Reason, ReasonCode};

/// What is to be said of failover, without a full stop.
pub(super) fn failover(reason: &Reason) -> String {
    use ReasonCode as C;
    let standby = who(reason, "a standby");
    let away = with(reason, "away", " (", " % are there)");
    match reason.code {
        C::StandbyFloor => {
            let asked = with(reason, "asked", " (", " more than it needs itself)");
            format!("another service asks for {}{asked}, as its standby is this one", replicas(reason.to))
        }
        C::ReturnFloor => format!("requests that come back from a standby need {}", replicas(reason.to)),
        C::MovingToStandby => format!("requests move to {standby}{away}{}", detail(reason)),
        C::StandbyServes => format!("all requests go to {standby}{}", detail(reason)),
        C::MovingToPrimary => {
            let left = with(reason, "away", " (", " % are still there)");
            format!("requests come back from {standby}{left}{}", detail(reason))
        }
        C::SwitchLimit => {
            let counts = numbers(reason, ["switches", "maxSwitches"])
                .map_or_else(String::new, |[is, most]| {
                    format!(": {is} switches within the hour, where maxSwitchesPerHour is {most}")
                });
            format!("requests stay with {}{counts}", who(reason, "whom they are with"))
        }
        C::MovedByAnnotation => format!("all requests go to {standby}, as a person said"),
        C::StandbyReady => format!("{standby} would take all requests now"),
        code => format!("{}{}", fact(code), detail(reason)),
    }
}
