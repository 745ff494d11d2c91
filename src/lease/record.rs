//! The three records that a candidate writes. Unknown fields are kept.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};

use super::LeaseParams;

/// The record of a lease acquired by `me`. The acquire time is kept if `me` holds the lease already.
pub(super) fn acquired(
    old: Option<&LeaseSpec>,
    me: &str,
    transitions: i32,
    params: &LeaseParams,
    wall: Timestamp,
) -> LeaseSpec {
    let ours = old.filter(|old| old.holder_identity.as_deref() == Some(me));
    let now = renew_time(ours, wall);
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(i32::try_from(params.duration().as_secs()).unwrap_or(i32::MAX)),
        lease_transitions: Some(transitions),
        acquire_time: ours.and_then(|ours| ours.acquire_time.clone()).or_else(|| Some(now.clone())),
        renew_time: Some(now),
        ..old.cloned().unwrap_or_default()
    }
}

/// The record of a renewed lease.
pub(super) fn renewed(old: &LeaseSpec, me: &str, params: &LeaseParams, wall: Timestamp) -> LeaseSpec {
    acquired(Some(old), me, old.lease_transitions.unwrap_or(0), params, wall)
}

/// The record of a released lease: no holder, and a duration of one second for candidates that ignore that (client-go's
/// `ReleaseOnCancel` writes the same).
pub(super) fn released(old: &LeaseSpec, wall: Timestamp) -> LeaseSpec {
    let now = renew_time(Some(old), wall);
    LeaseSpec {
        holder_identity: None,
        lease_duration_seconds: Some(1),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        ..old.clone()
    }
}

/// `wall` in microseconds, the precision of a Lease, but always later than in our own last record. Other candidates detect a
/// renewal only by a changed record, also if this node's clock stands still or is set back.
fn renew_time(ours: Option<&LeaseSpec>, wall: Timestamp) -> MicroTime {
    let now = Timestamp::from_microsecond(wall.as_microsecond()).unwrap_or(wall);
    let before = ours.and_then(|ours| ours.renew_time.as_ref());
    let next = before.and_then(|before| before.0.checked_add(SignedDuration::from_micros(1)).ok());
    MicroTime(next.map_or(now, |next| next.max(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_renewal_changes_the_record_even_if_the_wall_clock_stands_or_is_set_back() {
        let params = LeaseParams::default();
        let wall = at("2026-01-01T00:00:00.1234567Z");
        let mut records = vec![acquired(None, "me", 0, &params, wall)];
        for wall in [wall, wall, at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:01Z")] {
            let next = renewed(records.last().unwrap(), "me", &params, wall);
            records.push(next);
        }
        let times = records.iter().map(|record| record.renew_time.as_ref().unwrap().0.to_string());
        let acquired = records.iter().map(|record| &record.acquire_time);
        assert_eq!(
            times.collect::<Vec<_>>(),
            [
                "2026-01-01T00:00:00.123456Z",
                "2026-01-01T00:00:00.123457Z",
                "2026-01-01T00:00:00.123458Z",
                "2026-01-01T00:00:00.123459Z",
                "2026-01-01T00:00:01Z",
            ]
        );
        assert!(acquired.clone().all(|time| Some(time) == acquired.clone().next()));
    }

    #[test]
    fn a_released_record_keeps_the_transitions_and_unknown_fields() {
        let params = LeaseParams::default();
        let wall = at("2026-01-01T00:00:00Z");
        let foreign =
            LeaseSpec { strategy: Some("OldestEmulationVersion".to_owned()), ..LeaseSpec::default() };
        let held = acquired(Some(&foreign), "me", 7, &params, wall);
        let free = released(&held, wall);
        assert_eq!((free.holder_identity.as_deref(), free.lease_duration_seconds), (None, Some(1)));
        assert_eq!((free.lease_transitions, &free.strategy), (Some(7), &foreign.strategy));
        let next = acquired(Some(&free), "next", 8, &params, at("2026-01-01T00:00:05Z"));
        assert_eq!(next.acquire_time.unwrap().0, at("2026-01-01T00:00:05Z"));
        assert_eq!(next.lease_duration_seconds, Some(15));
    }
}
