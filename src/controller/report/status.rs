//! The status to write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::controller::outcome::{Done, Outcome, Refusal, is_a_change};
use plimsoll_api::{
    DecisionRecord, Draining, KpiState, KpiStatus, KpiType, ReasonCode, RecoveryStatus, ScalableService,
    ScalableServiceSpec, ScalableServiceStatus, StepRecord, Summary, TrafficStatus, Verdict,
    merge_conditions, text::number,
};

/// The status to write after `outcome`.
#[must_use]
pub fn status(
    spec: &ScalableServiceSpec,
    generation: Option<i64>,
    old: &ScalableServiceStatus,
    outcome: &Outcome,
    verdicts: &[Verdict],
    now: Timestamp,
) -> ScalableServiceStatus {
    let target = target(spec);
    let decisions = decisions_of(spec, old);
    let range = format!("{}-{}", spec.min_replicas, spec.max_replicas);
    let time = Time(now);
    match outcome {
        Outcome::Refused(refusal) => ScalableServiceStatus {
            observed_generation: generation,
            desired_replicas: None,
            summary: Summary {
                target,
                range,
                replicas: "-".into(),
                kpi: "-".into(),
                why: refusal.reason.name().into(),
            },
            kpis: Vec::new(),
            traffic: spec.balanced().map(|_| left(refusal, old.traffic.as_ref())),
            recovery: spec.recovery.as_ref().map(|_| match (&old.recovery, refusal.passes()) {
                (Some(recovery), true) => recovery.clone(),
                _ => RecoveryStatus::default(),
            }),
            // Without a decision on failover, keep the current backends.
            failover: refusal
                .failover
                .as_ref()
                .map(|failover| failover.status.clone())
                .or_else(|| old.failover.clone().filter(|_| spec.failover.is_some())),
            decisions: decisions.to_vec(),
            conditions: merge_conditions(&old.conditions, verdicts, generation, &time),
            ..old.clone()
        },
        Outcome::Done(done) => {
            let decision = &done.decided.decision;
            let wanted = done.progress.now;
            let decisions = ring(decisions, done);
            ScalableServiceStatus {
                observed_generation: generation,
                replicas: Some(wanted),
                ready_replicas: Some(done.progress.ready),
                desired_replicas: Some(decision.replicas),
                selector: done.decided.selector.clone(),
                last_scale_time: decisions
                    .iter()
                    .find(|record| changed(record))
                    .map_or_else(|| old.last_scale_time.clone(), |record| Some(record.time.clone())),
                summary: Summary {
                    target,
                    range,
                    replicas: format!("{}/{}", done.progress.ready, decision.replicas),
                    kpi: nearest(&decision.kpis, wanted),
                    why: ReasonCode::from(decision.bound_by).name().into(),
                },
                kpis: decision.kpis.clone(),
                decisions,
                traffic: spec.balanced().map(|_| traffic(done)),
                recovery: done.progress.recovery.as_ref().map(|recovery| recovery.status.clone()),
                failover: done.decided.failover.as_ref().map(|failover| failover.status.clone()),
                conditions: merge_conditions(&old.conditions, verdicts, generation, &time),
            }
        }
    }
}

/// The status of a service without the decisions of an earlier object of the same name.
#[must_use]
pub fn own_status(service: &ScalableService) -> ScalableServiceStatus {
    let mut status = service.status.clone().unwrap_or_default();
    let created = service.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
    status.decisions.retain(|record| record.time.0 >= created);
    status
}

/// The decisions of a status; none if they were made for a target other than that of `spec`.
#[must_use]
pub fn decisions_of<'a>(
    spec: &ScalableServiceSpec,
    status: &'a ScalableServiceStatus,
) -> &'a [DecisionRecord] {
    if status.summary.target == target(spec) { &status.decisions } else { &[] }
}

/// The target, as in the printer column.
fn target(spec: &ScalableServiceSpec) -> String {
    format!("{}/{}", spec.scale_target_ref.kind.to_lowercase(), spec.scale_target_ref.name)
}

/// Clears draining when the target is refused; keeps it on transient API errors.
fn left(refusal: &Refusal, old: Option<&TrafficStatus>) -> TrafficStatus {
    let old = old.filter(|_| refusal.passes());
    old.map_or_else(TrafficStatus::default, |old| TrafficStatus { balancers: Vec::new(), ..old.clone() })
}

/// Draining, departed and arrived replicas. The balancers' entries are written by their agents.
fn traffic(done: &Done) -> TrafficStatus {
    let chosen = done.decided.decision.drain.iter().flat_map(|drain| &drain.draining);
    let all: BTreeMap<_, _> = done.progress.leaving.iter().chain(chosen).collect();
    let draining = all.into_iter().map(|(pod, since)| Draining { pod: pod.clone(), since: Time(*since) });
    TrafficStatus {
        draining: draining.collect(),
        arrived: done.progress.arrived.clone(),
        ready_balancers: done.progress.balancers,
        balancers: Vec::new(),
    }
}

/// The KPI nearest its limit, with its value and its limit for all replicas.
fn nearest(kpis: &[KpiStatus], replicas: i32) -> String {
    let usable = kpis
        .iter()
        .filter(|kpi| kpi.state == KpiState::Fresh)
        .filter_map(|kpi| Some((kpi.used?, kpi.value?, kpi)));
    if let Some((_, value, kpi)) = usable.max_by(|(a, ..), (b, ..)| a.total_cmp(b)) {
        let limit = if kpi.type_ == KpiType::Load { kpi.target * f64::from(replicas) } else { kpi.target };
        return format!("{} {}/{}", kpi.name, number(value), number(limit));
    }
    kpis.first().map_or_else(
        || "-".into(),
        |kpi| {
            let state: &'static str = kpi.state.into();
            format!("{} {state}", kpi.name)
        },
    )
}

/// The last decision, followed by the earlier ones that changed the replicas, newest first.
fn ring(old: &[DecisionRecord], done: &Done) -> Vec<DecisionRecord> {
    let record = DecisionRecord {
        time: Time(done.decided.at),
        from: done.decided.seen,
        to: done.decided.decision.replicas,
        reasons: done.reasons().iter().map(StepRecord::from).collect(),
    };
    let changes =
        old.iter().filter(|old| changed(old) && old.time != record.time).cloned().collect::<Vec<_>>();
    std::iter::once(record).chain(changes).take(ScalableServiceStatus::DECISIONS_MAX).collect()
}

/// Whether a recorded decision changed the replicas.
pub fn changed(record: &DecisionRecord) -> bool {
    record.reasons.last().is_some_and(|last| is_a_change(last.code))
}
