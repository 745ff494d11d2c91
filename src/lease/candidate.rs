//! A candidate as a state machine: the next request to send, and the handling of its answer.
//!
//! The requests are sent by [`Elector`](super::Elector), or by a simulation in the tests.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

use super::{
    Action, Leadership, LeaseParams, LeaseView, evaluate,
    record::{acquired, released, renewed},
};

/// The next step. Exactly one step is in progress at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Read the lease.
    Read,
    /// Create the lease as given.
    Create(Box<Lease>),
    /// Replace the lease as given, if its resourceVersion is unchanged.
    Replace(Box<Lease>),
    /// Wait for at most this time.
    Wait(Duration),
    /// The candidate has ended.
    Done,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The wait is over.
    Waited,
    /// The lease that was read; `None` if it does not exist.
    Read(Option<Box<Lease>>),
    /// The write succeeded; the lease after it.
    Written(Box<Lease>),
    /// The write was rejected: the lease has changed.
    Conflict,
    /// No usable answer: a write may have taken effect or may still do so.
    Failed,
}

/// The lease object after the last read or write.
#[derive(Debug)]
enum Object {
    /// It has to be read before the next write.
    Unread,
    Absent,
    Present(Box<Lease>),
}

/// A process that takes part in the election.
#[derive(Debug)]
pub struct Candidate {
    me: String,
    params: LeaseParams,
    view: LeaseView,
    object: Object,
    since: Timestamp,
    /// Pause before the next request.
    pause: Option<Duration>,
    /// Conflicts since the last successful write.
    conflicts: u32,
    /// Whether the result of a write is unknown.
    in_doubt: bool,
    done: bool,
}

impl Candidate {
    /// Conflicts in a row after which a candidate pauses, or a leaving one gives up.
    const CONFLICTS_MAX: u32 = 3;

    /// A candidate without any state. `me` must be unique for every process.
    #[must_use]
    pub fn new(me: impl Into<String>, params: LeaseParams) -> Self {
        Self {
            me: me.into(),
            params,
            view: LeaseView::default(),
            object: Object::Unread,
            since: Timestamp::UNIX_EPOCH,
            pause: None,
            conflicts: 0,
            in_doubt: false,
            done: false,
        }
    }

    /// The next step. `now` is the monotonic time since the candidate's own start; `wall` is informational.
    pub fn step(&mut self, now: Duration, wall: Timestamp) -> Step {
        if self.done {
            return Step::Done;
        }
        if let Some(pause) = self.pause.take().filter(|pause| !pause.is_zero() && !self.view.leaving) {
            return Step::Wait(pause);
        }
        if matches!(self.object, Object::Unread) {
            return Step::Read;
        }
        let old = self.view.record.as_ref();
        match evaluate(&self.view, &self.me, &self.params, now) {
            Action::Acquire { transitions } => {
                self.write(acquired(old, &self.me, transitions, &self.params, wall))
            }
            Action::Renew => {
                self.write(renewed(&old.cloned().unwrap_or_default(), &self.me, &self.params, wall))
            }
            Action::Release => match (&self.object, old) {
                (Object::Present(_), Some(old)) => self.write(released(old, wall)),
                _ => Step::Done,
            },
            Action::Follow { .. } if self.view.leaving => Step::Done,
            Action::Follow { recheck_in, .. } => {
                self.object = Object::Unread;
                Step::Wait(recheck_in)
            }
        }
    }

    /// Handles at `now` the result of the step that was started at `sent`.
    pub fn answer(&mut self, answer: Answer, sent: Duration, now: Duration, wall: Timestamp) {
        match answer {
            Answer::Waited => {}
            Answer::Read(lease) => self.read(lease, now),
            Answer::Written(lease) => self.written(lease, sent, now, wall),
            Answer::Conflict => {
                self.object = Object::Unread;
                self.conflicts += 1;
                // Retry the first conflicts immediately; later ones with a pause, in case another client writes all the time.
                if self.conflicts >= Self::CONFLICTS_MAX {
                    self.pause = Some(self.params.retry_period());
                    self.done = self.view.leaving;
                }
            }
            Answer::Failed => {
                self.in_doubt = true;
                self.object = Object::Unread;
                // The duration of the request counts towards the pause.
                self.pause = Some(self.params.retry_period().saturating_sub(now.saturating_sub(sent)));
                self.done = self.view.leaving;
            }
        }
    }

    /// Stops leading, and from now on only releases the lease, if it may hold it. A step in progress counts as failed.
    pub fn leave(&mut self, underway: &Step) {
        self.view.leaving = true;
        self.view.renewed_at = None;
        if matches!(underway, Step::Create(_) | Step::Replace(_)) {
            self.in_doubt = true;
            self.object = Object::Unread;
        }
        self.conflicts = 0;
        self.done = !self.in_doubt && self.view.holder() != Some(self.me.as_str());
    }

    /// The leadership at `now`.
    #[must_use]
    pub fn leadership(&self, now: Duration) -> Leadership {
        if self.view.leads(&self.params, now) {
            let transitions =
                self.view.record.as_ref().and_then(|record| record.lease_transitions).unwrap_or(0);
            return Leadership::Leading { since: self.since, transitions };
        }
        let holder = self.view.holder().filter(|holder| *holder != self.me);
        Leadership::Following { holder: holder.map(str::to_owned) }
    }

    /// Time until which this process leads if no further renewal succeeds.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.view.leads_until(&self.params)
    }

    fn read(&mut self, lease: Option<Box<Lease>>, now: Duration) {
        self.view.observe(lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default()), now);
        if self.view.holder() != Some(self.me.as_str()) {
            self.view.renewed_at = None;
            self.in_doubt = false;
        }
        self.object = lease.map_or(Object::Absent, Object::Present);
    }

    fn written(&mut self, lease: Box<Lease>, sent: Duration, now: Duration, wall: Timestamp) {
        self.view.observe(lease.spec.clone(), now);
        self.object = Object::Present(lease);
        self.conflicts = 0;
        self.in_doubt = false;
        if self.view.leaving {
            self.done = true;
        } else {
            if !self.view.leads(&self.params, now) {
                self.since = wall;
            }
            // The time of sending, not of the answer: the other candidates may have started to wait in between.
            self.view.renewed_at = Some(sent);
            self.pause = Some(self.params.retry_period());
        }
    }

    fn write(&self, spec: LeaseSpec) -> Step {
        match &self.object {
            Object::Present(lease) => {
                Step::Replace(Box::new(Lease { spec: Some(spec), ..Lease::clone(lease) }))
            }
            Object::Absent | Object::Unread => {
                Step::Create(Box::new(Lease { spec: Some(spec), ..Lease::default() }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A candidate that has acquired the lease by a request sent at 10 s, and the lease.
    fn leader() -> (Candidate, Box<Lease>) {
        let mut candidate = Candidate::new("me", LeaseParams::default());
        assert_eq!(candidate.step(seconds(0), WALL), Step::Read);
        candidate.answer(Answer::Read(None), seconds(0), seconds(0), WALL);
        let Step::Create(lease) = candidate.step(seconds(10), WALL) else { panic!("it creates the lease") };
        candidate.answer(Answer::Written(lease.clone()), seconds(10), seconds(14), WALL);
        (candidate, lease)
    }

    #[test]
    fn the_deadline_counts_from_the_time_of_sending_the_last_renewal() {
        let (candidate, _) = leader();
        assert_eq!(candidate.leads_until(), Some(seconds(20)));
        assert!(candidate.leadership(seconds(19)).is_leading());
        assert_eq!(candidate.leadership(seconds(20)), Leadership::Following { holder: None });
    }

    #[test]
    fn another_holder_in_the_record_ends_the_leadership_immediately() {
        let (mut candidate, mut lease) = leader();
        lease.spec.as_mut().unwrap().holder_identity = Some("other".to_owned());
        candidate.answer(Answer::Conflict, seconds(16), seconds(16), WALL);
        assert!(candidate.leadership(seconds(16)).is_leading(), "a conflict alone is no loss");
        candidate.answer(Answer::Read(Some(lease)), seconds(16), seconds(16), WALL);
        assert_eq!(
            candidate.leadership(seconds(16)),
            Leadership::Following { holder: Some("other".to_owned()) }
        );
        assert_eq!(candidate.leads_until(), None);
    }

    #[test]
    fn a_failed_renewal_is_retried_after_reading_the_lease() {
        let (mut candidate, lease) = leader();
        assert_eq!(candidate.step(seconds(14), WALL), Step::Wait(seconds(2)));
        assert!(matches!(candidate.step(seconds(16), WALL), Step::Replace(_)));
        candidate.answer(Answer::Failed, seconds(16), seconds(17), WALL);
        assert_eq!(candidate.step(seconds(17), WALL), Step::Wait(seconds(1)), "the rest of the retry period");
        assert_eq!(candidate.step(seconds(18), WALL), Step::Read);
        candidate.answer(Answer::Read(Some(lease)), seconds(18), seconds(18), WALL);
        assert!(matches!(candidate.step(seconds(18), WALL), Step::Replace(_)));
    }

    #[test]
    fn repeated_conflicts_are_retried_with_a_pause() {
        let (mut candidate, _) = leader();
        for _ in 0..Candidate::CONFLICTS_MAX {
            candidate.answer(Answer::Conflict, seconds(15), seconds(15), WALL);
        }
        assert_eq!(candidate.step(seconds(15), WALL), Step::Wait(seconds(2)));
        assert_eq!(candidate.step(seconds(17), WALL), Step::Read);
    }

    #[test]
    fn a_leaving_candidate_releases_the_lease_even_after_a_renewal_without_an_answer() {
        let (mut candidate, lease) = leader();
        candidate.step(seconds(14), WALL);
        let underway = candidate.step(seconds(16), WALL);
        candidate.leave(&underway);
        assert_eq!(candidate.leadership(seconds(16)), Leadership::Following { holder: None });
        assert_eq!(candidate.step(seconds(16), WALL), Step::Read, "the renewal may have taken effect");
        candidate.answer(Answer::Read(Some(lease)), seconds(16), seconds(16), WALL);
        let Step::Replace(released) = candidate.step(seconds(16), WALL) else {
            panic!("it releases the lease")
        };
        assert_eq!(released.spec.as_ref().unwrap().holder_identity, None);
        candidate.answer(Answer::Written(released), seconds(16), seconds(16), WALL);
        assert_eq!(candidate.step(seconds(16), WALL), Step::Done);
    }

    #[test]
    fn a_follower_leaves_without_a_request() {
        let (mut candidate, mut lease) = leader();
        lease.spec.as_mut().unwrap().holder_identity = Some("other".to_owned());
        candidate.answer(Answer::Read(Some(lease)), seconds(16), seconds(16), WALL);
        candidate.leave(&Step::Wait(seconds(2)));
        assert_eq!(candidate.step(seconds(16), WALL), Step::Done);
    }
}
