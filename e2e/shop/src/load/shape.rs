//! The planned rate over time, and the start times of requests.
//!
//! Arrivals follow the integral of the rate exactly, for any ramp: the k-th request starts
//! where the integral reaches k (uniform), or a sum of k exponential gaps (a Poisson process
//! whose rate varies).

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::args::Spacing;
use crate::duration;

/// Highest rate that is accepted, in requests/s.
const HIGHEST_RATE: f64 = 1e6;

/// A period in which the rate changes linearly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Requests/s at its begin.
    pub from: f64,
    /// Requests/s at its end.
    pub to: f64,
    pub seconds: f64,
}

impl Segment {
    fn requests(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }

    /// Requests within the first `seconds` of the segment.
    fn requests_until(&self, seconds: f64) -> f64 {
        let at = self.from + (self.to - self.from) * seconds / self.seconds;
        (self.from + at) / 2.0 * seconds
    }

    /// Seconds until this number of requests have started; the inverse of [`Self::requests_until`].
    fn seconds_until(&self, requests: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        let root = (self.from * self.from + 2.0 * slope * requests).max(0.0).sqrt();
        let divisor = self.from + root;
        if divisor > 0.0 { (2.0 * requests / divisor).min(self.seconds) } else { 0.0 }
    }
}

/// The planned rate over the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan(pub Vec<Segment>);

impl Plan {
    /// Parses `20@30s,20..400@60s`: rates in requests/s with durations.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments: Result<Vec<_>, _> = text.split(',').map(|part| segment(part.trim())).collect();
        segments.map(Self).map_err(|error| format!("the shape {text:?} is not valid: {error}"))
    }

    pub fn seconds(&self) -> f64 {
        self.0.iter().map(|segment| segment.seconds).sum()
    }

    /// Requests planned until this time after the start, in seconds.
    pub fn requests_until(&self, seconds: f64) -> f64 {
        let mut begin = 0.0;
        let mut requests = 0.0;
        for segment in &self.0 {
            if seconds < begin + segment.seconds {
                return requests + segment.requests_until((seconds - begin).max(0.0));
            }
            begin += segment.seconds;
            requests += segment.requests();
        }
        requests
    }

    /// Start times of the requests, in seconds after the start of the run.
    pub fn arrivals(&self, spacing: Spacing, seed: u64) -> Arrivals {
        Arrivals {
            segments: self.0.clone().into_iter(),
            current: None,
            begin: 0.0,
            before: 0.0,
            next: 0.0,
            spacing,
            random: SmallRng::seed_from_u64(seed),
        }
    }
}

fn segment(part: &str) -> Result<Segment, String> {
    let (rates, time) = part
        .split_once('@')
        .ok_or_else(|| format!("{part:?} has no duration: RATE@DURATION or RATE..RATE@DURATION is needed"))?;
    let seconds = duration::parse_positive(time)?.as_secs_f64();
    let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
    Ok(Segment { from: rate(from)?, to: rate(to)?, seconds })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=HIGHEST_RATE).contains(&rate) => Ok(rate),
        _ => Err(format!("{text:?} is not a rate: a number from 0 to {HIGHEST_RATE} requests/s is needed")),
    }
}

/// Start times of the requests, in ascending order.
pub struct Arrivals {
    segments: std::vec::IntoIter<Segment>,
    current: Option<Segment>,
    /// Begin of the current segment, in seconds after the start.
    begin: f64,
    /// Requests planned before the current segment.
    before: f64,
    /// The integral of the rate at the last request.
    next: f64,
    spacing: Spacing,
    random: SmallRng,
}

impl Iterator for Arrivals {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        self.next += match self.spacing {
            Spacing::Uniform => 1.0,
            Spacing::Poisson => -(1.0 - self.random.random::<f64>()).ln(),
        };
        loop {
            let segment = match self.current {
                Some(segment) => segment,
                None => *self.current.insert(self.segments.next()?),
            };
            let within = self.next - self.before;
            // With some tolerance: otherwise rounding would drop the last request of a uniform plan.
            if within <= segment.requests() + 1e-9 {
                return Some(self.begin + segment.seconds_until(within.max(0.0)));
            }
            self.before += segment.requests();
            self.begin += segment.seconds;
            self.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_parsed() {
        let plan = Plan::parse("20@30s, 20..400@1m,400@20s,0@500ms").expect("valid");
        let wanted = [(20.0, 20.0, 30.0), (20.0, 400.0, 60.0), (400.0, 400.0, 20.0), (0.0, 0.0, 0.5)];
        let wanted: Vec<_> =
            wanted.iter().map(|&(from, to, seconds)| Segment { from, to, seconds }).collect();
        assert_eq!(plan.0, wanted);
        assert_eq!(plan.seconds(), 110.5);
        assert_eq!(plan.requests_until(1e9), 600.0 + 12_600.0 + 8_000.0);
        assert_eq!(plan.requests_until(60.0), 600.0 + (20.0 + 210.0) / 2.0 * 30.0);
    }

    #[test]
    fn the_error_of_a_bad_shape_has_the_part_and_the_allowed_form() {
        for (text, wanted) in [
            ("", "RATE@DURATION"),
            ("20", "\"20\" has no duration"),
            ("20@30", "250ms"),
            ("20@0s", "positive"),
            ("-1@1s", "from 0 to 1000000"),
            ("1..x@1s", "\"x\" is not a rate"),
            ("NaN@1s", "\"NaN\" is not a rate"),
            ("1@1s,,2@1s", "\"\" has no duration"),
        ] {
            let error = Plan::parse(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn uniform_arrivals_are_even_and_complete() {
        let plan = Plan::parse("10@2s,0@1s,10..30@1s").expect("valid");
        let all: Vec<f64> = plan.arrivals(Spacing::Uniform, 1).collect();
        assert_eq!(all.len(), 40);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((all[9] - 1.0).abs() < 1e-9 && (all[19] - 2.0).abs() < 1e-9);
        assert!(all[20] > 3.0, "nothing starts while the rate is 0");
        assert!((all[39] - 4.0).abs() < 1e-9);
    }

    #[test]
    fn poisson_arrivals_follow_the_rate_and_the_seed() {
        let plan = Plan::parse("0..1000@10s,1000@10s").expect("valid");
        let all: Vec<f64> = plan.arrivals(Spacing::Poisson, 3).collect();
        let again: Vec<f64> = plan.arrivals(Spacing::Poisson, 3).collect();
        assert_eq!(all, again);
        assert!((all.len() as f64 - 15_000.0).abs() < 4.0 * 15_000_f64.sqrt(), "{}", all.len());
        let early = all.iter().filter(|at| **at < 5.0).count() as f64;
        assert!((early - 1_250.0).abs() < 4.0 * 1_250_f64.sqrt(), "{early}");
        // A Poisson process: in windows of equal rate, variance and mean of the counts are equal.
        let mut counts = vec![0_f64; 100];
        all.iter().filter(|at| **at >= 10.0).for_each(|at| counts[((at - 10.0) * 10.0) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 100.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 99.0;
        assert!((0.5..2.0).contains(&(variance / mean)), "{variance} / {mean}");
    }
}
