//! One turn of outlier detection: the verdict on the sample, ejections, replacement and reasons.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    memory::OutlierMemory,
    past::Past,
    suspects::{Suspect, suspects},
};
use crate::{Member, Observation, Peers, Value, Volume, observation::is_apart};
use plimsoll_api::{Ejected, KpiState, OutlierRules, RecoveryReason, Validated};

/// Time between turns while a replica waits for its replacement.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// A refused eviction is tried again after this time.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// The verdict on a sample.
pub(super) enum Verdict {
    /// The sample can't be used, with the reason.
    Unknown(String),
    /// Too few replicas have a value; their number.
    TooFew(usize),
    /// The outliers.
    Seen(Vec<Suspect>),
}

/// Input of one turn.
pub(super) struct Turn<'a> {
    pub spec: &'a Validated,
    pub rules: &'a OutlierRules,
    pub seen: &'a Observation,
    pub peers: &'a Peers,
    pub now: Timestamp,
}

impl Turn<'_> {
    /// Number of replicas that may be missing.
    pub fn allowed(&self) -> usize {
        let replicas = usize::try_from(self.seen.replicas).unwrap_or_default();
        let percent = usize::from(self.rules.max_ejection_percent);
        (replicas.saturating_mul(percent) / 100).max(1)
    }

    /// Number of replicas that may be ejected besides the missing ones.
    pub fn room(&self, past: &Past) -> usize {
        let serving = self.peers.members.iter().filter(|member| self.serves(member, past)).count();
        let missing = usize::try_from(self.seen.replicas).unwrap_or_default().saturating_sub(serving);
        self.allowed().saturating_sub(missing.max(past.out()))
    }

    fn serves(&self, member: &Member, past: &Past) -> bool {
        member.ready && !past.is_out(&member.name) && !self.is_draining(&member.name)
    }

    /// Whether a scale-down removes the replica anyway.
    fn is_draining(&self, pod: &str) -> bool {
        self.seen.rotation.as_ref().is_some_and(|rotation| rotation.draining.contains_key(pod))
    }

    /// Judges the sample, and counts it if it is a new one.
    pub fn look(&self, memory: &mut OutlierMemory, past: &Past) -> Verdict {
        let sample = &self.peers.sample;
        let (by_pod, at) = match (sample.state, &sample.value, sample.at) {
            (KpiState::Fresh, Some(Value::ByPod(by_pod)), Some(at)) => (by_pod, at),
            // Probably no replica got requests.
            (KpiState::Empty, ..) => {
                memory.strikes.clear();
                return Verdict::TooFew(0);
            }
            (state, ..) => {
                // An unknown value ends the row of consecutive samples.
                memory.strikes.clear();
                let name: &'static str = state.into();
                let why = sample.message.as_deref().unwrap_or("the answer has no value for each pod");
                return Verdict::Unknown(format!("{name}: {why}"));
            }
        };
        if let Volume::Unknown(why) = &sample.volume {
            memory.strikes.clear();
            return Verdict::Unknown(format!("the number of requests is unknown: {why}"));
        }
        let judged = self
            .peers
            .members
            .iter()
            .filter(|member| self.serves(member, past) && self.has_requests(&member.name));
        let values: BTreeMap<&str, f64> = judged
            .filter_map(|member| Some((member.name.as_str(), *by_pod.get(&member.name)?)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        let Some(suspects) = suspects(&values, self.rules) else {
            memory.strikes.clear();
            return Verdict::TooFew(values.len());
        };
        // A sample that overlaps the last one has the same events, so it does not count.
        if is_apart(at, memory.at, sample.reach) {
            let names: BTreeSet<&str> = suspects.iter().map(|suspect| suspect.pod.as_str()).collect();
            memory.at = Some(at);
            memory.strikes.retain(|pod, _| names.contains(pod.as_str()));
            for pod in names {
                let strikes = memory.strikes.entry(pod.to_owned()).or_default();
                *strikes = strikes.saturating_add(1);
            }
        }
        Verdict::Seen(suspects)
    }

    /// Whether a replica had enough requests for its value to be meaningful.
    fn has_requests(&self, pod: &str) -> bool {
        match &self.peers.sample.volume {
            Volume::Counted(Value::ByPod(by_pod)) => {
                by_pod.get(pod).is_some_and(|count| *count >= self.rules.request_volume)
            }
            Volume::Counted(Value::Single(count)) => *count >= self.rules.request_volume,
            Volume::Uncounted | Volume::Unknown(_) => true,
        }
    }

    /// The outliers with enough consecutive samples, the worst first.
    pub fn due(&self, verdict: &Verdict, memory: &OutlierMemory) -> Vec<Suspect> {
        let Verdict::Seen(suspects) = verdict else { return Vec::new() };
        let often = |pod: &str| memory.strikes.get(pod).is_some_and(|strikes| *strikes >= self.rules.samples);
        suspects.iter().filter(|suspect| often(&suspect.pod)).cloned().collect()
    }

    /// How long the requests of an ejected replica may take before it is evicted.
    pub fn drain_time(&self) -> SignedDuration {
        let drain = self.spec.traffic.map(|traffic| traffic.drain_timeout).filter(|_| self.rules.replace);
        drain.unwrap_or_default()
    }

    /// The replica to evict now.
    pub fn replaceable(&self, past: &Past, memory: &OutlierMemory) -> Option<String> {
        let fresh = self.peers.sample.state == KpiState::Fresh;
        let others_ready = self.peers.members.iter().all(|member| member.ready || past.is_out(&member.name));
        let complete = i32::try_from(self.peers.members.len()).is_ok_and(|count| count >= self.seen.replicas);
        let recent = |at| (SignedDuration::ZERO..RETRY).contains(&self.now.duration_since(at));
        let tried = memory.refused.as_ref().is_some_and(|refused| recent(refused.at));
        if !(self.rules.replace && fresh && others_ready && complete)
            || tried
            || past.replaces(self.rules.base_ejection_time, self.now)
        {
            return None;
        }
        let last_written = self.peers.last_written.ejected_pods();
        let here = |pod: &str| self.peers.members.iter().any(|member| member.name == pod);
        let ready = |ejected: &&Ejected| {
            let pod = &ejected.pod;
            last_written.contains(pod)
                && here(pod)
                && !self.is_draining(pod)
                && self.finished(pod, ejected.since.0)
        };
        past.ejected().filter(ready).min_by_key(|ejected| ejected.since.0).map(|ejected| ejected.pod.clone())
    }

    /// Whether a replica is drained or its drain has timed out.
    fn finished(&self, pod: &str, since: Timestamp) -> bool {
        let Some(traffic) = self.spec.traffic else { return true };
        let drained =
            self.seen.rotation.as_ref().is_some_and(|rotation| rotation.finished(pod, since, self.now));
        drained || self.now.duration_since(since) >= traffic.drain_timeout
    }

    pub fn next_look(&self, past: &Past) -> Option<SignedDuration> {
        let waits = self.rules.replace && past.ejected().any(|ejected| ejected.evicted.is_none());
        if waits {
            return Some(PAUSE);
        }
        let returns = past.ejected().map(|ejected| ejected.until.0).min()?;
        Some(returns.duration_since(self.now).max(PAUSE))
    }

    pub fn reasons(
        &self,
        past: &Past,
        memory: &OutlierMemory,
        verdict: &Verdict,
        left: &[Suspect],
    ) -> Vec<RecoveryReason> {
        let mut reasons: Vec<RecoveryReason> =
            memory.refused.iter().map(|refused| refused.reason.clone()).collect();
        if !left.is_empty() {
            let serving = self.peers.members.iter().filter(|member| self.serves(member, past)).count();
            let wanted = usize::try_from(self.seen.replicas).unwrap_or_default();
            reasons.push(RecoveryReason::EjectionBudgetSpent {
                outliers: left.len(),
                missing: wanted.saturating_sub(serving),
                allowed: self.allowed(),
                replicas: self.seen.replicas,
                pods: listed(left),
            });
        }
        reasons.extend(past.ejected().map(|ejected| RecoveryReason::OutlierEjected {
            pod: ejected.pod.clone(),
            judged: memory.ejected_for.get(&ejected.pod).copied(),
        }));
        if reasons.is_empty() {
            reasons.push(verdict.calm());
        }
        reasons
    }
}

impl Verdict {
    /// The reason while no replica is ejected.
    fn calm(&self) -> RecoveryReason {
        match self {
            Self::Unknown(why) => RecoveryReason::OutliersUnknown { why: why.clone() },
            Self::TooFew(replicas) => RecoveryReason::TooFewPeers { replicas: *replicas },
            Self::Seen(_) => RecoveryReason::NoOutliers,
        }
    }

    /// The reasons in mode Observe: what mode Auto would do.
    pub fn would(&self, out: &[Suspect]) -> Vec<RecoveryReason> {
        if out.is_empty() {
            return vec![self.calm()];
        }
        vec![RecoveryReason::Observing { pods: listed(out) }]
    }
}

/// At most five names, to keep the status short.
fn listed(suspects: &[Suspect]) -> String {
    let shown: Vec<&str> = suspects.iter().take(5).map(|suspect| suspect.pod.as_str()).collect();
    let more = suspects.len().saturating_sub(shown.len());
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
