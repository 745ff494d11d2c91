//! Decides what a candidate should do, given the lease as it last saw it.
//!
//! The rule is client-go's: the times in a record are never compared with this node's clock. A lease has expired when
//! this process has not seen it change for the duration in the record.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;

use super::LeaseParams;

/// A lease as one candidate saw it. Times are since the candidate's own start, by its monotonic clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseView {
    /// The record as it was last read or written. It is kept when the object is deleted, since its holder may not know.
    pub record: Option<LeaseSpec>,
    /// When this process first saw the current record.
    pub changed_at: Duration,
    /// When the last successful acquisition or renewal was sent; `None` if this process does not lead.
    pub renewed_at: Option<Duration>,
    /// Whether this process is about to stop.
    pub leaving: bool,
}

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the lease with this process as the holder.
    Acquire {
        /// `leaseTransitions` to write: incremented if the holder changes.
        transitions: i32,
    },
    /// Renew it.
    Renew,
    /// Leave it to its holder and check again later.
    Follow {
        /// Its holder.
        holder: Option<String>,
        /// Time until the next check; not beyond the expiry of the lease.
        recheck_in: Duration,
    },
    /// Release it, so that the next leader need not wait.
    Release,
}

impl LeaseView {
    /// Updates the view with the record read at `now`.
    pub fn observe(&mut self, record: Option<LeaseSpec>, now: Duration) {
        if record.is_some() && self.record != record {
            self.record = record;
            self.changed_at = now;
        }
    }

    /// The holder; a record without one was released.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.record.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// Time until which this process leads without another renewal.
    #[must_use]
    pub fn leads_until(&self, params: &LeaseParams) -> Option<Duration> {
        self.renewed_at.map(|at| at + params.renew_deadline())
    }

    /// Whether this process leads at `now`.
    #[must_use]
    pub fn leads(&self, params: &LeaseParams, now: Duration) -> bool {
        self.leads_until(params).is_some_and(|until| now < until)
    }

    fn transitions(&self) -> i32 {
        self.record.as_ref().and_then(|record| record.lease_transitions).unwrap_or(0)
    }

    /// When the lease expires, as far as this process can tell. The duration in the record counts, since the holder may
    /// be configured differently.
    fn runs_out_at(&self, params: &LeaseParams) -> Duration {
        let asked = self.record.as_ref().and_then(|record| record.lease_duration_seconds);
        let lasts = asked.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        self.changed_at + lasts.map_or(params.duration(), Duration::from_secs)
    }
}

/// Decides what the candidate `me` should do at `now` with the lease as it last saw it.
///
/// A record with our own identity can be acquired without waiting, also if this process does not lead (any more), since
/// no other process has this identity. That requires identities with a part that is unique for every process, as from
/// [`identity`](super::identity).
#[must_use]
pub fn evaluate(seen: &LeaseView, me: &str, params: &LeaseParams, now: Duration) -> Action {
    let follow = |recheck_in| Action::Follow { holder: seen.holder().map(str::to_owned), recheck_in };
    let ours = seen.holder() == Some(me);
    if seen.leaving {
        return if ours { Action::Release } else { follow(params.retry_period()) };
    }
    if ours {
        return if seen.leads(params, now) {
            Action::Renew
        } else {
            Action::Acquire { transitions: seen.transitions() }
        };
    }
    if seen.record.is_none() {
        return Action::Acquire { transitions: 0 };
    }
    let left = seen.runs_out_at(params).saturating_sub(now);
    if seen.holder().is_none() || left.is_zero() {
        return Action::Acquire { transitions: seen.transitions().saturating_add(1) };
    }
    follow(left.min(params.retry_period()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    const ME: &str = "plimsoll-0_a";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held_by(holder: &str, duration: Option<i32>) -> LeaseView {
        let record = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: duration,
            lease_transitions: Some(4),
            renew_time: Some(MicroTime(jiff::Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        };
        LeaseView { record: Some(record), changed_at: seconds(100), ..LeaseView::default() }
    }

    fn next(seen: &LeaseView, now: u64) -> Action {
        evaluate(seen, ME, &LeaseParams::default(), seconds(now))
    }

    fn follow(holder: &str, recheck: u64) -> Action {
        Action::Follow { holder: Some(holder.to_owned()), recheck_in: seconds(recheck) }
    }

    #[test]
    fn a_missing_or_released_lease_is_acquired_immediately() {
        assert_eq!(next(&LeaseView::default(), 0), Action::Acquire { transitions: 0 });
        assert_eq!(next(&held_by("", Some(15)), 100), Action::Acquire { transitions: 5 });
    }

    #[test]
    fn another_holders_lease_is_acquired_after_no_change_for_its_duration() {
        let seen = held_by("other", Some(15));
        assert_eq!(next(&seen, 100), follow("other", 2));
        assert_eq!(next(&seen, 114), follow("other", 1));
        assert_eq!(next(&seen, 115), Action::Acquire { transitions: 5 });
    }

    #[test]
    fn the_holders_own_duration_counts_and_ours_only_without_one() {
        assert_eq!(next(&held_by("other", Some(60)), 159), follow("other", 1));
        assert_eq!(next(&held_by("other", None), 114), follow("other", 1));
        assert_eq!(next(&held_by("other", Some(-1)), 115), Action::Acquire { transitions: 5 });
    }

    #[test]
    fn only_the_exact_identity_is_our_own() {
        assert_eq!(next(&held_by(ME, Some(15)), 100), Action::Acquire { transitions: 4 });
        assert_eq!(next(&held_by("plimsoll-0_b", Some(15)), 100), follow("plimsoll-0_b", 2));
        assert_eq!(next(&held_by("plimsoll-0", Some(15)), 100), follow("plimsoll-0", 2));
    }

    #[test]
    fn a_leader_renews_until_its_deadline_and_acquires_again_after_it() {
        let seen = LeaseView { renewed_at: Some(seconds(99)), ..held_by(ME, Some(15)) };
        assert_eq!(next(&seen, 108), Action::Renew);
        assert_eq!(next(&seen, 109), Action::Acquire { transitions: 4 });
    }

    #[test]
    fn a_leaving_candidate_releases_its_own_lease_and_acquires_none() {
        let leaving = |seen| LeaseView { leaving: true, ..seen };
        assert_eq!(next(&leaving(held_by(ME, Some(15))), 100), Action::Release);
        assert_eq!(next(&leaving(held_by("other", Some(15))), 500), follow("other", 2));
        let no_holder = Action::Follow { holder: None, recheck_in: seconds(2) };
        assert_eq!(next(&leaving(LeaseView::default()), 0), no_holder);
    }

    #[test]
    fn only_a_change_of_the_record_restarts_the_wait() {
        let mut seen = held_by("other", Some(15));
        let same = seen.record.clone();
        seen.observe(same.clone(), seconds(110));
        assert_eq!(seen.changed_at, seconds(100));
        seen.observe(None, seconds(111));
        assert_eq!((seen.changed_at, &seen.record), (seconds(100), &same));
        let earlier = LeaseSpec { renew_time: Some(MicroTime(jiff::Timestamp::MIN)), ..same.unwrap() };
        seen.observe(Some(earlier), seconds(112));
        assert_eq!(seen.changed_at, seconds(112), "a clock that was set back still renews");
    }
}
