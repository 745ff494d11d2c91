//! Outlier detection (gray failure): replicas that are ready and yet do worse than their peers are ejected, come back or
//! are replaced, within a budget.
//!
//! Its past is what status says, so it survives a restart of whoever calls it; in memory there is only how often in a row
//! a replica stood out, which begins anew.

mod past;
mod suspects;
mod turn;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::{past::Past, turn::Turn};
use super::{Member, Memory, Observation, Sample};
use plimsoll_api::{Mode, Reason, ReasonCode, RecoveryStatus, Validated};

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

/// Judges the replicas at `now`; `None` without `spec.recovery`.
///
/// - A replica is ejected once it stood out in `samples` new samples in a row, each of them fresh.
/// - Never so many that more than the budget are missing, for whatever reason; the worst go first.
/// - Who is ejected comes back after a time that doubles with each relapse, unless it was replaced by then.
/// - One is replaced at a time: when its requests are over, all others are ready, and the evidence is fresh. The pause
///   before the next replacement doubles too, so that a question that is wrong can't churn through a service.
#[must_use]
pub fn judge(spec: &Validated, seen: &Observation, memory: &mut Memory, now: Timestamp) -> Option<Recovery> {
    let rules = spec.outliers.as_ref()?;
    let Some(peers) = &seen.peers else {
        let reason = Reason::new(ReasonCode::OutliersUnknown, seen.replicas, seen.replicas);
        let reasons = vec![reason.detailed("the target does not say how it selects its pods")];
        return Some(Recovery { reasons, ..Recovery::default() });
    };
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

impl OutlierMemory {
    /// Forgets what belongs to replicas that are not out any more.
    fn keep_only(&mut self, past: &Past) {
        self.ejected_for.retain(|pod, _| past.is_out(pod));
        self.refused = self.refused.take().filter(|refused| past.is_out(&refused.pod));
    }
}
