//! The sentences about replicas that stand out from their peers.

use super::{
    fact::fact,
    number::number,
    phrase::{counted, detail, finite, numbers, who},
};
use plimsoll_api::{Reason, ReasonCode};

/// What is to be said of outliers, without a full stop.
pub(super) fn outlier(reason: &Reason) -> String {
    use ReasonCode as C;
    let pod = who(reason, "a replica");
    let why = numbers(reason, ["value", "median"]).map_or_else(String::new, |[value, median]| {
        format!(": {value}, where the median of its peers is {median}")
    });
    match reason.code {
        C::TooFewPeers => match finite(reason, "replicas") {
            Some(count) => {
                format!("{} of at least 4 replicas have a number to be compared by", number(count))
            }
            None => fact(reason.code).to_owned(),
        },
        C::OutlierEjected => format!("{pod} stands out from its peers and is out{why}"),
        C::EjectionBudgetSpent => budget(reason),
        C::OutlierReturned => format!("{pod} is back"),
        C::OutlierReplaced => format!("{pod} was evicted, for another one in its place"),
        C::EvictionRefused => {
            format!("{pod} is not replaced, a PodDisruptionBudget does not allow it now{}", detail(reason))
        }
        C::EvictionFailed => format!("{pod} could not be evicted{}", detail(reason)),
        code => format!("{}{}", fact(code), detail(reason)),
    }
}

/// `3 more replicas stand out, but 2 of 10 are missing, where 2 may be: web-1, web-2, web-3`.
fn budget(reason: &Reason) -> String {
    let Some([missing, allowed]) = numbers(reason, ["missing", "allowed"]) else {
        return format!("{}{}", fact(reason.code), detail(reason));
    };
    let more = counted(reason, "outliers", "more replica stands out", "more replicas stand out");
    let verb = if missing == "1" { "is" } else { "are" };
    format!("{more}, but {missing} of {} {verb} missing, where {allowed} may be{}", reason.to, detail(reason))
}
