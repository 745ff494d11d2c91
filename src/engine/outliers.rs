//! Outlier detection (gray failure): replicas that are ready and yet do worse than their peers are ejected, come back or
//! are replaced, within a budget.
//!
//! Its past is what status says, so it survives a restart of whoever calls it; in memory there is only how often in a row
//! a replica stood out, which begins anew.

mod past;
mod suspects;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::{
    past::Past,
    suspects::{Suspect, suspects},
};
use super::{Member, Memory, Observation, Sample, Value};
use crate::api::{Ejected, KpiState, Mode, OutlierRules, Reason, ReasonCode, RecoveryStatus, Validated};

/// How often to look while a replica waits for its replacement.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// An eviction that was refused is tried again after this time.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// The replicas side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// A number for each pod.
    pub sample: Sample,
    /// The target's pods that are there to stay.
    pub members: Vec<Member>,
    /// What was done before, as status tells.
    pub told: RecoveryStatus,
}

/// What is remembered of the replicas besides what status tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OutlierMemory {
    /// When the sample was taken that was counted last.
    at: Option<Timestamp>,
    /// Samples in a row in which a replica stood out.
    strikes: BTreeMap<String, i32>,
    /// What replicas were ejected for: their number, and the median of their peers.
    ejected_for: BTreeMap<String, (f64, f64)>,
    /// The eviction that did not take place.
    refused: Option<Refused>,
}

#[derive(Clone, Debug, PartialEq)]
struct Refused {
    pod: String,
    at: Timestamp,
    code: ReasonCode,
    message: String,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Who is out, who came back.
    pub status: RecoveryStatus,
    /// The replica to evict now.
    pub evict: Option<String>,
    /// What is to be said, the most important first; never empty.
    pub reasons: Vec<Reason>,
    /// When to look again because of it.
    pub next_look: Option<SignedDuration>,
}

impl Recovery {
    /// Notes that the replica was evicted.
    pub fn evicted(&mut self, memory: &mut Memory, pod: &str, now: Timestamp) {
        memory.outliers.refused = None;
        self.reasons
            .retain(|other| !matches!(other.code, ReasonCode::EvictionRefused | ReasonCode::EvictionFailed));
        for ejected in self.status.ejected.iter_mut().filter(|ejected| ejected.pod == pod) {
            ejected.evicted = Some(Time(now));
        }
        past::replaced(&mut self.status, now);
    }

    /// Notes that the replica was not evicted: a budget `refused` it, or it failed.
    pub fn not_evicted(
        &mut self,
        memory: &mut Memory,
        pod: &str,
        refused: bool,
        message: &str,
        now: Timestamp,
    ) {
        let code = if refused { ReasonCode::EvictionRefused } else { ReasonCode::EvictionFailed };
        let refused = Refused { pod: pod.to_owned(), at: now, code, message: message.to_owned() };
        self.reasons
            .retain(|other| !matches!(other.code, ReasonCode::EvictionRefused | ReasonCode::EvictionFailed));
        self.reasons.insert(0, refused.reason());
        memory.outliers.refused = Some(refused);
    }
}

impl Refused {
    fn reason(&self) -> Reason {
        Reason::new(self.code, 0, 0).about(&self.pod).detailed(self.message.clone())
    }
}

/// Judges the replicas at `now`; `None` without `spec.recovery`, or where the replicas are not known one by one.
///
/// - A replica is ejected once it stood out in `samples` new samples in a row, each of them fresh.
/// - Never so many that more than the budget are missing, for whatever reason; the worst go first.
/// - Who is ejected comes back after a time that doubles with each relapse, unless it was replaced by then.
/// - One is replaced at a time: when its requests are over, all others are ready, and the evidence is fresh. The pause
///   before the next replacement doubles too, so that a question that is wrong can't churn through a service.
#[must_use]
pub fn judge(spec: &Validated, seen: &Observation, memory: &mut Memory, now: Timestamp) -> Option<Recovery> {
    let (rules, peers) = (spec.outliers.as_ref()?, seen.peers.as_ref()?);
    let memory = &mut memory.outliers;
    let turn = Turn { spec, rules, seen, peers, now };
    let mut past = Past::of(peers, now);
    if spec.mode == Mode::Paused {
        let reasons = vec![turn.reason(ReasonCode::Paused)];
        return Some(Recovery { status: past.status(), reasons, ..Recovery::default() });
    }
    if spec.mode == Mode::Observe {
        past = Past::default();
    }
    past.give_back(now, turn.allowed());
    memory.keep_only(&past);
    let verdict = turn.look(memory, &past);
    let due = turn.due(&verdict, memory);
    let room = turn.room(&past);
    let (mut out, mut left) = (due, Vec::new());
    if out.len() > room {
        left = out.split_off(room);
    }
    if spec.mode == Mode::Observe {
        return Some(Recovery { reasons: turn.would(&out, &verdict), ..Recovery::default() });
    }
    for suspect in &out {
        past.eject(&suspect.pod, rules.base_ejection_time, turn.drain_time(), now);
        memory.strikes.remove(&suspect.pod);
        memory.ejected_for.insert(suspect.pod.clone(), (suspect.value, suspect.median));
    }
    let evict = turn.replaceable(&past, memory);
    let next_look = turn.next_look(&past);
    let reasons = turn.reasons(&past, memory, &verdict, &left);
    Some(Recovery { status: past.status(), evict, reasons, next_look })
}

/// What the samples say.
enum Verdict {
    /// Nothing that could be used: why.
    Unknown(String),
    /// Too few replicas have a number: how many.
    TooFew(usize),
    /// Those that stand out.
    Seen(Vec<Suspect>),
}

struct Turn<'a> {
    spec: &'a Validated,
    rules: &'a OutlierRules,
    seen: &'a Observation,
    peers: &'a Peers,
    now: Timestamp,
}

impl Turn<'_> {
    /// Replicas that may be missing.
    fn allowed(&self) -> usize {
        let replicas = usize::try_from(self.seen.replicas).unwrap_or_default();
        let percent = usize::try_from(self.rules.max_ejection_percent).unwrap_or_default();
        (replicas.saturating_mul(percent) / 100).max(1)
    }

    /// Replicas that may be ejected besides those that are missing.
    fn room(&self, past: &Past) -> usize {
        let serving = self.peers.members.iter().filter(|member| self.serves(member, past)).count();
        let missing = usize::try_from(self.seen.replicas).unwrap_or_default().saturating_sub(serving);
        self.allowed().saturating_sub(missing.max(past.out()))
    }

    fn serves(&self, member: &Member, past: &Past) -> bool {
        member.ready && !past.is_out(&member.name) && !self.goes(&member.name)
    }

    /// Whether a scale-down takes the replica anyway.
    fn goes(&self, pod: &str) -> bool {
        self.seen.rotation.as_ref().is_some_and(|rotation| rotation.draining.contains_key(pod))
    }

    /// Judges the sample, and counts it if it is a new one.
    fn look(&self, memory: &mut OutlierMemory, past: &Past) -> Verdict {
        let sample = &self.peers.sample;
        let (by_pod, at) = match (sample.state, &sample.value, sample.at) {
            (KpiState::Fresh, Some(Value::ByPod(by_pod)), Some(at)) => (by_pod, at),
            // Nobody got requests, as it seems.
            (KpiState::Empty, ..) => {
                memory.strikes.clear();
                return Verdict::TooFew(0);
            }
            (state, ..) => {
                // What is not known neither clears nor confirms: it breaks the row.
                memory.strikes.clear();
                let name: &'static str = state.into();
                let why = sample.message.as_deref().unwrap_or("the answer has no numbers by pod");
                return Verdict::Unknown(format!("{name}: {why}"));
            }
        };
        let judged = self.peers.members.iter().filter(|member| self.serves(member, past));
        let values: BTreeMap<&str, f64> = judged
            .filter_map(|member| Some((member.name.as_str(), *by_pod.get(&member.name)?)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        let Some(suspects) = suspects(&values, self.rules) else {
            memory.strikes.clear();
            return Verdict::TooFew(values.len());
        };
        let names: BTreeSet<&str> = suspects.iter().map(|suspect| suspect.pod.as_str()).collect();
        memory.strikes.retain(|pod, _| names.contains(pod.as_str()));
        if memory.at.replace(at) != Some(at) {
            for pod in names {
                let strikes = memory.strikes.entry(pod.to_owned()).or_default();
                *strikes = strikes.saturating_add(1);
            }
        }
        Verdict::Seen(suspects)
    }

    /// Those that stood out often enough, the worst first.
    fn due(&self, verdict: &Verdict, memory: &OutlierMemory) -> Vec<Suspect> {
        let Verdict::Seen(suspects) = verdict else { return Vec::new() };
        let often = |pod: &str| memory.strikes.get(pod).is_some_and(|strikes| *strikes >= self.rules.samples);
        suspects.iter().filter(|suspect| often(&suspect.pod)).cloned().collect()
    }

    /// How long the requests of an ejected replica may take before it is evicted.
    fn drain_time(&self) -> SignedDuration {
        let drain = self.spec.traffic.map(|traffic| traffic.drain_timeout).filter(|_| self.rules.replace);
        drain.unwrap_or_default()
    }

    /// The replica to evict now.
    fn replaceable(&self, past: &Past, memory: &OutlierMemory) -> Option<String> {
        let fresh = self.peers.sample.state == KpiState::Fresh;
        let others_ready = self.peers.members.iter().all(|member| member.ready || past.is_out(&member.name));
        let complete = i32::try_from(self.peers.members.len()).is_ok_and(|count| count >= self.seen.replicas);
        let tried =
            memory.refused.as_ref().is_some_and(|refused| self.now.duration_since(refused.at) < RETRY);
        if !(self.rules.replace && fresh && others_ready && complete)
            || tried
            || past.replaces(self.rules.base_ejection_time, self.now)
        {
            return None;
        }
        let told = self.peers.told.ejected_pods();
        let here = |pod: &str| self.peers.members.iter().any(|member| member.name == pod);
        let ready = |ejected: &&Ejected| {
            let pod = &ejected.pod;
            told.contains(pod) && here(pod) && !self.goes(pod) && self.finished(pod, ejected.since.0)
        };
        past.ejected().filter(ready).min_by_key(|ejected| ejected.since.0).map(|ejected| ejected.pod.clone())
    }

    /// Whether the requests of a replica are over, or had their time.
    fn finished(&self, pod: &str, since: Timestamp) -> bool {
        let Some(traffic) = self.spec.traffic else { return true };
        let said =
            self.seen.rotation.as_ref().is_some_and(|rotation| rotation.finished(pod, since, self.now));
        said || self.now.duration_since(since) >= traffic.drain_timeout
    }

    fn next_look(&self, past: &Past) -> Option<SignedDuration> {
        let waits = self.rules.replace && past.ejected().any(|ejected| ejected.evicted.is_none());
        if waits {
            return Some(PAUSE);
        }
        let returns = past.ejected().map(|ejected| ejected.until.0).min()?;
        Some(returns.duration_since(self.now).max(PAUSE))
    }

    fn reason(&self, code: ReasonCode) -> Reason {
        Reason::new(code, self.seen.replicas, self.seen.replicas)
    }

    fn reasons(
        &self,
        past: &Past,
        memory: &OutlierMemory,
        verdict: &Verdict,
        left: &[Suspect],
    ) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = memory.refused.iter().map(Refused::reason).collect();
        if !left.is_empty() {
            let serving = self.peers.members.iter().filter(|member| self.serves(member, past)).count();
            let replicas = usize::try_from(self.seen.replicas).unwrap_or_default();
            let names: Vec<&str> = left.iter().map(|suspect| suspect.pod.as_str()).collect();
            let reason = self.reason(ReasonCode::EjectionBudgetSpent).with("outliers", number(left.len()));
            let reason = reason.with("missing", number(replicas.saturating_sub(serving)));
            reasons.push(reason.with("allowed", number(self.allowed())).detailed(listed(&names)));
        }
        reasons.extend(past.ejected().map(|ejected| {
            let reason = self.reason(ReasonCode::OutlierEjected).about(&ejected.pod);
            match memory.ejected_for.get(&ejected.pod) {
                Some((value, median)) => reason.with("value", *value).with("median", *median),
                None => reason,
            }
        }));
        if reasons.is_empty() {
            reasons.push(self.calm(verdict));
        }
        reasons
    }

    /// What is to be said while nobody is out.
    fn calm(&self, verdict: &Verdict) -> Reason {
        match verdict {
            Verdict::Unknown(why) => self.reason(ReasonCode::OutliersUnknown).detailed(why.clone()),
            Verdict::TooFew(count) => self.reason(ReasonCode::TooFewPeers).with("replicas", number(*count)),
            Verdict::Seen(_) => self.reason(ReasonCode::NoOutliers),
        }
    }

    /// What would be done in mode Auto.
    fn would(&self, out: &[Suspect], verdict: &Verdict) -> Vec<Reason> {
        if out.is_empty() {
            return vec![self.calm(verdict)];
        }
        let names: Vec<&str> = out.iter().map(|suspect| suspect.pod.as_str()).collect();
        vec![self.reason(ReasonCode::Observing).detailed(listed(&names))]
    }
}

impl OutlierMemory {
    /// Forgets what belongs to replicas that are not out any more.
    fn keep_only(&mut self, past: &Past) {
        self.ejected_for.retain(|pod, _| past.is_out(pod));
        self.refused = self.refused.take().filter(|refused| past.is_out(&refused.pod));
    }
}

/// At most five names: a status is no list of pods.
fn listed(names: &[&str]) -> String {
    let (shown, more) = (names.iter().take(5).copied().collect::<Vec<_>>().join(", "), names.len());
    if more > 5 { format!("{shown} and {} more", more - 5) } else { shown }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
