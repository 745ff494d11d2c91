//! Objective: a limit that must hold. Replicas are raised while that helps, and no longer.

use jiff::{SignedDuration, Timestamp};

use super::{
    memory::KpiMemory,
    proposal::{Hold, Proposal, Seen, replicas_for},
};
use crate::api::{Reason, ReasonCode};

/// From this share of the limit on, replicas do not fall.
const NEAR: f64 = 0.9;
/// A raise helped if it took at least this share off the value.
const HELPED: f64 = 0.1;
/// Smallest and largest factor of one raise: the objective tells that it is broken, not by how many replicas.
const RAISE: (f64, f64) = (1.1, 2.0);
/// Raises in a row that may fail to help.
const TRIES: u32 = 2;
/// Time that a raise gets to show its effect once its replicas are ready; two looks if these are longer.
const SETTLE: SignedDuration = SignedDuration::from_secs(60);
/// Time that replicas get to become ready before the raise is judged without them.
const START: SignedDuration = SignedDuration::from_mins(5);
/// After this time without effect it is tried anew: whatever was broken may be mended.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

/// The raises that are being tried against one breach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trial {
    /// Replicas when the breach began: not fewer than these while it lasts.
    floor: i32,
    /// Value before the last raise.
    before: f64,
    /// Replicas after the last raise.
    to: i32,
    /// Raises so far.
    attempt: u32,
    /// Raises in a row that did not help.
    in_vain: u32,
    /// When it was given up.
    given_up: Option<Timestamp>,
}

pub(super) fn propose(
    seen: &Seen<'_>,
    limit: f64,
    memory: &mut KpiMemory,
    last_raise: Option<Timestamp>,
) -> Proposal {
    let Some(value) = seen.sample.number() else { return Proposal::default() };
    let mut proposal = Proposal { value: Some(value), used: Some(value / limit), ..Proposal::default() };
    let current = seen.observation.replicas;
    if value <= limit {
        memory.trial = None;
        if value > limit * NEAR {
            proposal.holds = Some(Hold::Objective);
            proposal.reasons.push(reason(seen, ReasonCode::ObjectiveNear, current, value, limit));
        }
        return proposal;
    }
    proposal.holds = Some(Hold::Objective);
    if current == 0 {
        return proposal;
    }
    let (wanted, why) = breach(seen, value, limit, memory, last_raise);
    proposal.replicas = Some(wanted);
    proposal.reasons.push(why);
    if memory.trial.is_some_and(|trial| trial.given_up.is_some()) {
        // The replicas that were added in vain may go again; those from before may not.
        proposal.holds = None;
    }
    proposal
}

fn breach(
    seen: &Seen<'_>,
    value: f64,
    limit: f64,
    memory: &mut KpiMemory,
    last_raise: Option<Timestamp>,
) -> (i32, Reason) {
    let current = seen.observation.replicas;
    let now = seen.now;
    let given_up = memory.trial.and_then(|trial| trial.given_up.map(|at| (trial, at)));
    if let Some((trial, at)) = given_up {
        if now.duration_since(at) < RETRY {
            return (trial.floor, ineffective(seen, &trial, value, limit));
        }
        memory.trial = None;
    }
    if let Some(left) = settling(seen, last_raise) {
        let reason = reason(seen, ReasonCode::ObjectiveSettling, current, value, limit);
        return (current, reason.with("secondsLeft", left.as_secs_f64().ceil()));
    }
    let trial = next_trial(memory.trial, current, value, limit, now);
    memory.trial = Some(trial);
    if trial.given_up.is_some() {
        return (trial.floor, ineffective(seen, &trial, value, limit));
    }
    let reason = reason(seen, ReasonCode::ObjectiveBreached, trial.to, value, limit);
    (trial.to, reason.with("attempt", f64::from(trial.attempt)))
}

/// How long the last raise still has to show what it does; replicas that are starting are credited.
fn settling(seen: &Seen<'_>, last_raise: Option<Timestamp>) -> Option<SignedDuration> {
    let age = seen.now.duration_since(last_raise?);
    let settle = SETTLE.max(seen.spec.period * 2);
    let starting = seen.observation.pods.starting(seen.observation.replicas) > 0;
    let until = if starting { START } else { settle };
    (age < until).then(|| until - age)
}

/// Judges the last raise and makes the next one, or gives up.
fn next_trial(last: Option<Trial>, current: i32, value: f64, limit: f64, now: Timestamp) -> Trial {
    let to = replicas_for(f64::from(current) * (value / limit).clamp(RAISE.0, RAISE.1))
        .max(current.saturating_add(1));
    let Some(last) = last else {
        return Trial { floor: current, before: value, to, attempt: 1, in_vain: 0, given_up: None };
    };
    if current < last.to {
        // Another limit holds the raise back: it was not tried yet, so it can't have been in vain.
        return last;
    }
    let helped = value <= last.before * (1.0 - HELPED);
    let in_vain = if helped { 0 } else { last.in_vain + 1 };
    if in_vain >= TRIES {
        return Trial { in_vain, given_up: Some(now), to: current, ..last };
    }
    Trial { before: value, to, attempt: last.attempt.saturating_add(1), in_vain, ..last }
}

fn reason(seen: &Seen<'_>, code: ReasonCode, to: i32, value: f64, limit: f64) -> Reason {
    Reason::new(code, seen.observation.replicas, to)
        .about(&seen.rule.name)
        .with("value", value)
        .with("atMost", limit)
}

fn ineffective(seen: &Seen<'_>, trial: &Trial, value: f64, limit: f64) -> Reason {
    reason(seen, ReasonCode::ScalingIneffective, trial.floor, value, limit)
        .with("before", trial.before)
        .with("raisedFrom", f64::from(trial.floor))
        .with("raisedTo", f64::from(trial.to))
}
