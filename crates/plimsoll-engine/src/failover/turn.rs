//! One turn of failover: from the observation to the routing of requests.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    decision::FailoverDecision,
    routing::RoutingState,
    signs::{SignMemory, Signs},
};
use crate::{FailoverInput, ManualOverride, Observation};
use plimsoll_api::{
    FailoverReason as Reason, FailoverRules, FailoverState as State, Mode, PRIMARY, Percent, Validated,
};

/// Time between turns while requests move, or may have to.
const HURRY: SignedDuration = SignedDuration::from_millis(500);
/// Time between turns while requests are away.
const AWAY: SignedDuration = SignedDuration::from_secs(2);
/// Duration of one step of a return; `return.for` if that is shorter.
const STEP: SignedDuration = SignedDuration::from_secs(30);

pub(super) struct Turn<'a> {
    pub spec: &'a Validated,
    pub rules: &'a FailoverRules,
    pub seen: &'a Observation,
    pub input: &'a FailoverInput,
    pub signs: &'a Signs,
    pub memory: &'a mut SignMemory,
    pub now: Timestamp,
}

type Outcome = (State, Reason);

impl Turn<'_> {
    /// Decides where requests go, starting from `routing`.
    pub fn decide(mut self, mut routing: RoutingState) -> FailoverDecision {
        let input = self.input;
        let ready = self.readiness(&routing);
        let (state, reason) = match (&input.manual_override, self.spec.mode) {
            (_, Mode::Paused) => (State::Frozen, Reason::Paused),
            (Some(ManualOverride::Freeze(why)), _) => {
                (State::Frozen, Reason::FrozenByAnnotation { why: why.clone() })
            }
            (_, Mode::Observe) => self.observe(&routing),
            (Some(ManualOverride::To(name)), _) if routing.acknowledged_override.as_ref() != Some(name) => {
                self.ordered(&mut routing, name)
            }
            (Some(ManualOverride::To(_)) | None, _) => self.automatic(&mut routing),
        };
        let next_look = match state {
            State::Suspect | State::Shifting | State::Returning => Some(HURRY),
            _ if routing.is_away() => Some(AWAY),
            _ => None,
        };
        let floor = self.floor(&routing);
        routing.expect(self.seen.pods.ready(), self.seen.replicas);
        let ordered = matches!(input.manual_override, Some(ManualOverride::To(_)));
        let sources = if ordered { BTreeSet::new() } else { self.signs.sources.clone() };
        let status = routing.status(input, state, self.now);
        FailoverDecision { status, reason, ready, sources, floor, next_look }
    }

    /// Decides by evidence, without a manual override.
    fn automatic(&mut self, routing: &mut RoutingState) -> Outcome {
        match (routing.active, routing.coming_from()) {
            (None, None) => self.at_primary(routing),
            (Some(to), _) => self.away(routing, to),
            (None, Some(from)) => self.returning(routing, from, true),
        }
    }

    /// Follows a manual override: it respects capacity, ignores evidence, and resets the count of switches.
    fn ordered(&mut self, routing: &mut RoutingState, name: &str) -> Outcome {
        let index = self.rules.standbys.iter().position(|standby| standby.name == name);
        match index {
            None if name == PRIMARY => {
                if routing.active.is_some() {
                    routing.switches.clear();
                    self.come_back(routing);
                }
                if let Some(from) = routing.coming_from() {
                    return self.returning(routing, from, false);
                }
                routing.acknowledged_override = Some(name.to_owned());
                self.automatic(routing)
            }
            None => {
                let known = std::iter::once(PRIMARY).chain(self.names()).collect::<Vec<_>>().join(", ");
                let why = format!("{name} is not a backend; the backends are {known}");
                (State::Frozen, Reason::FrozenByAnnotation { why })
            }
            Some(to) => {
                if routing.active != Some(to) {
                    routing.switches.clear();
                    self.leave(routing, to);
                }
                self.grow(routing, to);
                let standby = name.to_owned();
                match routing.weight(to) {
                    Percent::HUNDRED => (State::Standby, Reason::MovedByAnnotation { standby }),
                    _ => {
                        let (away, why) = (routing.away(), String::new());
                        (State::Shifting, Reason::MovingToStandby { standby, away, why })
                    }
                }
            }
        }
    }

    /// Moves nothing, neither away nor back: a primary that was left may be down.
    fn observe(&self, routing: &RoutingState) -> Outcome {
        if routing.is_away() {
            return (State::Frozen, Reason::Observing { signs: String::new() });
        }
        if self.signs.fails {
            return (State::Suspect, Reason::Observing { signs: self.signs.bad.join(", ") });
        }
        self.calm(routing)
    }

    /// Replicas of the primary that are needed for the next step of a return, or to show that it has recovered.
    fn floor(&self, routing: &RoutingState) -> i32 {
        match routing.coming_from() {
            Some(_) => self.needed_at(routing, self.next_share(routing)),
            None if routing.active.is_some() => 1,
            None => 0,
        }
    }

    fn at_primary(&mut self, routing: &mut RoutingState) -> Outcome {
        if !self.signs.fails {
            return self.calm(routing);
        }
        let signs = self.signs.bad.join(", ");
        let Some(to) = self.usable(routing) else {
            let why = match self.readiness(routing) {
                Reason::StandbyNotReady { why } => why,
                _ => String::new(),
            };
            return (State::Suspect, Reason::NoStandbyReady { signs: format!("{signs}; {why}") });
        };
        // A primary that serves nothing is always left: it can't get worse.
        if routing.switches.len() >= self.rules.max_switches && !self.signs.dead {
            return (State::Held, self.limited(routing));
        }
        let sources = &self.signs.sources;
        if !sources.is_empty() && sources.is_subset(&self.input.correlated_failures) && !self.signs.dead {
            return (State::Suspect, Reason::FleetLimit { signs });
        }
        self.leave(routing, to);
        self.away(routing, to)
    }

    /// The primary has the requests, and it is not known to fail.
    fn calm(&self, routing: &RoutingState) -> Outcome {
        if !self.signs.bad.is_empty() {
            let mut signs = self.signs.bad.join(", ");
            if routing.expected == 0 {
                signs += "; none of its replicas has been ready yet";
            }
            return (State::Suspect, Reason::PrimaryFailing { signs });
        }
        if !self.signs.unknown.is_empty() {
            return (State::Frozen, self.unknown());
        }
        (State::Primary, Reason::PrimaryServes { few: self.signs.few.join(", ") })
    }

    /// Requests are at the standby `to`, or move there.
    fn away(&mut self, routing: &mut RoutingState, to: usize) -> Outcome {
        if let Some(outcome) = self.standby_lost(routing, to) {
            return outcome;
        }
        // Unknown evidence moves nothing, not even the rest of a move in progress.
        if !self.signs.unknown.is_empty() && self.signs.bad.is_empty() && !self.signs.dead {
            return (State::Frozen, self.unknown());
        }
        self.grow(routing, to);
        let state = if routing.weight(to) == Percent::HUNDRED { State::Standby } else { State::Shifting };
        if self.rules.automatic && self.well_long_enough() && self.held(routing).is_none() {
            // The requests may never have reached `to`. They return from the standby that has them.
            let has = |standby: &usize| routing.weight(*standby) > Percent::ZERO && self.takes(*standby);
            let from = Some(to).filter(has).or_else(|| routing.other(to).filter(has)).unwrap_or(to);
            self.come_back(routing);
            return self.returning(routing, from, true);
        }
        let (standby, why) = (routing.name(Some(to)).to_owned(), self.why_there(routing));
        let reason = match state {
            State::Standby => Reason::StandbyServes { standby, why },
            _ => Reason::MovingToStandby { standby, away: routing.away(), why },
        };
        (state, reason)
    }

    /// Requests return from the standby `from`. If `careful`, a sign of failure moves them away again.
    fn returning(&mut self, routing: &mut RoutingState, from: usize, careful: bool) -> Outcome {
        let usable = if self.takes(from) { Some(from) } else { self.usable(routing) };
        if let Some(to) = usable.filter(|_| careful && self.signs.fails) {
            // Not limited by maxSwitchesPerHour: the primary had not recovered after all.
            self.leave(routing, to);
            routing.keep(|standby| standby == to || self.takes(standby));
            return self.away(routing, to);
        }
        if self.is_lost(routing, from) {
            // The standby serves none of them, and they were returning to the primary anyway.
            routing.weights.fill(Percent::ZERO);
            (self.memory.stepped, self.memory.standby_lost) = (None, None);
            return if careful { self.at_primary(routing) } else { self.calm(routing) };
        }
        if careful && !self.signs.unknown.is_empty() {
            return (State::Frozen, self.unknown());
        }
        let share = self.next_share(routing);
        let dwell = STEP.min(self.rules.return_for);
        let first = routing.away() == Percent::HUNDRED;
        let stepped = self.memory.stepped.unwrap_or(self.now).min(self.now);
        self.memory.stepped = Some(stepped);
        let dwelt = first || self.now.duration_since(stepped) >= dwell;
        let needed = self.needed_at(routing, share);
        let ready = self.seen.pods.ready();
        // A bad share of too few requests neither moves requests away nor continues the return.
        let looks_bad = !self.signs.bad.is_empty() || !self.signs.few.is_empty();
        if dwelt && ready >= needed && (!looks_bad || !careful) {
            routing.give_only(from, share.rest());
            self.memory.stepped = Some(self.now);
        }
        if routing.away() == Percent::ZERO {
            self.memory.stepped = None;
            return self.calm(routing);
        }
        let waits = if ready < needed {
            format!("{ready} of {needed} replicas are ready for {share} %")
        } else {
            String::new()
        };
        let standby = routing.name(Some(from)).to_owned();
        (State::Returning, Reason::MovingToPrimary { standby, away: routing.away(), waits })
    }

    /// If the active standby is lost, moves requests to the primary or to another standby.
    fn standby_lost(&mut self, routing: &mut RoutingState, to: usize) -> Option<Outcome> {
        if !self.is_lost(routing, to) {
            return None;
        }
        let other = self.serving(routing, to);
        let well = self.signs.ready && self.signs.bad.is_empty();
        // A primary with a few ready replicas is better than a standby with none.
        let back = well || (other.is_none() && !self.signs.dead && self.seen.pods.ready() > 0);
        if other.is_none() && !back {
            return None;
        }
        // Not limited by maxSwitchesPerHour: to stay where nothing is served would be an outage of an hour.
        self.memory.standby_lost = None;
        // The primary is preferred.
        if back {
            self.memory.forget();
            routing.active = None;
            routing.weights.fill(Percent::ZERO);
            return Some(self.calm(routing));
        }
        let other = other?;
        routing.switch(other, self.now);
        routing.keep(|standby| self.takes(standby) && self.serves(standby));
        self.grow(routing, other);
        Some(self.away(routing, other))
    }

    /// Starts the move of requests to the standby `to`. If neither side serves anything, this is not a switch: nothing is
    /// gained or lost, and the primary need not be healthy for longer because of it.
    fn leave(&mut self, routing: &mut RoutingState, to: usize) {
        if routing.away() == Percent::ZERO {
            // The standby needs the wanted replicas, even if some of them were not ready yet.
            routing.needed = self.seen.replicas;
        }
        // While requests move from one standby to another, only these two have shares.
        let from = routing.other(to);
        routing.keep(|standby| standby == to || Some(standby) == from);
        if self.seen.pods.ready() > 0 || self.serves(to) {
            let (lasting, longest) = (self.rules.return_for, self.rules.longest_hold());
            // Each earlier switch within the hour was followed by a relapse.
            let relapses = u32::try_from(routing.switches.len()).unwrap_or(u32::MAX).min(16);
            let hold = lasting.checked_mul(1 << relapses).unwrap_or(longest).min(longest);
            routing.hold_until = self.now.checked_add(hold).ok();
            routing.switch(to, self.now);
        } else {
            routing.active = Some(to);
        }
        (self.memory.stepped, self.memory.standby_lost) = (None, None);
    }

    fn come_back(&mut self, routing: &mut RoutingState) {
        routing.active = None;
        // Bad samples from before the recovery no longer count.
        self.memory.forget();
        self.memory.stepped = None;
    }

    /// Raises the share of the standby to what it can take; never lowers it.
    fn grow(&self, routing: &mut RoutingState, to: usize) {
        let need = self.need(routing);
        // A standby that can't take requests gets no more of them, so that what others serve is not lost.
        if !self.takes(to) {
            return;
        }
        let mut share = match self.seen_of(to).and_then(|seen| seen.capacity) {
            Some(has) => {
                let ready = has.ready.saturating_sub(has.own).max(0);
                Percent::clamped(i64::from(ready) * 100 / i64::from(need))
            }
            // Its capacity is unknown.
            None => Percent::HUNDRED,
        };
        if self.signs.dead {
            // The primary serves nothing, but another standby may.
            let elsewhere = routing.away().saturating_sub(routing.weight(to));
            share = share.max(elsewhere.rest());
        }
        if share > routing.weight(to) {
            routing.give(to, share);
        }
    }

    fn well_long_enough(&self) -> bool {
        let since = self.memory.well_since;
        since.is_some_and(|since| self.now.duration_since(since) >= self.rules.return_for)
    }

    /// Remaining time until a return is allowed.
    fn held(&self, routing: &RoutingState) -> Option<SignedDuration> {
        let until = routing.hold_until.filter(|until| *until > self.now)?;
        Some(until.duration_since(self.now))
    }

    /// The share of the primary after the next step of a return.
    fn next_share(&self, routing: &RoutingState) -> Percent {
        let has = routing.away().rest();
        self.rules.ramp.iter().copied().find(|share| *share > has).unwrap_or(Percent::HUNDRED)
    }

    fn needed_at(&self, routing: &RoutingState, share: Percent) -> i32 {
        let needed = (i64::from(self.need(routing)) * i64::from(share) + 99) / 100;
        i32::try_from(needed).unwrap_or(i32::MAX).clamp(1, self.spec.max_replicas.max(1))
    }

    /// Why requests are at the standby, and until when.
    fn why_there(&self, routing: &RoutingState) -> String {
        let mut parts = self.signs.bad.clone();
        if let Some(left) = self.held(routing).filter(|_| self.signs.bad.is_empty()) {
            parts.push(format!("held there for another {} s", left.as_secs() + 1));
        }
        if !self.rules.automatic && self.signs.bad.is_empty() {
            parts.push("return.mode is Manual".to_owned());
        }
        parts.join(", ")
    }

    fn limited(&self, routing: &RoutingState) -> Reason {
        Reason::SwitchLimit {
            backend: routing.name(routing.active).to_owned(),
            switches: routing.switches.len(),
            most: self.rules.max_switches,
        }
    }

    fn unknown(&self) -> Reason {
        Reason::EvidenceUnknown { unknown: self.signs.unknown.join(", ") }
    }
}
