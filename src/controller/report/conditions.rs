//! What each condition says, by KEP-1623 and kstatus.

use crate::{
    controller::outcome::{Done, Outcome, Refusal, Written},
    explain,
};
use plimsoll_api::{ConditionType, KpiState, KpiStatus, KpiType, Mode, ReasonCode, Verdict};

/// The conditions of every service; `traffic` is the one of its traffic, on which Ready depends as well.
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
    } else if active.reason == ReasonCode::ScaleFailed {
        Verdict { type_: ConditionType::Ready, ..active.clone() }
    } else if let Some(traffic) = traffic.filter(|traffic| traffic.status != Some(true)) {
        Verdict { type_: ConditionType::Ready, ..traffic.clone() }
    } else {
        let why = bound(done);
        let reason = match (mode, limited.status, reconciling) {
            (Mode::Paused, ..) => ReasonCode::Paused,
            (Mode::Observe, ..) => ReasonCode::Observing,
            (Mode::Auto, Some(true), _) if limited.reason != ReasonCode::MinReplicas => limited.reason,
            _ if done.decided.decision.bound_by == ReasonCode::Draining => ReasonCode::Draining,
            (Mode::Auto, _, true) => ReasonCode::Progressing,
            (Mode::Auto, ..) => ReasonCode::Steady,
        };
        Verdict::new(ConditionType::Ready, true, reason, why)
    };
    vec![
        ready,
        Verdict::new(
            ConditionType::Reconciling,
            reconciling,
            if reconciling { ReasonCode::Progressing } else { ReasonCode::Steady },
            progress,
        ),
        Verdict::new(ConditionType::Stalled, false, ReasonCode::Steady, "nothing has to be changed by hand"),
        metrics,
        active,
        limited,
    ]
}

fn metrics(done: &Done) -> Verdict {
    // A service at zero has no replicas that could report anything but its load.
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
        0 => (true, ReasonCode::MetricsFresh, "every KPI has a fresh sample".to_owned()),
        n if n == kpis.len() => (false, ReasonCode::MetricsUnavailable, missing.join("; ")),
        _ => (false, ReasonCode::MetricsIncomplete, missing.join("; ")),
    };
    Verdict::new(ConditionType::MetricsAvailable, status, reason, message)
}

fn active(mode: Mode, done: &Done) -> Verdict {
    let (status, reason, message) = match (mode, &done.progress.written) {
        (_, Written::Failed(error)) => (false, ReasonCode::ScaleFailed, error.clone()),
        (Mode::Observe, _) => {
            (false, ReasonCode::Observing, "mode is Observe: nothing is written to the target".into())
        }
        (Mode::Paused, _) => (false, ReasonCode::Paused, "mode is Paused: the replicas are held".into()),
        (Mode::Auto, _) => (true, ReasonCode::Steady, "the target's scale follows the decisions".into()),
    };
    Verdict::new(ConditionType::ScalingActive, status, reason, message)
}

fn limited(done: &Done) -> Verdict {
    let decision = &done.decided.decision;
    let limits = [
        ReasonCode::MaxReplicas,
        ReasonCode::MinReplicas,
        ReasonCode::ScaleUpRateLimited,
        ReasonCode::ScaleDownRateLimited,
    ];
    let reason = if decision.has(ReasonCode::ScalingIneffective) {
        Some(ReasonCode::ScalingIneffective)
    } else {
        limits.into_iter().find(|limit| decision.bound_by == *limit)
    };
    match reason {
        Some(reason) => Verdict::new(ConditionType::ScalingLimited, true, reason, said(done, reason)),
        None => Verdict::new(
            ConditionType::ScalingLimited,
            false,
            ReasonCode::WithinLimits,
            "no limit keeps the replicas from what is asked for",
        ),
    }
}

/// The sentence of the step that bound the decision.
pub(super) fn bound(done: &Done) -> String {
    explain::binding(&done.reasons()).map_or_else(String::new, explain::sentence)
}

fn said(done: &Done, code: ReasonCode) -> String {
    let reasons = done.reasons();
    let reason = reasons.iter().rev().find(|reason| reason.code == code);
    reason.map_or_else(String::new, explain::sentence)
}
