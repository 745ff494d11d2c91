//! Status, reason and message of each condition, by KEP-1623 and kstatus.

use crate::{
    controller::outcome::{Done, Outcome, Refusal, Written},
    explain,
};
use plimsoll_api::{
    ConditionCode, ConditionType, DecisionCode, KpiState, KpiStatus, KpiType, Mode, ReasonCode, Verdict,
};

/// The conditions of every service. `traffic` is `TrafficSynced`, on which Ready depends too.
#[must_use]
pub fn conditions(mode: Mode, outcome: &Outcome, traffic: Option<&Verdict>) -> Vec<Verdict> {
    let mut verdicts = match outcome {
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Done(done) => decided(mode, done, traffic),
    };
    verdicts.extend(traffic.cloned());
    verdicts
}

fn refused(refusal: &Refusal) -> Vec<Verdict> {
    let Refusal { reason, message, .. } = refusal;
    let unknown = |type_| Verdict { type_, status: None, reason: *reason, message: message.clone() };
    vec![
        Verdict::new(ConditionType::Ready, false, *reason, message),
        Verdict::new(ConditionType::Reconciling, false, *reason, message),
        Verdict::new(ConditionType::Stalled, !refusal.passes(), *reason, message),
        unknown(ConditionType::MetricsAvailable),
        Verdict::new(ConditionType::ScalingActive, false, *reason, message),
        unknown(ConditionType::ScalingLimited),
    ]
}

fn decided(mode: Mode, done: &Done, traffic: Option<&Verdict>) -> Vec<Verdict> {
    let metrics = metrics(done);
    let active = active(mode, done);
    let limited = limited(done);
    let wanted = done.progress.now;
    let progress = format!("{} of {wanted} replicas are ready", done.progress.ready);
    let reconciling = done.progress.ready < wanted;
    let ready = if metrics.status != Some(true) {
        Verdict { type_: ConditionType::Ready, ..metrics.clone() }
    } else if active.reason == DecisionCode::ScaleFailed.into() {
        Verdict { type_: ConditionType::Ready, ..active.clone() }
    } else if let Some(traffic) = traffic.filter(|traffic| traffic.status != Some(true)) {
        Verdict { type_: ConditionType::Ready, ..traffic.clone() }
    } else {
        let why = bound(done);
        let at_min = limited.reason == DecisionCode::MinReplicas.into();
        let reason = match (mode, limited.status, reconciling) {
            (Mode::Paused, ..) => DecisionCode::Paused.into(),
            (Mode::Observe, ..) => DecisionCode::Observing.into(),
            (Mode::Auto, Some(true), _) if !at_min => limited.reason,
            _ if done.decided.decision.bound_by == DecisionCode::Draining => DecisionCode::Draining.into(),
            (Mode::Auto, _, reconciling) => progress_code(reconciling),
        };
        Verdict::new(ConditionType::Ready, true, reason, why)
    };
    vec![
        ready,
        Verdict::new(ConditionType::Reconciling, reconciling, progress_code(reconciling), progress),
        Verdict::new(ConditionType::Stalled, false, DecisionCode::Steady, "no manual change is needed"),
        metrics,
        active,
        limited,
    ]
}

fn progress_code(reconciling: bool) -> ReasonCode {
    if reconciling { ConditionCode::Progressing.into() } else { DecisionCode::Steady.into() }
}

fn metrics(done: &Done) -> Verdict {
    // A service at zero has no replicas that could report anything except its load.
    let expected = |kpi: &&KpiStatus| {
        done.decided.seen > 0 || kpi.type_ == KpiType::Load || kpi.state != KpiState::Empty
    };
    let kpis: Vec<_> = done.decided.decision.kpis.iter().filter(expected).collect();
    let missing: Vec<String> = kpis
        .iter()
        .filter(|kpi| kpi.state != KpiState::Fresh)
        .map(|kpi| {
            let state: &'static str = kpi.state.into();
            let why = kpi.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
            format!("{} is {state}{why}", kpi.name)
        })
        .collect();
    let (status, reason, message) = match missing.len() {
        0 => (true, ConditionCode::MetricsFresh, "every KPI has a fresh sample".to_owned()),
        n if n == kpis.len() => (false, ConditionCode::MetricsUnavailable, missing.join("; ")),
        _ => (false, ConditionCode::MetricsIncomplete, missing.join("; ")),
    };
    Verdict::new(ConditionType::MetricsAvailable, status, reason, message)
}

fn active(mode: Mode, done: &Done) -> Verdict {
    let (status, reason, message) = match (mode, &done.progress.written) {
        (_, Written::Failed(error)) => (false, DecisionCode::ScaleFailed, error.clone()),
        (Mode::Observe, _) => {
            (false, DecisionCode::Observing, "mode is Observe: the target is not changed".into())
        }
        (Mode::Paused, _) => {
            (false, DecisionCode::Paused, "mode is Paused: the replicas stay as they are".into())
        }
        (Mode::Auto, _) => (true, DecisionCode::Steady, "the target's scale follows the decisions".into()),
    };
    Verdict::new(ConditionType::ScalingActive, status, reason, message)
}

fn limited(done: &Done) -> Verdict {
    let decision = &done.decided.decision;
    let limits = [
        DecisionCode::MaxReplicas,
        DecisionCode::MinReplicas,
        DecisionCode::ScaleUpRateLimited,
        DecisionCode::ScaleDownRateLimited,
    ];
    let reason = if decision.has(DecisionCode::ScalingIneffective) {
        Some(DecisionCode::ScalingIneffective)
    } else {
        limits.into_iter().find(|limit| decision.bound_by == *limit)
    };
    match reason {
        Some(reason) => Verdict::new(ConditionType::ScalingLimited, true, reason, sentence(done, reason)),
        None => Verdict::new(
            ConditionType::ScalingLimited,
            false,
            ConditionCode::WithinLimits,
            "no limit restricts the requested replicas",
        ),
    }
}

/// The sentence of the step that bound the decision.
pub(super) fn bound(done: &Done) -> String {
    explain::binding_step(&done.reasons()).map_or_else(String::new, ToString::to_string)
}

/// The sentence of the last step with this code.
fn sentence(done: &Done, code: DecisionCode) -> String {
    let steps = done.reasons();
    let step = steps.iter().rev().find(|step| step.code() == code);
    step.map_or_else(String::new, ToString::to_string)
}
