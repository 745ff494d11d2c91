//! Which changes are worth a write of the status, and which an event.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{conditions::bound, status::changed};
use crate::{
    actuate::Note,
    controller::{capability::Reported, outcome::Written},
};
use plimsoll_api::{
    Arrival, ConditionCode, DecisionCode, ReasonCode, RecoveryStatus, ScalableServiceStatus, StandbyStatus,
    Summary, TrafficStatus,
};

/// Minimum time between writes of minor changes (a KPI moved a little).
pub const SOFT_PAUSE: Duration = Duration::from_secs(30);
/// Minimum time between writes of other changes: it batches pods that become ready one after the other.
pub const HARD_PAUSE: Duration = Duration::from_secs(1);
/// Fraction of its limit by which a KPI has to move to be worth a write.
const MOVED: f64 = 0.05;

/// The worth of writing a new status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Nothing relevant changed.
    Nothing,
    /// Only numbers or sentences changed.
    Soft,
    /// A state changed.
    Hard,
    /// The balancers depend on it; written immediately.
    Urgent,
}

/// The worth of writing `new` after `old`.
#[must_use]
pub fn worth(old: &ScalableServiceStatus, new: &ScalableServiceStatus) -> Worth {
    if draining(old) != draining(new)
        || arrived(old) != arrived(new)
        || ejected(old) != ejected(new)
        || shares(old) != shares(new)
    {
        return Worth::Urgent;
    }
    if hard(old) != hard(new) {
        return Worth::Hard;
    }
    let codes = |status: &ScalableServiceStatus| -> Vec<DecisionCode> {
        let newest = status.decisions.first();
        newest.map(|record| record.reasons.iter().map(|reason| reason.code).collect()).unwrap_or_default()
    };
    // The obstacle to traffic can change while the reason stays the same.
    let sentence = |status: &ScalableServiceStatus| -> Option<String> {
        let found = status.conditions.iter().find(|condition| condition.type_ == "TrafficSynced");
        found.map(|condition| condition.message.clone())
    };
    let moved = old.kpis.iter().zip(&new.kpis).any(|(old, new)| match (old.used, new.used) {
        (Some(old), Some(new)) => (old - new).abs() > MOVED,
        (old, new) => old.is_some() != new.is_some(),
    });
    if moved || codes(old) != codes(new) || sentence(old) != sentence(new) {
        Worth::Soft
    } else {
        Worth::Nothing
    }
}

/// Draining pods.
fn draining(status: &ScalableServiceStatus) -> BTreeSet<String> {
    status.traffic.as_ref().map(TrafficStatus::draining_pods).unwrap_or_default()
}

/// Arrived pods.
fn arrived(status: &ScalableServiceStatus) -> &[Arrival] {
    status.traffic.as_ref().map_or(&[], |traffic| &traffic.arrived)
}

/// Ejected pods.
fn ejected(status: &ScalableServiceStatus) -> BTreeSet<String> {
    status.recovery.as_ref().map(RecoveryStatus::ejected_pods).unwrap_or_default()
}

/// The share of each backend.
fn shares(status: &ScalableServiceStatus) -> impl PartialEq {
    let failover = status.failover.as_ref();
    let backend = |standby: &StandbyStatus| (standby.name.clone(), standby.weight, standby.addresses.clone());
    failover.map(|failover| {
        let backends: Vec<_> = failover.backends.iter().map(backend).collect();
        (failover.active.clone(), backends)
    })
}

/// The parts of a status whose change is [`Worth::Hard`].
fn hard(status: &ScalableServiceStatus) -> impl PartialEq {
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.observed_generation))
        .collect();
    let kpis: Vec<_> =
        status.kpis.iter().map(|kpi| (kpi.name.clone(), kpi.state, kpi.target.to_bits())).collect();
    let changes: Vec<_> =
        status.decisions.iter().filter(|record| changed(record)).map(|record| record.time.clone()).collect();
    let summary = Summary { kpi: String::new(), why: String::new(), ..status.summary.clone() };
    let counts =
        (status.replicas, status.ready_replicas, status.desired_replicas, status.observed_generation);
    let balancers = status.traffic.as_ref().map(|traffic| traffic.ready_balancers);
    let parts = (status.selector.clone(), balancers, status.recovery.clone(), status.failover.clone());
    (conditions, kpis, changes, summary, counts, parts)
}

/// The events of a change of the replicas.
#[must_use]
pub fn scaled(change: &Reported<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(done) = change.outcome.done()
        && done.progress.written == Written::Changed
    {
        let (from, to) = (done.decided.seen, done.decided.decision.replicas);
        let reason = if to > from { DecisionCode::ScaledUp } else { DecisionCode::ScaledDown };
        let message = format!("{from} -> {to} replicas. {}", bound(done));
        notes.push(Note { warning: false, reason: reason.into(), message });
        let mut steps = done.decided.decision.reasons.iter();
        if let Some(late) = steps.find(|step| step.code() == DecisionCode::DrainTimedOut) {
            notes.push(Note { warning: true, reason: late.code().into(), message: late.to_string() });
        }
    }
    notes
}

/// Reasons of the condition Ready that are also published as events.
const READY_EVENTS: &[ReasonCode] = &[
    ReasonCode::Condition(ConditionCode::ScalerConflict),
    ReasonCode::Condition(ConditionCode::TargetNotFound),
    ReasonCode::Condition(ConditionCode::TargetNotScalable),
    ReasonCode::Condition(ConditionCode::InvalidSpec),
    ReasonCode::Condition(ConditionCode::MetricsUnavailable),
    ReasonCode::Condition(ConditionCode::MetricsIncomplete),
    ReasonCode::Decision(DecisionCode::ScaleFailed),
    ReasonCode::Decision(DecisionCode::ScalingIneffective),
    ReasonCode::Decision(DecisionCode::MaxReplicas),
    ReasonCode::Condition(ConditionCode::BalancersFailed),
    ReasonCode::Condition(ConditionCode::BalancerOutOfSync),
    ReasonCode::Condition(ConditionCode::RouteNotFound),
    ReasonCode::Condition(ConditionCode::RouteRefused),
    ReasonCode::Condition(ConditionCode::RouteNotAccepted),
    ReasonCode::Condition(ConditionCode::RouteNotServing),
    ReasonCode::Condition(ConditionCode::RouteFailed),
    ReasonCode::Condition(ConditionCode::PolicyNotServed),
    ReasonCode::Condition(ConditionCode::PolicyNotAccepted),
    ReasonCode::Condition(ConditionCode::PolicyFailed),
];

/// The event of the condition Ready: a new problem, or the recovery.
#[must_use]
pub fn ready(change: &Reported<'_>) -> Option<Note> {
    let ready = |status: &ScalableServiceStatus| -> Option<Condition> {
        status.conditions.iter().find(|condition| condition.type_ == "Ready").cloned()
    };
    let (before, now) = (ready(change.old), ready(change.new)?);
    let is_new = before.as_ref().is_none_or(|before| before.reason != now.reason);
    let code = READY_EVENTS.iter().find(|code| code.name() == now.reason);
    if let (true, Some(reason)) = (is_new, code) {
        return Some(Note { warning: true, reason: *reason, message: now.message });
    }
    let is_well = before.is_some_and(|before| before.status == "False") && now.status == "True";
    is_well.then(|| Note {
        warning: false,
        reason: DecisionCode::Steady.into(),
        message: "ready again".into(),
    })
}
