//! One turn of one service: from the observation to all of its decisions.

use jiff::Timestamp;

use super::{
    Consent, Decision, FailoverDecision, Memory, Observation, Recovery,
    decide::decide,
    evidence::{self, Evidence},
    failover,
    outliers::judge,
};
use plimsoll_api::Validated;

/// Everything that one turn decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The number of replicas.
    pub decision: Decision,
    /// Where requests go; `None` without `spec.failover`.
    pub failover: Option<FailoverDecision>,
    /// Which replicas are ejected or replaced; `None` without `spec.recovery`.
    pub recovery: Option<Recovery>,
}

/// Decides everything for one service at `now`. Each sample is graded once; failover and scaling decide on the same grade.
#[must_use]
pub fn turn(
    spec: &Validated,
    seen: &Observation,
    memory: &mut Memory,
    now: Timestamp,
    consent: &mut Consent<'_>,
) -> Turn {
    let graded = graded(spec, seen, memory, now);
    let recovery = judge(spec, seen, &mut memory.outliers, now);
    let failover = failover::decide(spec, seen, &graded, &mut memory.failover, now, consent);
    let returning = failover.as_ref().map_or(0, |decision| decision.floor);
    let decision = decide(spec, seen, &graded, returning, memory, now);
    Turn { decision, failover, recovery }
}

/// The turn of a service whose target Plimsoll does not scale: only failover is decided.
#[must_use]
pub fn turn_unscaled(
    spec: &Validated,
    seen: &Observation,
    memory: &mut Memory,
    now: Timestamp,
    consent: &mut Consent<'_>,
) -> Option<FailoverDecision> {
    let graded = graded(spec, seen, memory, now);
    failover::decide(spec, seen, &graded, &mut memory.failover, now, consent)
}

/// Grades the samples of all KPIs. Called once per turn, since each grade depends on the earlier ones.
fn graded(spec: &Validated, seen: &Observation, memory: &mut Memory, now: Timestamp) -> Evidence {
    memory.clock_set_back(now);
    memory.keep_only(&spec.kpis);
    let graded = spec.kpis.iter().map(|rule| {
        let kept = memory.kpis.entry(rule.name.clone()).or_default();
        let sample = seen.samples.get(&rule.name);
        evidence::grade(rule, sample, &mut kept.evidence, seen.pods.all(), now)
    });
    graded.collect()
}
