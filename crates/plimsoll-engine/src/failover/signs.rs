//! Whether the primary fails, by the samples of each sign.

use std::collections::{BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::{Observation, Sample, Volume, evidence::Evidence, observation::is_apart};
use plimsoll_api::{FailoverRules, KpiState, SignRule, Validated};

/// Minimum time between two samples of a sign that has no sample times.
const PAUSE: SignedDuration = SignedDuration::from_millis(450);
/// Older samples don't count, unless the service is evaluated that seldom.
const OLD: SignedDuration = SignedDuration::from_mins(10);

/// Failover state besides the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignMemory {
    /// The last samples of each sign.
    rings: Vec<(SignRule, Ring)>,
    /// Samples of whether no replica was ready, independent of the configured signs.
    dead: Ring,
    /// Since when the primary is healthy: no sign is bad or unknown, and enough replicas are ready ([`Signs::well`]).
    pub(super) well_since: Option<Timestamp>,
    /// When the last step of a return was taken.
    pub(super) stepped: Option<Timestamp>,
    /// Since when the active standby can't take requests.
    pub(super) standby_lost: Option<Timestamp>,
}

/// The last samples of one sign, the newest last; `true` is bad.
#[derive(Clone, Debug, Default, PartialEq)]
struct Ring {
    at: Option<Timestamp>,
    bad: VecDeque<(Timestamp, bool)>,
}

/// The combined result of all signs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Signs {
    /// Whether a sign has enough bad samples.
    pub fails: bool,
    /// The sources of the failing KPIs if no pod sign fails: one wrong query can affect many services at the same time.
    pub sources: BTreeSet<String>,
    /// Whether no replica of the primary is ready: it serves nothing.
    pub dead: bool,
    /// Descriptions of the bad signs.
    pub bad: Vec<String>,
    /// Descriptions of the signs whose value is unknown.
    pub unknown: Vec<String>,
    /// Descriptions of the signs that would be bad, but have too few requests.
    pub few: Vec<String>,
    /// Whether enough replicas are ready for a return.
    pub ready: bool,
}

impl Signs {
    /// Whether no sign is bad or unknown, and enough replicas are ready.
    pub fn well(&self) -> bool {
        self.ready && self.bad.is_empty() && self.few.is_empty() && self.unknown.is_empty()
    }
}

/// The value of one sign.
enum Sign {
    Good,
    Bad(String),
    /// There is nothing to measure: no replica is expected, or there are too few requests. The text describes a bad value of
    /// too few requests.
    Nothing(Option<String>),
    Unknown(String),
}

impl SignMemory {
    /// Takes a sample of each sign, if there is a new one. `expected` replicas were ready before.
    pub(super) fn look(
        &mut self,
        spec: &Validated,
        rules: &FailoverRules,
        seen: &Observation,
        graded: &Evidence,
        expected: i32,
        now: Timestamp,
    ) -> Signs {
        self.follow(&rules.signs);
        let count = i32::try_from(rules.of).unwrap_or(i32::MAX);
        let ready = seen.pods.ready();
        let of = expected.min(seen.replicas);
        let ratio = (of > 0).then(|| f64::from(ready) / f64::from(of));
        let mut signs = Signs {
            dead: of > 0 && ready == 0,
            ready: ratio.is_some_and(|ratio| ratio > rules.return_above),
            ..Signs::default()
        };
        let mut by_pods = false;
        for (rule, ring) in &mut self.rings {
            let (sign, at, reach) = match rule {
                SignRule::ReadyBelow(below) => {
                    let sign = match ratio {
                        None => Sign::Nothing(None),
                        Some(ratio) if ratio < *below => {
                            Sign::Bad(format!("{ready} of {of} replicas are ready"))
                        }
                        Some(_) => Sign::Good,
                    };
                    (sign, None, SignedDuration::ZERO)
                }
                SignRule::KpiAbove { kpi, above, volume } => {
                    let mut graded = spec.kpis.iter().zip(graded);
                    let sample = graded.find(|(rule, _)| rule.name == *kpi).map(|(_, graded)| &graded.sample);
                    let reach = sample.map_or(SignedDuration::ZERO, |sample| sample.reach);
                    (by_kpi(sample, kpi, *above, *volume), sample.and_then(|sample| sample.at), reach)
                }
            };
            let pause = spec.period.saturating_add(reach);
            ring.age(pause.checked_mul(count).unwrap_or(SignedDuration::MAX).max(OLD), now);
            let new = ring.fresh(at, reach, now);
            match sign {
                Sign::Good => ring.take(false, new, rules.of),
                Sign::Bad(words) => {
                    ring.take(true, new, rules.of);
                    signs.bad.push(words);
                    match (ring.fails(rules.samples), rule) {
                        (true, SignRule::ReadyBelow(_)) => by_pods = true,
                        (true, SignRule::KpiAbove { kpi, .. }) => {
                            let of_kpi = spec.kpis.iter().filter(|known| known.name == *kpi);
                            signs.sources.extend(of_kpi.map(|known| known.source.clone()));
                        }
                        (false, _) => {}
                    }
                }
                Sign::Nothing(few) => signs.few.extend(few),
                Sign::Unknown(words) => signs.unknown.push(words),
            }
        }
        // A primary that serves nothing fails, even if only KPIs are configured: without requests these have no value.
        let new = self.dead.fresh(None, SignedDuration::ZERO, now);
        self.dead.take(signs.dead, new, rules.of);
        if signs.dead {
            by_pods |= self.dead.fails(rules.samples);
            if signs.bad.is_empty() {
                signs.bad.push(format!("none of {of} replicas is ready"));
            }
        }
        // A primary that has never been ready can't have failed: it is being rolled out.
        signs.fails = expected > 0 && (by_pods || !signs.sources.is_empty());
        if by_pods {
            signs.sources.clear();
        }
        self.well_since = signs.well().then(|| self.well_since.unwrap_or(now).min(now));
        signs
    }

    /// Keeps the samples of the signs that the spec still has.
    fn follow(&mut self, signs: &[SignRule]) {
        if self.rings.iter().map(|(rule, _)| rule).eq(signs) {
            return;
        }
        let before = std::mem::take(&mut self.rings);
        let ring =
            |rule: &SignRule| before.iter().find(|(known, _)| known == rule).map(|(_, ring)| ring.clone());
        self.rings = signs.iter().map(|rule| (rule.clone(), ring(rule).unwrap_or_default())).collect();
    }

    /// Drops all samples.
    pub(super) fn forget(&mut self) {
        self.rings.iter_mut().for_each(|(_, ring)| ring.bad.clear());
        self.dead.bad.clear();
    }
}

impl Ring {
    fn fails(&self, samples: usize) -> bool {
        self.bad.iter().filter(|(_, bad)| *bad).count() >= samples
    }

    fn age(&mut self, old: SignedDuration, now: Timestamp) {
        self.bad.retain(|(at, _)| now.duration_since(*at) < old);
    }

    /// The time of a sample that was taken `at`, or now if it has no time, if it is new and its range does not overlap that
    /// of the last one.
    fn fresh(&self, at: Option<Timestamp>, reach: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        match (at, self.at) {
            (Some(at), before) => Some(at).filter(|at| is_apart(*at, before, reach)),
            // A last sample in the future means that the clock was set back.
            (None, Some(before)) if (SignedDuration::ZERO..PAUSE).contains(&now.duration_since(before)) => {
                None
            }
            (None, _) => Some(now),
        }
    }

    fn take(&mut self, bad: bool, new: Option<Timestamp>, of: usize) {
        let Some(at) = new else { return };
        self.at = new;
        self.bad.push_back((at, bad));
        while self.bad.len() > of {
            self.bad.pop_front();
        }
    }
}

/// The value of a KPI sign that needs at least `least` requests.
fn by_kpi(sample: Option<&Sample>, kpi: &str, above: f64, least: f64) -> Sign {
    let Some(sample) = sample else { return Sign::Unknown(format!("{kpi} has no sample")) };
    let state: &'static str = sample.state.into();
    let value = match (sample.state, sample.number()) {
        (KpiState::Fresh, Some(value)) => value,
        // Without requests there is no error ratio and no latency.
        (KpiState::Empty | KpiState::NaN, _) => return Sign::Nothing(None),
        _ => return Sign::Unknown(format!("{kpi} is {state}")),
    };
    let bad = (value > above).then(|| format!("{kpi} is {}, above {above}", (value * 1e3).round() / 1e3));
    match (&sample.volume, sample.volume.total()) {
        (Volume::Unknown(why), _) => Sign::Unknown(format!("number of requests behind {kpi}: {why}")),
        (_, Some(count)) if count < least => Sign::Nothing(
            bad.map(|bad| format!("{bad}, but of {} requests, below requestVolume {least}", count.round())),
        ),
        _ => bad.map_or(Sign::Good, Sign::Bad),
    }
}
