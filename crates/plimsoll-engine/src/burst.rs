//! Bursts: loads whose newest scrapes are far above the average of the window (Knative's panic mode).

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::proposal::Seen;

/// A newest scrape above this multiple of the window's average is a burst (Knative's panic threshold, 200 %).
const AT_ONCE: f64 = 2.0;
/// Three scrapes in a row above this multiple are a burst too: noise does not last.
const SUSTAINED: f64 = 1.25;
/// Consecutive scrapes that confirm a smaller rise.
const SUSTAINED_SCRAPES: usize = 3;
/// How long a burst prevents a scale-down after it was last seen (Knative's stable window).
const HOLD: SignedDuration = SignedDuration::from_secs(60);

/// The newest values of the last scrapes of one KPI, the newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scrapes(VecDeque<(Timestamp, f64)>);

impl Scrapes {
    /// Records the newest scrape. Returns the load to scale for if the newest scrapes are far above the window's average.
    pub fn burst(&mut self, seen: &Seen<'_>, average: f64) -> Option<f64> {
        let newest = seen.sample.newest.filter(|newest| newest.is_finite())?;
        let at = seen.sample.at.unwrap_or(seen.now);
        if self.0.back().is_none_or(|(last, _)| *last < at) {
            self.0.push_back((at, newest));
            while self.0.len() > SUSTAINED_SCRAPES {
                self.0.pop_front();
            }
        }
        if newest > average * AT_ONCE {
            return Some(newest);
        }
        let lowest = self.0.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        (self.0.len() == SUSTAINED_SCRAPES && lowest > average * SUSTAINED).then_some(lowest)
    }

    /// Drops scrapes later than `now`.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.0.retain(|(at, _)| *at <= now);
    }
}

/// The time until which a burst prevents a scale-down.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BurstHold(Option<Timestamp>);

impl BurstHold {
    /// Starts or renews the hold.
    pub fn begin(&mut self, now: Timestamp) {
        self.0 = now.checked_add(HOLD).ok();
    }

    /// Remaining time of the hold; `None` if there is none.
    pub fn left(&self, now: Timestamp) -> Option<SignedDuration> {
        self.0.filter(|until| *until > now).map(|until| until.duration_since(now))
    }

    /// Limits the remaining time to [`HOLD`].
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let latest = now.checked_add(HOLD).unwrap_or(Timestamp::MAX);
        self.0 = self.0.map(|until| until.min(latest));
    }
}
