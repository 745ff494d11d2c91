//! Whether the primary fails, by samples of each sign.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{FailoverRules, KpiState, SignRule, Validated},
    engine::{
        Observation, Sample,
        evidence::{Graded, grade},
        memory::KpiMemory,
        observation::is_new_sample,
    },
};

/// What has no time of its own is no new sample sooner than this.
const PAUSE: SignedDuration = SignedDuration::from_millis(450);
/// Samples that are older say nothing about now, unless the service is looked at so seldom.
const OLD: SignedDuration = SignedDuration::from_mins(10);

/// What is remembered besides what status tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignMemory {
    /// The last samples of each sign.
    rings: Vec<(SignRule, Ring)>,
    /// Whether no replica at all was ready, whatever the signs are.
    dead: Ring,
    /// Since when all is well.
    pub(super) well_since: Option<Timestamp>,
    /// When the last step of a return was taken.
    pub(super) stepped: Option<Timestamp>,
    /// Since when the standby that requests go to would take none.
    pub(super) standby_lost: Option<Timestamp>,
}

/// The last samples of one sign, the newest last; `true` is bad.
#[derive(Clone, Debug, Default, PartialEq)]
struct Ring {
    at: Option<Timestamp>,
    bad: VecDeque<(Timestamp, bool)>,
}

/// What the signs say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Signs {
    /// One of them is bad often enough.
    pub fails: bool,
    /// None of its replicas is ready: it serves nothing.
    pub dead: bool,
    /// Those that are bad now, in words.
    pub bad: Vec<String>,
    /// Those that would have to be known and are not, in words.
    pub unknown: Vec<String>,
    /// Enough replicas are ready for a return.
    pub ready: bool,
}

impl Signs {
    /// Nothing is bad, nothing unknown, and enough is ready.
    pub fn well(&self) -> bool {
        self.ready && self.bad.is_empty() && self.unknown.is_empty()
    }
}

/// One sign at one time.
enum Sign {
    Good,
    Bad(String),
    /// There is nothing to measure: no replica is expected, no request is there to be counted.
    Nothing,
    Unknown(String),
}

/// The samples that signs are read from, each for what it is worth in the light of those before it: of half of the pods
/// nobody leaves or returns.
pub(super) fn samples(
    spec: &Validated,
    rules: &FailoverRules,
    seen: &Observation,
    memory: &mut BTreeMap<String, KpiMemory>,
    now: Timestamp,
) -> BTreeMap<String, Sample> {
    let of_a_sign = |name: &str| {
        rules.signs.iter().any(|sign| matches!(sign, SignRule::KpiAbove { kpi, .. } if kpi == name))
    };
    let graded = spec.kpis.iter().filter(|rule| of_a_sign(&rule.name)).map(|rule| {
        let kept = memory.entry(rule.name.clone()).or_default();
        let Graded { sample, .. } = grade(rule, seen.samples.get(&rule.name), kept, seen.pods.all(), now);
        (rule.name.clone(), sample)
    });
    graded.collect()
}

impl SignMemory {
    /// Takes a sample of each sign, if there is a new one. `expected` replicas were ready before.
    pub(super) fn look(
        &mut self,
        spec: &Validated,
        rules: &FailoverRules,
        seen: &Observation,
        samples: &BTreeMap<String, Sample>,
        expected: i32,
        now: Timestamp,
    ) -> Signs {
        self.follow(&rules.signs);
        let looks = i32::try_from(rules.of).unwrap_or(i32::MAX);
        let old = spec.period.checked_mul(looks).unwrap_or(SignedDuration::MAX).max(OLD);
        let ready = seen.pods.ready();
        let of = expected.min(seen.replicas);
        let ratio = (of > 0).then(|| f64::from(ready) / f64::from(of));
        let mut signs = Signs {
            dead: of > 0 && ready == 0,
            ready: ratio.is_some_and(|ratio| ratio > rules.return_above),
            ..Signs::default()
        };
        for (rule, ring) in &mut self.rings {
            ring.age(old, now);
            let (sign, at) = match rule {
                SignRule::ReadyBelow(below) => {
                    let sign = match ratio {
                        None => Sign::Nothing,
                        Some(ratio) if ratio < *below => {
                            Sign::Bad(format!("{ready} of {of} replicas are ready"))
                        }
                        Some(_) => Sign::Good,
                    };
                    (sign, None)
                }
                SignRule::KpiAbove { kpi, above } => by_kpi(samples.get(kpi), kpi, *above),
            };
            let new = ring.fresh(at, now);
            match sign {
                Sign::Good => ring.take(false, new, rules.of),
                Sign::Bad(words) => {
                    ring.take(true, new, rules.of);
                    signs.fails |= ring.fails(rules.samples);
                    signs.bad.push(words);
                }
                Sign::Nothing => {}
                Sign::Unknown(words) => signs.unknown.push(words),
            }
        }
        // A primary that serves nothing fails, also where only a KPI is looked at: without requests that has no value.
        let new = self.dead.fresh(None, now);
        self.dead.take(signs.dead, new, rules.of);
        if signs.dead {
            signs.fails |= self.dead.fails(rules.samples);
            if signs.bad.is_empty() {
                signs.bad.push(format!("none of {of} replicas is ready"));
            }
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

    /// What was bad before does not count any more.
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

    /// The time of a sample that was taken `at`, or is of now, if that is a new one.
    fn fresh(&self, at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        match (at, self.at) {
            (Some(at), before) => Some(at).filter(|at| is_new_sample(*at, before)),
            // One that lies ahead is of a clock that was set back since.
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

/// A sign that is a KPI, and when its sample was taken.
fn by_kpi(sample: Option<&Sample>, kpi: &str, above: f64) -> (Sign, Option<Timestamp>) {
    let Some(sample) = sample else {
        return (Sign::Unknown(format!("{kpi} is unmeasured")), None);
    };
    let state: &'static str = sample.state.into();
    let sign = match (sample.state, sample.number()) {
        (KpiState::Fresh, Some(value)) if value > above => {
            Sign::Bad(format!("{kpi} is {}, above {above}", (value * 1e3).round() / 1e3))
        }
        (KpiState::Fresh, Some(_)) => Sign::Good,
        // Without requests there is no share of errors and no latency.
        (KpiState::Empty | KpiState::NaN, _) => Sign::Nothing,
        _ => Sign::Unknown(format!("{kpi} is {state}")),
    };
    (sign, sample.at)
}
