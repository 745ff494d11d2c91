//! Outlier detection (gray failures): ready replicas that do worse than their peers are ejected, then returned or replaced,
//! within a budget.
//!
//! The history is read from the status, so it survives a restart. The counts of consecutive outlier samples are kept in
//! memory only and start from scratch.

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

/// The recovery decision of a turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Ejected and returned replicas.
    pub status: RecoveryStatus,
    /// The replica to evict now.
    pub evict: Option<String>,
    /// Reasons, the most important first; never empty.
    pub reasons: Vec<RecoveryReason>,
    /// Time until the next turn, if recovery needs one.
    pub next_look: Option<SignedDuration>,
}

impl Recovery {
    /// Records the eviction of a replica.
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

    /// Records a failed eviction. `refused` means that a disruption budget refused it.
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
/// - A replica is ejected once it was an outlier in `samples` consecutive new samples, each of them fresh.
/// - An ejection never makes more replicas missing, for whatever reason, than the budget allows; the worst outliers are
///   ejected first.
/// - An ejected replica returns after a time that doubles with each relapse, unless it was replaced by then.
/// - Replicas are replaced one at a time: once the replica is drained, all others are ready, and the sample is fresh. The
///   pause before the next replacement doubles too, so that a wrong query can't replace all pods of a service.
pub(super) fn judge(
    spec: &Validated,
    seen: &Observation,
    memory: &mut OutlierMemory,
    now: Timestamp,
) -> Option<Recovery> {
    let rules = spec.outliers.as_ref()?;
    let Some(peers) = &seen.peers else {
        let why = "the target's pods can't be listed".to_owned();
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
