//! Objective: a limit that must hold. Replicas are raised while that helps, and no longer.

use jiff::{SignedDuration, Timestamp};

use super::{
    changes::Changes,
    proposal::{Hold, Proposal, Seen, replicas_for},
};
use plimsoll_api::{DecisionReason, DecisionStep};

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
/// For how long replicas that are starting are waited for while others raise them again and again.
const ON_A_RAMP: SignedDuration = SignedDuration::from_secs(90);
/// After this time without effect it is tried anew: whatever was broken may be mended. Each time in vain doubles it.
const RETRY: SignedDuration = SignedDuration::from_mins(15);
/// The longest time until it is tried anew.
const RETRY_MAX: SignedDuration = SignedDuration::from_hours(4);

/// One breach, from the first value beyond the limit until the objective has held for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Breach {
    /// When it began, or when it is tried anew after it was given up.
    since: Timestamp,
    /// Since when the objective holds again.
    held_since: Option<Timestamp>,
    /// Replicas when it began: not fewer than these while it lasts.
    floor: i32,
    /// Value when it began.
    first: f64,
    /// How often it was given up.
    given_up: u32,
    /// What was done about it; `None` as long as that is nothing.
    done: Option<Done>,
}

/// What was done about a breach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Done {
    /// Replicas were raised for it.
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
    /// Raises so far, itself included.
    attempt: u32,
    /// Raises in a row before it that did not help.
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
    let breach = Breach { held_since: None, ..breach }.tried_anew(seen, value);
    let (breach, step) = breach.answer(seen, value, limit, changes);
    proposal.replicas = Some(step.to);
    proposal.reasons.push(step);
    if matches!(breach.done, Some(Done::GivenUp { .. })) {
        // The replicas that were added in vain may go again; those from before may not.
        proposal.holds = None;
    }
    *kept = Some(breach);
    proposal
}

/// Without requests nothing is broken: what there is counts as if the objective held.
pub(super) fn without_value(seen: &Seen<'_>, kept: &mut Option<Breach>) {
    *kept = kept.and_then(|breach| breach.held(seen));
}

impl Breach {
    fn begun(seen: &Seen<'_>, value: f64) -> Self {
        let floor = seen.observation.replicas;
        Self { since: seen.now, held_since: None, floor, first: value, given_up: 0, done: None }
    }

    /// The same while the objective holds; `None` once it has held for long enough to be another one when it breaks again.
    ///
    /// A breach that was given up takes longer for that: a dependency that is slow now and then would have replicas raised
    /// in vain each time.
    fn held(self, seen: &Seen<'_>) -> Option<Self> {
        let since = self.held_since.unwrap_or(seen.now);
        let patience = if self.given_up > 0 { RETRY } else { settle(seen) };
        // It holds with what there is now, so that no more is needed when it breaks again.
        let floor = self.floor.min(seen.observation.replicas);
        let lasts = seen.now.duration_since(since) < patience;
        lasts.then_some(Self { held_since: Some(since), floor, ..self })
    }

    /// Begins again if it was given up for long enough.
    fn tried_anew(self, seen: &Seen<'_>, value: f64) -> Self {
        let doublings = self.given_up.saturating_sub(1).min(16);
        let pause = RETRY.saturating_mul(1 << doublings).min(RETRY_MAX);
        match self.done {
            Some(Done::GivenUp { at, .. }) if seen.now.duration_since(at) >= pause => {
                // What was added in vain may still be there.
                let floor = self.floor.min(seen.observation.replicas);
                Self { floor, given_up: self.given_up, ..Self::begun(seen, value) }
            }
            _ => self,
        }
    }

    /// What is done about it now: the step to the replicas that there should be.
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

    /// Time left for the added replicas to show their effect; replicas that are starting are credited.
    ///
    /// Only the objective's own raise is waited for without end. Before it, the raise of another KPI gets as long as one
    /// raise needs, since the breach began: while a load grows steadily, there is one that has just been made at any time.
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
                // Replicas of a steady ramp are starting at any time.
                let longest = if last > self.since { ON_A_RAMP } else { START };
                left(last, time).min(left(self.since, time.min(longest)))
            }
            // Another limit held all of it back: there is nothing to wait for.
            Some(raise) if current <= raise.from => return None,
            Some(raise) => {
                let made = raises().find(|at| *at >= raise.at).unwrap_or(raise.at);
                let most_start = starting.saturating_mul(2) > current.saturating_sub(raise.from);
                left(made, if most_start { START } else { settle(seen) })
            }
        };
        left.is_positive().then_some(left)
    }

    /// Judges as much of the last raise as was made, and makes the next one or gives up.
    fn next(&self, last: Option<Raise>, seen: &Seen<'_>, value: f64, limit: f64) -> Done {
        let current = seen.observation.replicas;
        let raise = |attempt: u32, in_vain: u32| {
            let to = raised(current, value / limit);
            Done::Raised(Raise { at: seen.now, from: current, to, before: value, attempt, in_vain })
        };
        let Some(last) = last else { return raise(1, 0) };
        let given_up = |in_vain| Done::GivenUp { at: seen.now, last: Raise { to: current, in_vain, ..last } };
        if current <= last.from {
            // Another limit holds all of it back. What was made before may have been in vain, if it is maxReplicas.
            let no_more = current >= seen.spec.max_replicas && current > self.floor;
            let in_vain = no_more && value > self.first * (1.0 - HELPED);
            return if in_vain {
                given_up(last.in_vain)
            } else {
                Done::Raised(Raise { from: current, ..last })
            };
        }
        // Of a part of a raise a part of its effect is expected.
        let part = f64::from(current - last.from) / f64::from((last.to - last.from).max(1));
        let helped = value <= last.before * (1.0 - HELPED * part.min(1.0));
        let in_vain = if helped { 0 } else { last.in_vain + 1 };
        if in_vain >= TRIES { given_up(in_vain) } else { raise(last.attempt.saturating_add(1), in_vain) }
    }

    /// What was noted ahead of `now` counts as noted now.
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
