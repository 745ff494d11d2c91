//! A circuit breaker: a source that is down gets no queries except an occasional try. Pure.

use std::time::Duration;

use strum::IntoStaticStr;

/// Consecutive failures that open the breaker.
const FAILURES_TO_OPEN: u32 = 5;
/// First pause. It doubles with each failed try.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// State of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum BreakerState {
    /// Queries are sent.
    Closed,
    /// No query is sent until the pause is over.
    Open,
    /// One query is running as a try; no other is sent.
    HalfOpen,
}

/// The outcome of a permitted query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The source answered, or refused only this query.
    Answered,
    /// The source is unavailable or broken.
    Failed,
    /// No answer arrived in time. The cause may be the query itself, which [`Breaker::checked`] decides.
    Unanswered,
    /// It says nothing about the source: the query was not sent, or the source answered others meanwhile.
    Nothing,
}

/// The breaker of one source. Times are since a fixed moment, on a monotonic clock.
#[derive(Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    failures: u32,
    /// Unanswered queries since the last answer; it is not known yet whether they are failures.
    unanswered: u32,
    pause: Duration,
    until: Duration,
}

impl Breaker {
    /// A closed breaker.
    pub(super) fn new() -> Self {
        Self {
            state: BreakerState::Closed,
            failures: 0,
            unanswered: 0,
            pause: PAUSE_MIN,
            until: Duration::ZERO,
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// Failures since the last answer.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a check is needed if the source answers at all; [`Self::checked`] takes its result.
    pub(super) fn in_doubt(&self) -> bool {
        self.unanswered > 0
    }

    /// Permits a query at `now`, or returns the rest of the pause (0 while the try is running). After a permitted query, the
    /// caller must call [`Self::record`].
    pub(super) fn pass(&mut self, now: Duration) -> Result<(), Duration> {
        match self.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open if now >= self.until => {
                self.state = BreakerState::HalfOpen;
                Ok(())
            }
            BreakerState::Open | BreakerState::HalfOpen => Err(self.until.saturating_sub(now)),
        }
    }

    /// Records the outcome of a permitted query.
    pub(super) fn record(&mut self, outcome: Outcome, now: Duration) {
        self.count(outcome, 1, now);
    }

    /// Records the outcome of a query that any server answers immediately. If it fails too, each unanswered query was a
    /// failure of the source.
    pub(super) fn checked(&mut self, outcome: Outcome, now: Duration) {
        let unanswered = std::mem::take(&mut self.unanswered);
        match outcome {
            Outcome::Failed | Outcome::Unanswered => self.count(Outcome::Failed, unanswered + 1, now),
            other => self.count(other, 1, now),
        }
    }

    fn count(&mut self, outcome: Outcome, times: u32, now: Duration) {
        match (outcome, self.state) {
            (Outcome::Answered, _) => *self = Self::new(),
            // The try is not over until the check is.
            (Outcome::Unanswered, BreakerState::Closed | BreakerState::HalfOpen) => self.unanswered += times,
            (Outcome::Failed, BreakerState::Closed) => {
                self.failures += times;
                if self.failures >= FAILURES_TO_OPEN {
                    self.open(PAUSE_MIN, now);
                }
            }
            (Outcome::Failed, BreakerState::HalfOpen) => {
                self.failures += times;
                self.open((self.pause * 2).min(PAUSE_MAX), now);
            }
            // Sent before the breaker opened, so it is no new information.
            (Outcome::Failed | Outcome::Unanswered, BreakerState::Open) => {}
            // The try did not take place, so the next query may be the try.
            (Outcome::Nothing, BreakerState::HalfOpen) => self.open(self.pause, now),
            (Outcome::Nothing, _) => {}
        }
    }

    fn open(&mut self, pause: Duration, now: Duration) {
        self.state = BreakerState::Open;
        self.pause = pause;
        self.until = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Breaker, BreakerState, Outcome};

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..5 {
            assert_eq!(breaker.pass(at(0.0)), Ok(()));
            breaker.record(Outcome::Failed, at(0.0));
        }
        breaker
    }

    #[test]
    fn opens_only_after_five_consecutive_failures() {
        let mut breaker = Breaker::new();
        for _ in 0..4 {
            breaker.record(Outcome::Failed, at(0.0));
        }
        breaker.record(Outcome::Answered, at(0.0));
        for _ in 0..4 {
            breaker.record(Outcome::Failed, at(0.0));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.record(Outcome::Failed, at(0.0));
        assert_eq!((breaker.state(), breaker.failures()), (BreakerState::Open, 5));
    }

    #[test]
    fn after_the_pause_one_query_is_permitted_and_an_answer_closes_the_breaker() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(at(0.4)), Err(at(0.6)));
        assert_eq!(breaker.pass(at(1.0)), Ok(()));
        assert_eq!(breaker.pass(at(1.0)), Err(at(0.0)));
        breaker.record(Outcome::Answered, at(1.1));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.pass(at(1.1)), Ok(()));
    }

    #[test]
    fn the_pause_doubles_to_thirty_seconds() {
        let mut breaker = opened();
        let mut now = at(0.0);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(pause);
            assert_eq!(breaker.pass(now), Err(pause));
            now += pause;
            assert_eq!(breaker.pass(now), Ok(()), "after {pause:?}");
            breaker.record(Outcome::Failed, now);
        }
    }

    #[test]
    fn a_try_that_was_not_sent_is_repeated_after_the_same_pause() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(at(1.0)), Ok(()));
        breaker.record(Outcome::Nothing, at(1.0));
        assert_eq!(breaker.pass(at(1.5)), Err(at(0.5)));
        assert_eq!(breaker.pass(at(2.0)), Ok(()));
    }

    #[test]
    fn unanswered_queries_are_failures_only_if_the_check_fails_too() {
        let unanswered =
            |breaker: &mut Breaker| (0..8).for_each(|_| breaker.record(Outcome::Unanswered, at(5.0)));
        let mut slow_queries = Breaker::new();
        unanswered(&mut slow_queries);
        assert!(slow_queries.in_doubt());
        assert_eq!((slow_queries.state(), slow_queries.failures()), (BreakerState::Closed, 0));
        slow_queries.checked(Outcome::Answered, at(5.1));
        assert_eq!((slow_queries.state(), slow_queries.failures()), (BreakerState::Closed, 0));
        assert!(!slow_queries.in_doubt());

        let mut dead = Breaker::new();
        unanswered(&mut dead);
        dead.checked(Outcome::Unanswered, at(10.0));
        assert_eq!((dead.state(), dead.failures()), (BreakerState::Open, 9));
    }

    #[test]
    fn an_unanswered_try_waits_for_the_check_to_decide() {
        for (check, expected) in
            [(Outcome::Answered, BreakerState::Closed), (Outcome::Failed, BreakerState::Open)]
        {
            let mut breaker = opened();
            assert_eq!(breaker.pass(at(1.0)), Ok(()));
            breaker.record(Outcome::Unanswered, at(6.0));
            assert_eq!(breaker.state(), BreakerState::HalfOpen, "until the check is over");
            breaker.checked(check, at(6.1));
            assert_eq!(breaker.state(), expected);
        }
    }

    #[test]
    fn late_failures_do_not_lengthen_the_pause() {
        let mut breaker = opened();
        breaker.record(Outcome::Failed, at(0.9));
        assert_eq!(breaker.pass(at(1.0)), Ok(()));
    }
}
