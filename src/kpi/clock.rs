//! Detects a server clock that stands still or jumps back, since a cached answer looks as fresh as when it was made. Pure.

use std::time::Duration;

use jiff::Timestamp;

/// A step back of up to this is attributed to another replica behind the same address.
const REPLICA_SKEW: Duration = Duration::from_secs(1);
/// Local time that must pass before an unchanged server time counts as frozen.
const STANDSTILL: Duration = Duration::from_secs(1);

/// Comparison of an answer's evaluation time with that of the previous answer to the same query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ClockVerdict {
    /// It advanced, or there is no previous answer.
    Sound,
    /// It is the same as this long before.
    Frozen(Duration),
    /// It went back by this much. Reported once; then the new time is accepted.
    WentBack(Duration),
}

/// The newest evaluation time of one query, and when it was first seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClockMemory {
    seen: Option<(Timestamp, Duration)>,
}

impl ClockMemory {
    /// Judges an answer evaluated at `server` to a query that was sent at `sent` and answered at `received`
    /// (local, monotonic). The evaluation lies between the two, so a slow answer is never mistaken for a frozen one.
    pub(super) fn observe(&mut self, server: Timestamp, sent: Duration, received: Duration) -> ClockVerdict {
        let Some((before, first_seen)) = self.seen else {
            self.seen = Some((server, received));
            return ClockVerdict::Sound;
        };
        let step = server.duration_since(before);
        let waited = sent.saturating_sub(first_seen);
        if step.is_positive() {
            self.seen = Some((server, received));
            return ClockVerdict::Sound;
        }
        let back = step.unsigned_abs();
        if back.is_zero() {
            return if waited >= STANDSTILL { ClockVerdict::Frozen(waited) } else { ClockVerdict::Sound };
        }
        if back > REPLICA_SKEW || waited >= STANDSTILL {
            self.seen = Some((server, received));
            return ClockVerdict::WentBack(back);
        }
        ClockVerdict::Sound
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{ClockMemory, ClockVerdict};

    fn server(seconds: f64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + (seconds * 1000.0) as i64).unwrap()
    }

    fn local(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_advancing_clock_is_sound_at_any_offset() {
        let mut memory = ClockMemory::default();
        for (at, here) in [(0.0, 0.0), (15.0, 15.0), (15.001, 15.2), (29.0, 30.0), (200.0, 45.0)] {
            assert_eq!(
                memory.observe(server(at), local(here), local(here + 0.1)),
                ClockVerdict::Sound,
                "{at}"
            );
        }
    }

    #[test]
    fn the_same_time_a_second_later_is_frozen_until_it_advances() {
        let mut memory = ClockMemory::default();
        memory.observe(server(0.0), local(0.0), local(0.1));
        assert_eq!(
            memory.observe(server(0.0), local(1.0), local(9.0)),
            ClockVerdict::Sound,
            "sent within a second"
        );
        assert_eq!(memory.observe(server(0.0), local(15.1), local(15.2)), ClockVerdict::Frozen(local(15.0)));
        assert_eq!(memory.observe(server(0.0), local(30.1), local(30.2)), ClockVerdict::Frozen(local(30.0)));
        assert_eq!(memory.observe(server(0.001), local(45.0), local(45.1)), ClockVerdict::Sound);
    }

    #[test]
    fn a_jump_back_is_reported_once() {
        let mut memory = ClockMemory::default();
        memory.observe(server(100.0), local(0.0), local(0.1));
        assert_eq!(
            memory.observe(server(40.0), local(15.0), local(15.1)),
            ClockVerdict::WentBack(local(60.0))
        );
        assert_eq!(memory.observe(server(55.0), local(30.0), local(30.1)), ClockVerdict::Sound);
    }

    #[test]
    fn another_replicas_clock_a_little_behind_is_no_jump() {
        let mut memory = ClockMemory::default();
        memory.observe(server(100.0), local(0.0), local(0.1));
        assert_eq!(memory.observe(server(99.5), local(0.2), local(0.3)), ClockVerdict::Sound);
        assert_eq!(memory.observe(server(114.5), local(15.2), local(15.3)), ClockVerdict::Sound);
    }
}
