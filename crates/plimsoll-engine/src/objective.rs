//! Objective: a limit that must hold. Replicas are added only while that helps.

use jiff::{SignedDuration, Timestamp};

use super::{
    changes::Changes,
    proposal::{Hold, Proposal, Seen, replicas_for},
};
use plimsoll_api::{DecisionReason, DecisionStep};

/// Above this share of the limit there is no scale-down.
const NEAR: f64 = 0.9;
/// A raise helped if it reduced the value by at least this share.
const HELPED: f64 = 0.1;
/// Smallest and largest factor of one raise: a breach does not show how many replicas are missing.
const RAISE: (f64, f64) = (1.1, 2.0);
/// After this many raises in a row without effect, the objective is given up.
const TRIES: u32 = 2;
/// Time for a raise to take effect once its replicas are ready; two periods if these are longer.
const SETTLE: SignedDuration = SignedDuration::from_secs(60);
/// Time for replicas to become ready before the raise is judged without them.
const START: SignedDuration = SignedDuration::from_mins(5);
/// How long to wait for starting replicas while other KPIs keep raising them.
const ON_A_RAMP: SignedDuration = SignedDuration::from_secs(90);
/// Time from giving up until raises are tried again: the cause may have been fixed. It doubles with each failed attempt.
const RETRY: SignedDuration = SignedDuration::from_mins(15);
/// Upper limit of the doubled time.
const RETRY_MAX: SignedDuration = SignedDuration::from_hours(4);

/// One breach, from the first value above the limit until the objective has held for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Breach {
    /// When it began, or when raises were tried again after it was given up.
    since: Timestamp,
    /// Since when the objective holds again; `None` while it does not.
    held_since: Option<Timestamp>,
    /// Replicas when it began; the minimum while it lasts.
    floor: i32,
    /// Value when it began.
    first: f64,
    /// Number of times that it was given up.
    given_up: u32,
    /// The response to it; `None` if there is none yet.
    done: Option<Done>,
}

/// The response to a breach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Done {
    /// The replicas were raised.
    Raised(Raise),
    /// More replicas did not help.
    GivenUp { at: Timestamp, last: Raise },
}

/// The last raise.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Raise {
    /// When it was decided.
    at: Timestamp,
    /// Replicas before it.
    from: i32,
    /// Replicas that were asked for.
    to: i32,
    /// Value before it.
    before: f64,
    /// Number of raises so far, including this one.
    attempt: u32,
    /// Number of consecutive earlier raises that did not help.
    in_vain: u32,
}

pub(super) fn propose(seen: &Seen<'_>, limit: f64, kept: &mut Option<Breach>, changes: &Changes) -> Proposal {
    let Some(value) = seen.sample.number() else { return Proposal::default() };
    let mut proposal = Proposal { value: Some(value), used: Some(value / limit), ..Proposal::default() };
    let current = seen.observation.replicas;
    if value <= limit {
        *kept = kept.and_then(|breach| breach.held(seen));
        if value > limit * NEAR {
            proposal.holds = Some(Hold::Objective);
            let reason = DecisionReason::ObjectiveNear { kpi: kpi(seen), value, at_most: limit };
            proposal.reasons.push(reason.step(current, current));
        }
        return proposal;
    }
    proposal.holds = Some(Hold::Objective);
    if current == 0 {
        return proposal;
    }
    let breach = kept.unwrap_or_else(|| Breach::begun(seen, value));
    let breach = Breach { held_since: None, ..breach }.retried(seen, value);
    let (breach, step) = breach.answer(seen, value, limit, changes);
    proposal.replicas = Some(step.to);
    proposal.reasons.push(step);
    if matches!(breach.done, Some(Done::GivenUp { .. })) {
        // Replicas added without effect may be removed again, down to the floor.
        proposal.holds = None;
    }
    *kept = Some(breach);
    proposal
}

/// Without requests there is no breach, so this counts as if the objective held.
pub(super) fn without_value(seen: &Seen<'_>, kept: &mut Option<Breach>) {
    *kept = kept.and_then(|breach| breach.held(seen));
}

impl Breach {
    fn begun(seen: &Seen<'_>, value: f64) -> Self {
        let floor = seen.observation.replicas;
        Self { since: seen.now, held_since: None, floor, first: value, given_up: 0, done: None }
    }

    /// The breach while the objective holds; `None` once it has held for so long that the next breach is a new one.
    ///
    /// This takes longer after giving up: otherwise a dependency that is slow now and then would cause useless raises each
    /// time.
    fn held(self, seen: &Seen<'_>) -> Option<Self> {
        let since = self.held_since.unwrap_or(seen.now);
        let patience = if self.given_up > 0 { RETRY } else { settle(seen) };
        // The objective holds with the current replicas, so no more are needed as a floor.
        let floor = self.floor.min(seen.observation.replicas);
        let lasts = seen.now.duration_since(since) < patience;
        lasts.then_some(Self { held_since: Some(since), floor, ..self })
    }

    /// Restarts a breach that was given up long enough ago.
    fn retried(self, seen: &Seen<'_>, value: f64) -> Self {
        let doublings = self.given_up.saturating_sub(1).min(16);
        let pause = RETRY.saturating_mul(1 << doublings).min(RETRY_MAX);
        match self.done {
            Some(Done::GivenUp { at, .. }) if seen.now.duration_since(at) >= pause => {
                // Replicas added without effect may still exist.
                let floor = self.floor.min(seen.observation.replicas);
                Self { floor, given_up: self.given_up, ..Self::begun(seen, value) }
            }
            _ => self,
        }
    }

    /// Responds to the breach: the step to the wanted replicas.
    fn answer(mut self, seen: &Seen<'_>, value: f64, limit: f64, changes: &Changes) -> (Self, DecisionStep) {
        let current = seen.observation.replicas;
        let last = match self.done {
            Some(Done::GivenUp { last, .. }) => return self.ineffective(seen, value, limit, last),
            Some(Done::Raised(last)) => Some(last),
            None => None,
        };
        if let Some(left) = self.settling(last, seen, value / limit, changes) {
            let seconds_left = left.as_secs_f64().ceil();
            let reason =
                DecisionReason::ObjectiveSettling { kpi: kpi(seen), value, at_most: limit, seconds_left };
            return (self, reason.step(current, current));
        }
        let done = self.next(last, seen, value, limit);
        self.done = Some(done);
        match done {
            Done::Raised(raise) => {
                let attempt = raise.attempt;
                let reason =
                    DecisionReason::ObjectiveBreached { kpi: kpi(seen), value, at_most: limit, attempt };
                (self, reason.step(current, raise.to))
            }
            Done::GivenUp { last, .. } => {
                self.given_up += 1;
                self.ineffective(seen, value, limit, last)
            }
        }
    }

    fn ineffective(self, seen: &Seen<'_>, value: f64, limit: f64, last: Raise) -> (Self, DecisionStep) {
        let reason = DecisionReason::ScalingIneffective {
            kpi: kpi(seen),
            value,
            at_most: limit,
            before: last.before,
            raised_from: self.floor,
            raised_to: last.to,
        };
        (self, reason.step(seen.observation.replicas, self.floor))
    }

    /// Remaining time for added replicas to take effect; `None` if it is over. Starting replicas get more time.
    ///
    /// Before the objective's own first raise, raises by other KPIs are waited for, but only for the time of one raise since
    /// the breach began: while a load grows steadily, there is always a recent raise.
    fn settling(
        &self,
        last: Option<Raise>,
        seen: &Seen<'_>,
        ratio: f64,
        changes: &Changes,
    ) -> Option<SignedDuration> {
        let raises = || changes.raises().map(|change| change.at);
        let left = |since: Timestamp, time: SignedDuration| time - seen.now.duration_since(since);
        let current = seen.observation.replicas;
        let starting = seen.observation.pods.starting(current);
        let left = match last {
            None => {
                let last = raises().next_back()?;
                let serving = current.saturating_sub(starting).max(1);
                let enough = starting > 0 && current >= raised(serving, ratio);
                let time = if enough { START } else { settle(seen) };
                // On a steady ramp some replicas are always starting.
                let longest = if last > self.since { ON_A_RAMP } else { START };
                left(last, time).min(left(self.since, time.min(longest)))
            }
            // Another limit blocked all of it, so there is nothing to wait for.
            Some(raise) if current <= raise.from => return None,
            Some(raise) => {
                let made = raises().find(|at| *at >= raise.at).unwrap_or(raise.at);
                let most_start = starting.saturating_mul(2) > current.saturating_sub(raise.from);
                left(made, if most_start { START } else { settle(seen) })
            }
        };
        left.is_positive().then_some(left)
    }

    /// Judges the part of the last raise that was applied, then raises again or gives up.
    fn next(&self, last: Option<Raise>, seen: &Seen<'_>, value: f64, limit: f64) -> Done {
        let current = seen.observation.replicas;
        let raise = |attempt: u32, in_vain: u32| {
            let to = raised(current, value / limit);
            Done::Raised(Raise { at: seen.now, from: current, to, before: value, attempt, in_vain })
        };
        let Some(last) = last else { return raise(1, 0) };
        let given_up = |in_vain| Done::GivenUp { at: seen.now, last: Raise { to: current, in_vain, ..last } };
        if current <= last.from {
            // Another limit blocks all of it. If that is maxReplicas, the earlier raises may have been without effect.
            let no_more = current >= seen.spec.max_replicas && current > self.floor;
            let in_vain = no_more && value > self.first * (1.0 - HELPED);
            return if in_vain {
                given_up(last.in_vain)
            } else {
                Done::Raised(Raise { from: current, ..last })
            };
        }
        // A partial raise is expected to have a proportional effect.
        let part = f64::from(current - last.from) / f64::from((last.to - last.from).max(1));
        let helped = value <= last.before * (1.0 - HELPED * part.min(1.0));
        let in_vain = if helped { 0 } else { last.in_vain + 1 };
        if in_vain >= TRIES { given_up(in_vain) } else { raise(last.attempt.saturating_add(1), in_vain) }
    }

    /// Limits all times to `now`.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let done = self.done.as_mut().map(|done| match done {
            Done::Raised(raise) => &mut raise.at,
            Done::GivenUp { at, .. } => at,
        });
        for at in [&mut self.since].into_iter().chain(self.held_since.as_mut()).chain(done) {
            *at = now.min(*at);
        }
    }
}

fn settle(seen: &Seen<'_>) -> SignedDuration {
    SETTLE.max(seen.spec.period * 2)
}

/// Replicas after one raise of `replicas`, for a value of `ratio` times the limit.
fn raised(replicas: i32, ratio: f64) -> i32 {
    replicas_for(f64::from(replicas) * ratio.clamp(RAISE.0, RAISE.1)).max(replicas.saturating_add(1))
}

fn kpi(seen: &Seen<'_>) -> String {
    seen.rule.name.clone()
}
