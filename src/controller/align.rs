//! Aligns evaluations with scrapes: just after the next scrape, so that a new sample is used immediately. Pure.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use plimsoll_engine::SAME_SAMPLE;

/// Safety margin on top of the measured time until a scrape becomes visible to queries.
const MARGIN: SignedDuration = SignedDuration::from_millis(40);
/// Required precision of the time at which a sample becomes visible.
const PRECISION: SignedDuration = SignedDuration::from_millis(100);
/// Minimum time between two evaluations.
const PAUSE: SignedDuration = SignedDuration::from_millis(100);
/// Number of scrapes to keep.
const KEPT: usize = 8;

/// The scrapes behind one service's KPIs: when they were taken (Prometheus's clock) and first seen (ours).
///
/// Only differences within each clock are used, so the clocks need not agree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrapes {
    kept: VecDeque<Scrape>,
    /// Time of the last evaluation.
    looked: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
struct Scrape {
    /// By Prometheus's clock.
    taken: Timestamp,
    /// The last evaluation that did not see it.
    unseen: Option<Timestamp>,
    /// The first evaluation that saw it.
    seen: Timestamp,
}

/// The time from a scrape to the visibility of its sample, including the offset of the clocks: more than `over`, at most
/// `within`.
struct Delay {
    over: SignedDuration,
    within: SignedDuration,
}

impl Scrapes {
    /// Records the timestamp of the newest sample, seen at `now`.
    pub fn seen(&mut self, taken: Timestamp, now: Timestamp) {
        let step = self.kept.back().map(|last| taken.duration_since(last.taken));
        if step.is_none_or(|step| step > SAME_SAMPLE) {
            self.kept.push_back(Scrape { taken, unseen: self.looked, seen: now });
            while self.kept.len() > KEPT {
                self.kept.pop_front();
            }
        } else if step.is_some_and(|step| step < -SAME_SAMPLE) {
            // The clock was set back: the history is useless.
            self.kept.clear();
        }
        self.looked = Some(now);
    }

    /// The time until the next evaluation: at most `period`, ending just after a scrape if one is expected by then.
    #[must_use]
    pub fn next_look(&self, period: SignedDuration, now: Timestamp) -> SignedDuration {
        self.expected_within(period, now).unwrap_or(period)
    }

    fn expected_within(&self, period: SignedDuration, now: Timestamp) -> Option<SignedDuration> {
        let last = self.kept.back()?.taken;
        let interval = self.interval()?;
        // With many targets that are scraped at different times, there is no single time to wait for.
        if interval < period / 4 || interval < SignedDuration::from_millis(500) {
            return None;
        }
        let delay = self.delay(interval)?;
        let surely = delay.within + MARGIN;
        // Evaluations that are always late can't learn an earlier time, so halve the gap at each scrape.
        let aim =
            if delay.within - delay.over > PRECISION { (delay.over + delay.within) / 2 } else { surely };
        let overdue = next_at(last.checked_add(surely).ok()?, interval, now)?;
        if overdue.checked_sub(surely - aim).ok()? <= now {
            // This evaluation came too early; aim for the safe time now.
            return Some(overdue.duration_since(now).max(PAUSE)).filter(|wait| *wait <= period);
        }
        // Each scrape gets its own evaluation: there are at most four within a period.
        let next = next_at(last.checked_add(aim).ok()?, interval, now.checked_add(PAUSE).ok()?)?;
        Some(next.duration_since(now)).filter(|wait| *wait <= period)
    }

    /// The scrape interval, averaged to reduce jitter.
    fn interval(&self) -> Option<SignedDuration> {
        let taken = self.kept.iter().map(|scrape| scrape.taken);
        let steps = taken.clone().skip(1).zip(taken).map(|(later, earlier)| later.duration_since(earlier));
        let steps: Vec<f64> = steps.map(|step| step.as_secs_f64()).collect();
        let shortest = steps.iter().copied().reduce(f64::min)?;
        // Some scrapes were missed: a longer step spans several intervals.
        let intervals: f64 = steps.iter().map(|step| (step / shortest).round()).sum();
        SignedDuration::try_from_secs_f64(steps.iter().sum::<f64>() / intervals).ok()
    }

    fn delay(&self, interval: SignedDuration) -> Option<Delay> {
        let within = self.kept.iter().map(|scrape| scrape.seen.duration_since(scrape.taken)).min()?;
        let over =
            self.kept.iter().filter_map(|scrape| Some(scrape.unseen?.duration_since(scrape.taken))).max();
        let over = over.map_or(within, |over| over.max(within - interval).min(within));
        Some(Delay { over, within })
    }
}

/// The first of `first`, `first + interval`, … that is later than `now`, and at least one interval after the first.
fn next_at(first: Timestamp, interval: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    let behind = now.duration_since(first).as_secs_f64() / interval.as_secs_f64();
    // Bounded, so the cast can't lose anything.
    #[allow(clippy::cast_possible_truncation)]
    let steps = (behind.floor() + 1.0).clamp(1.0, 1e6) as i32;
    first.checked_add(interval * steps).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000_000 + millis).unwrap()
    }

    fn seconds(seconds: f64) -> SignedDuration {
        SignedDuration::from_secs_f64(seconds)
    }

    /// Simulates evaluations with scrapes every `interval` that are visible `delay` later; all in milliseconds.
    ///
    /// Returns how late the median scrape of the last twenty periods was seen, and the number of evaluations per period.
    fn follow(period: i64, interval: i64, delay: i64, skew: i64, phase: i64) -> (i64, f64) {
        let mut scrapes = Scrapes::default();
        let long = interval.max(period);
        let (mut now, mut newest, mut looks, mut late) = (phase, i64::MIN, 0, Vec::new());
        let mut turn = 0;
        while now < 60 * long {
            let taken = (now - delay).div_euclid(interval) * interval;
            if now >= 40 * long {
                looks += 1;
                if taken > newest {
                    late.push(now - (taken + delay));
                }
            }
            newest = taken;
            // Jitter of the timestamp in milliseconds.
            let jitter = turn * 7 % 11 - 5;
            turn += 1;
            scrapes.seen(at(taken + skew + jitter), at(now));
            // An evaluation takes 15 ms.
            now += 15;
            let wait = scrapes.next_look(SignedDuration::from_millis(period), at(now)).max(PAUSE);
            now += i64::try_from(wait.as_millis()).unwrap();
        }
        late.sort_unstable();
        (late[late.len() / 2], f64::from(looks) * period as f64 / (20 * long) as f64)
    }

    #[test]
    fn evaluations_follow_scrapes_closely_for_any_phase_and_clock_offset() {
        for (period, interval) in
            [(1_000, 1_000), (1_000, 5_000), (5_000, 5_000), (15_000, 5_000), (15_000, 30_000)]
        {
            for (delay, skew) in [(5, 0), (60, -300_000), (400, 300_000)] {
                for phase in (0..interval).step_by(170) {
                    let (late, looks) = follow(period, interval, delay, skew, phase);
                    let case =
                        format!("period {period}, scrapes every {interval}, delay {delay}, phase {phase}");
                    assert!(late <= 200, "{late} ms late: {case}");
                    let scrapes = (period / interval).max(1) as f64;
                    assert!(
                        (scrapes * 0.95..=scrapes * 2.0).contains(&looks),
                        "{looks} looks in a period: {case}"
                    );
                }
            }
        }
    }

    #[test]
    fn scrapes_at_irregular_times_do_not_change_the_period() {
        let mut scrapes = Scrapes::default();
        for taken in [0, 300, 900, 1_100] {
            scrapes.seen(at(taken), at(taken + 50));
        }
        assert_eq!(scrapes.next_look(seconds(15.0), at(1_200)), seconds(15.0));
    }
}
