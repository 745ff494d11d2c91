//! Stabilization windows of autoscaling/v2: the most cautious proposal of the window applies.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::step::Step;
use plimsoll_api::{DecisionReason, Validated};

/// Proposals are kept for at least this long: the longest window (autoscaling/v2: 3600 s).
const KEPT: SignedDuration = SignedDuration::from_secs(3600);

/// Proposals by time, the newest last; equal neighbours are kept once, with the time of the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recommendations {
    proposals: VecDeque<(Timestamp, i32)>,
    /// Time of the first proposal.
    since: Option<Timestamp>,
}

impl Recommendations {
    /// Records a proposal. Proposals out of order are dropped, and so are those older than both `window` and the longest
    /// window of a spec.
    pub fn record(&mut self, at: Timestamp, replicas: i32, window: SignedDuration) {
        self.since.get_or_insert(at);
        match self.proposals.back_mut() {
            Some((last, _)) if *last > at => return,
            Some((last, value)) if *value == replicas => *last = at,
            _ => self.proposals.push_back((at, replicas)),
        }
        let kept = window.max(KEPT);
        while self.proposals.front().is_some_and(|(old, _)| at.duration_since(*old) > kept) {
            self.proposals.pop_front();
        }
    }

    /// Replaces proposals later than `now` with the highest of them, at `now`. They count for one more window, but no longer.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let ahead = self.proposals.split_off(self.proposals.partition_point(|(at, _)| *at <= now));
        if let Some(highest) = ahead.into_iter().map(|(_, replicas)| replicas).max() {
            self.proposals.push_back((now, highest));
        }
        self.since = self.since.map(|since| since.min(now));
    }

    /// Proposals that are younger than `window`.
    fn within(&self, window: SignedDuration, now: Timestamp) -> impl Iterator<Item = &(Timestamp, i32)> {
        self.proposals.iter().filter(move |(at, _)| now.duration_since(*at) < window)
    }

    /// The highest proposal that is younger than `window`.
    pub fn highest(&self, window: SignedDuration, now: Timestamp) -> Option<i32> {
        self.within(window, now).map(|(_, replicas)| *replicas).max()
    }

    /// Whether proposals are known for all of `window`.
    pub fn covers(&self, window: SignedDuration, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= window)
    }
}

/// How far back proposals count.
pub(super) struct Windows {
    /// Upward.
    up: SignedDuration,
    /// Downward, at least [`Windows::range`].
    pub down: SignedDuration,
    /// The longest range behind a proposal.
    ///
    /// A fall counts once it fills the range: until Prometheus reports a target as gone (after two missed scrapes), its share
    /// is missing from the rate, and nothing else shows it.
    range: SignedDuration,
}

impl Windows {
    /// The windows of the spec, for proposals that reach back for `range`.
    ///
    /// A non-zero window of a service with KPIs is at least two periods, so that no single sample takes effect immediately.
    /// autoscaling/v2 evaluates every 15 s, and its windows are longer; here the period is configurable.
    pub fn of(spec: &Validated, range: SignedDuration) -> Self {
        let least = if spec.kpis.is_empty() { SignedDuration::ZERO } else { spec.period * 2 };
        let window = |length: SignedDuration| if length.is_zero() { length } else { length.max(least) };
        let (up, down) = (window(spec.scale_up.window), window(spec.scale_down.window));
        Self { up, down: down.max(range), range }
    }

    /// The longer of the two windows.
    pub fn longest(&self) -> SignedDuration {
        self.up.max(self.down)
    }
}

/// Limits `step` by the lowest proposal of the upward window and the highest of the downward window.
pub(super) fn stabilize(
    step: &mut Step,
    current: i32,
    recommendations: &Recommendations,
    windows: &Windows,
    now: Timestamp,
) {
    let proposed = step.replicas;
    let lowest = recommendations.within(windows.up, now).min_by_key(|(_, replicas)| *replicas).copied();
    let highest =
        recommendations.within(windows.down, now).max_by_key(|(at, replicas)| (*replicas, *at)).copied();
    let lowest = lowest.filter(|(_, replicas)| *replicas < proposed).unwrap_or((now, proposed));
    let highest = highest.filter(|(_, replicas)| *replicas > proposed).unwrap_or((now, proposed));
    let (down, (since, limit)) = if current < lowest.1 {
        (false, lowest)
    } else if current > highest.1 {
        (true, highest)
    } else if proposed < current {
        (true, (highest.0, current))
    } else {
        (false, (lowest.0, current))
    };
    if limit == proposed {
        return;
    }
    let left = |window: SignedDuration| (window - now.duration_since(since)).as_secs_f64().max(0.0).ceil();
    let reason = if down {
        let by_range = windows.range == windows.down;
        DecisionReason::ScaleDownStabilized {
            window_seconds: windows.down.as_secs_f64(),
            limit: highest.1,
            seconds_left: left(windows.down),
            range_seconds: by_range.then(|| windows.range.as_secs_f64()),
        }
    } else {
        DecisionReason::ScaleUpStabilized {
            window_seconds: windows.up.as_secs_f64(),
            limit: lowest.1,
            seconds_left: left(windows.up),
        }
    };
    step.bind(limit, reason);
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::Recommendations;

    #[test]
    fn equal_neighbours_are_kept_once_with_the_time_of_the_last() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut kept = Recommendations::default();
        for second in 0..10_000 {
            kept.record(at(second), 7, SignedDuration::ZERO);
        }
        assert_eq!(kept.proposals.len(), 1);
        kept.record(at(10_000), 3, SignedDuration::ZERO);
        let max = |now| kept.highest(SignedDuration::from_secs(300), at(now));
        assert_eq!(max(10_298), Some(7), "9,999 was the last time that 7 was proposed");
        assert_eq!(max(10_299), Some(3));
    }
}
