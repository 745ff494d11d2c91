//! Outlier detection (gray failure): replicas that are ready and yet do worse than their peers are ejected, come back or
//! are replaced, within a budget.
//!
//! The history is read from the status, so it survives a restart. Only the number of times in a row that a replica stood out is
//! kept in memory and begins anew.

mod memory;
mod past;
mod suspects;
mod turn;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) use self::memory::OutlierMemory;
use self::{memory::Refused, past::Past, turn::Turn};
use super::Observation;
use plimsoll_api::{Mode, RecoveryReason, RecoveryStatus, Validated};

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Who is out, who came back.
    pub status: RecoveryStatus,
    /// The replica to evict now.
    pub evict: Option<String>,
    /// What is to be said, the most important first; never empty.
    pub reasons: Vec<RecoveryReason>,
    /// When to look again because of it.
    pub next_look: Option<SignedDuration>,
}

impl Recovery {
    /// Notes that the replica was evicted.
    pub(super) fn was_evicted(&mut self, memory: &mut OutlierMemory, pod: &str, now: Timestamp) {
        memory.refused = None;
        self.forget_eviction();
        for ejected in self.status.ejected.iter_mut().filter(|ejected| ejected.pod == pod) {
            ejected.evicted = Some(Time(now));
        }
        past::replaced(&mut self.status, now);
    }

    fn forget_eviction(&mut self) {
        use RecoveryReason::{EvictionFailed, EvictionRefused};
        self.reasons.retain(|other| !matches!(other, EvictionRefused { .. } | EvictionFailed { .. }));
    }

    /// Notes that the replica was not evicted: a budget `refused` it, or it failed.
    pub(super) fn was_not_evicted(
        &mut self,
        memory: &mut OutlierMemory,
        pod: &str,
        refused: bool,
        message: &str,
        now: Timestamp,
    ) {
        let (pod, why) = (pod.to_owned(), message.to_owned());
        let reason = if refused {
            RecoveryReason::EvictionRefused { pod: pod.clone(), why }
        } else {
            RecoveryReason::EvictionFailed { pod: pod.clone(), why }
        };
        self.forget_eviction();
        self.reasons.insert(0, reason.clone());
        memory.refused = Some(Refused { pod, at: now, reason });
    }
}

/// Judges the replicas at `now`; `None` without `spec.recovery`.
///
/// - A replica is ejected once it stood out in `samples` new samples in a row, each of them fresh.
/// - Never so many that more than the budget are missing, for whatever reason; the worst go first.
/// - Who is ejected comes back after a time that doubles with each relapse, unless it was replaced by then.
/// - One is replaced at a time: when its requests are over, all others are ready, and the evidence is fresh. The pause
///   before the next replacement doubles too, so that a question that is wrong can't churn through a service.
pub(super) fn judge(
    spec: &Validated,
    seen: &Observation,
    memory: &mut OutlierMemory,
    now: Timestamp,
) -> Option<Recovery> {
    let rules = spec.outliers.as_ref()?;
    let Some(peers) = &seen.peers else {
        let why = "the target does not say how it selects its pods".to_owned();
        let reasons = vec![RecoveryReason::OutliersUnknown { why }];
        return Some(Recovery { reasons, ..Recovery::default() });
    };
    let turn = Turn { spec, rules, seen, peers, now };
    let mut past = Past::of(peers, now);
    if spec.mode == Mode::Paused {
        let reasons = vec![RecoveryReason::Paused];
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
        return Some(Recovery { reasons: verdict.would(&out), ..Recovery::default() });
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
