//! What a candidate should do with a lease as it last saw it.
//!
//! The rule is client-go's: the times that a record carries are never compared with this node's clock. A lease has
//! run out when this process has not seen it change for as long as its holder asked for.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;

use super::LeaseParams;

/// A lease as one candidate saw it. Times are since a start of its own, by its monotonic clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseView {
    /// The record as it was last read or written; it stays when the object is deleted, for its holder may not know.
    pub record: Option<LeaseSpec>,
    /// When this process first saw the record as it is.
    pub changed_at: Duration,
    /// When the last write that made or kept this process the leader was sent; `None` if it does not lead.
    pub renewed_at: Option<Duration>,
    /// Whether this process is about to stop.
    pub leaving: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the lease in one's own name.
    Acquire {
        /// `leaseTransitions` to write: one more than before if the holder changes.
        transitions: i32,
    },
    /// Write it again to keep it.
    Renew,
    /// Leave it to its holder and look again.
    Follow {
        /// Who holds it.
        holder: Option<String>,
        /// When to look again; not beyond the moment at which it runs out.
        recheck_in: Duration,
    },
    /// Give it up, so that the next need not wait.
    Release,
}

impl LeaseView {
    /// Takes in the record as it was read at `now`.
    pub fn observe(&mut self, record: Option<LeaseSpec>, now: Duration) {
        if record.is_some() && self.record != record {
            self.record = record;
            self.changed_at = now;
        }
    }

    /// Who holds it; a record without a holder was released.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.record.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// Until when this process leads without another renewal.
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

    /// When the lease runs out, as far as this process can tell. The holder's own duration counts: it may be
    /// configured otherwise than we are.
    fn runs_out_at(&self, params: &LeaseParams) -> Duration {
        let asked = self.record.as_ref().and_then(|record| record.lease_duration_seconds);
        let lasts = asked.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        self.changed_at + lasts.map_or(params.duration(), Duration::from_secs)
    }
}

/// What the candidate `me` should do at `now` with the lease as it last saw it.
///
/// A record in our own name is ours without waiting, also when we do not lead (any more): no other process has this
/// identity, so there is nobody to wait for. That needs identities with a part that is new in every process, as
/// [`identity`](super::identity) makes them.
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
    fn a_lease_that_does_not_exist_or_was_released_is_acquired_at_once() {
        assert_eq!(next(&LeaseView::default(), 0), Action::Acquire { transitions: 0 });
        assert_eq!(next(&held_by("", Some(15)), 100), Action::Acquire { transitions: 5 });
    }

    #[test]
    fn another_ones_lease_is_taken_when_it_was_not_seen_to_change_for_its_duration() {
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
    fn only_exactly_our_identity_is_ours() {
        assert_eq!(next(&held_by(ME, Some(15)), 100), Action::Acquire { transitions: 4 });
        assert_eq!(next(&held_by("plimsoll-0_b", Some(15)), 100), follow("plimsoll-0_b", 2));
        assert_eq!(next(&held_by("plimsoll-0", Some(15)), 100), follow("plimsoll-0", 2));
    }

    #[test]
    fn a_leader_renews_until_its_deadline_and_starts_anew_after_it() {
        let seen = LeaseView { renewed_at: Some(seconds(99)), ..held_by(ME, Some(15)) };
        assert_eq!(next(&seen, 108), Action::Renew);
        assert_eq!(next(&seen, 109), Action::Acquire { transitions: 4 });
    }

    #[test]
    fn who_leaves_releases_what_is_its_own_and_takes_nothing() {
        let leaving = |seen| LeaseView { leaving: true, ..seen };
        assert_eq!(next(&leaving(held_by(ME, Some(15))), 100), Action::Release);
        assert_eq!(next(&leaving(held_by("other", Some(15))), 500), follow("other", 2));
        let nobody = Action::Follow { holder: None, recheck_in: seconds(2) };
        assert_eq!(next(&leaving(LeaseView::default()), 0), nobody);
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
