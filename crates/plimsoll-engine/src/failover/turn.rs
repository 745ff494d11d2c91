//! One turn: from what is seen to where requests go.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    course::Course,
    shift::Shift,
    signs::{SignMemory, Signs},
};
use crate::{Observation, Order, Standing};
use plimsoll_api::{
    FailoverReason as Reason, FailoverRules, FailoverState as State, Mode, PRIMARY, Percent, Validated,
};

/// How often to look while requests move, or may have to.
const HURRY: SignedDuration = SignedDuration::from_millis(500);
/// How often to look while requests are away.
const AWAY: SignedDuration = SignedDuration::from_secs(2);
/// A step of a return stands for so long, or for `return.for` where that is shorter.
const STEP: SignedDuration = SignedDuration::from_secs(30);

pub(super) struct Turn<'a> {
    pub spec: &'a Validated,
    pub rules: &'a FailoverRules,
    pub seen: &'a Observation,
    pub standing: &'a Standing,
    pub signs: &'a Signs,
    pub memory: &'a mut SignMemory,
    pub now: Timestamp,
}

type Stand = (State, Reason);

impl Turn<'_> {
    /// Where the requests of `course` go from here.
    pub fn shift(mut self, mut course: Course) -> Shift {
        let standing = self.standing;
        let ready = self.readiness(&course);
        let (state, reason) = match (&standing.order, self.spec.mode) {
            (_, Mode::Paused) => (State::Frozen, Reason::Paused),
            (Some(Order::Freeze(why)), _) => (State::Frozen, Reason::FrozenByAnnotation { why: why.clone() }),
            (_, Mode::Observe) => self.observe(&course),
            (Some(Order::To(name)), _) if course.obeyed.as_ref() != Some(name) => {
                self.ordered(&mut course, name)
            }
            (Some(Order::To(_)) | None, _) => self.automatic(&mut course),
        };
        let next_look = match state {
            State::Suspect | State::Shifting | State::Returning => Some(HURRY),
            _ if course.is_away() => Some(AWAY),
            _ => None,
        };
        let floor = self.floor(&course);
        course.expect(self.seen.pods.ready(), self.seen.replicas);
        let ordered = matches!(standing.order, Some(Order::To(_)));
        let sources = if ordered { BTreeSet::new() } else { self.signs.sources.clone() };
        let status = course.status(standing, state, self.now);
        Shift { status, reason, ready, sources, floor, next_look }
    }

    /// Without a person.
    fn automatic(&mut self, course: &mut Course) -> Stand {
        match (course.active, course.coming_from()) {
            (None, None) => self.at_primary(course),
            (Some(to), _) => self.away(course, to),
            (None, Some(from)) => self.returning(course, from, true),
        }
    }

    /// As a person said: capacity counts, evidence does not, and the switches are counted anew.
    fn ordered(&mut self, course: &mut Course, name: &str) -> Stand {
        let index = self.rules.standbys.iter().position(|standby| standby.name == name);
        match index {
            None if name == PRIMARY => {
                if course.active.is_some() {
                    course.switches.clear();
                    self.come_back(course);
                }
                if let Some(from) = course.coming_from() {
                    return self.returning(course, from, false);
                }
                course.obeyed = Some(name.to_owned());
                self.automatic(course)
            }
            None => {
                let known = std::iter::once(PRIMARY).chain(self.names()).collect::<Vec<_>>().join(", ");
                let why = format!("there is no backend {name}; there are {known}");
                (State::Frozen, Reason::FrozenByAnnotation { why })
            }
            Some(to) => {
                if course.active != Some(to) {
                    course.switches.clear();
                    self.leave(course, to);
                }
                self.grow(course, to);
                let standby = name.to_owned();
                match course.weight(to) {
                    Percent::HUNDRED => (State::Standby, Reason::MovedByAnnotation { standby }),
                    _ => {
                        let (away, why) = (course.away(), String::new());
                        (State::Shifting, Reason::MovingToStandby { standby, away, why })
                    }
                }
            }
        }
    }

    /// Nothing is moved, neither away nor back: the primary that requests left may be dead.
    fn observe(&self, course: &Course) -> Stand {
        if course.is_away() {
            return (State::Frozen, Reason::Observing { signs: String::new() });
        }
        if self.signs.fails {
            return (State::Suspect, Reason::Observing { signs: self.signs.bad.join(", ") });
        }
        self.calm(course)
    }

    /// Replicas of the primary that are needed for the next step of a return, or to show that it is well again.
    fn floor(&self, course: &Course) -> i32 {
        match course.coming_from() {
            Some(_) => self.needed_at(course, self.next_share(course)),
            None if course.active.is_some() => 1,
            None => 0,
        }
    }

    fn at_primary(&mut self, course: &mut Course) -> Stand {
        if !self.signs.fails {
            return self.calm(course);
        }
        let signs = self.signs.bad.join(", ");
        let Some(to) = self.usable(course) else {
            let why = match self.readiness(course) {
                Reason::StandbyNotReady { why } => why,
                _ => String::new(),
            };
            return (State::Suspect, Reason::NoStandbyReady { signs: format!("{signs}; {why}") });
        };
        // Who serves nothing is left in any case: worse it can't get.
        if course.switches.len() >= self.rules.max_switches && !self.signs.dead {
            return (State::Held, self.limited(course));
        }
        let sources = &self.signs.sources;
        if !sources.is_empty() && sources.is_subset(&self.standing.crowded) && !self.signs.dead {
            return (State::Suspect, Reason::FleetLimit { signs });
        }
        self.leave(course, to);
        self.away(course, to)
    }

    /// The primary serves, and it is not known to fail.
    fn calm(&self, course: &Course) -> Stand {
        if !self.signs.bad.is_empty() {
            let mut signs = self.signs.bad.join(", ");
            if course.expected == 0 {
                signs += "; none of its replicas has been ready yet";
            }
            return (State::Suspect, Reason::PrimaryFailing { signs });
        }
        if !self.signs.unknown.is_empty() {
            return (State::Frozen, self.unknown());
        }
        (State::Primary, Reason::PrimaryServes { few: self.signs.few.join(", ") })
    }

    /// Requests are at the standby `to`, or on their way there.
    fn away(&mut self, course: &mut Course, to: usize) -> Stand {
        if let Some(stand) = self.standby_lost(course, to) {
            return stand;
        }
        // What is unknown moves nothing, also not the rest of what is on its way.
        if !self.signs.unknown.is_empty() && self.signs.bad.is_empty() && !self.signs.dead {
            return (State::Frozen, self.unknown());
        }
        self.grow(course, to);
        let state = if course.weight(to) == Percent::HUNDRED { State::Standby } else { State::Shifting };
        if self.rules.automatic && self.well_long_enough() && self.held(course).is_none() {
            // They may never have come to where they were to go: who has them gives them back.
            let has = |standby: &usize| course.weight(*standby) > Percent::ZERO && self.takes(*standby);
            let from = Some(to).filter(has).or_else(|| course.other(to).filter(has)).unwrap_or(to);
            self.come_back(course);
            return self.returning(course, from, true);
        }
        let (standby, why) = (course.name(Some(to)).to_owned(), self.why_there(course));
        let reason = match state {
            State::Standby => Reason::StandbyServes { standby, why },
            _ => Reason::MovingToStandby { standby, away: course.away(), why },
        };
        (state, reason)
    }

    /// Requests come back from the standby `from`; `careful` for a sign of failure to take them away again.
    fn returning(&mut self, course: &mut Course, from: usize, careful: bool) -> Stand {
        let usable = if self.takes(from) { Some(from) } else { self.usable(course) };
        if let Some(to) = usable.filter(|_| careful && self.signs.fails) {
            // Whatever was spent before: who has just come back was not well after all.
            self.leave(course, to);
            course.keep(|standby| standby == to || self.takes(standby));
            return self.away(course, to);
        }
        if self.is_lost(course, from) {
            // It serves none of them, and they were on their way to the primary anyway.
            course.weights.fill(Percent::ZERO);
            (self.memory.stepped, self.memory.standby_lost) = (None, None);
            return if careful { self.at_primary(course) } else { self.calm(course) };
        }
        if careful && !self.signs.unknown.is_empty() {
            return (State::Frozen, self.unknown());
        }
        let share = self.next_share(course);
        let dwell = STEP.min(self.rules.return_for);
        let first = course.away() == Percent::HUNDRED;
        let stepped = self.memory.stepped.unwrap_or(self.now).min(self.now);
        self.memory.stepped = Some(stepped);
        let stood = first || self.now.duration_since(stepped) >= dwell;
        let needed = self.needed_at(course, share);
        let ready = self.seen.pods.ready();
        // Of few requests a bad share takes none away, and brings no more.
        let looks_bad = !self.signs.bad.is_empty() || !self.signs.few.is_empty();
        if stood && ready >= needed && (!looks_bad || !careful) {
            course.give_only(from, share.rest());
            self.memory.stepped = Some(self.now);
        }
        if course.away() == Percent::ZERO {
            self.memory.stepped = None;
            return self.calm(course);
        }
        let waits = if ready < needed {
            format!("{ready} of {needed} replicas are ready for {share} %")
        } else {
            String::new()
        };
        let standby = course.name(Some(from)).to_owned();
        (State::Returning, Reason::MovingToPrimary { standby, away: course.away(), waits })
    }

    /// The standby that requests go to takes none any more: another one, or the primary if it can.
    fn standby_lost(&mut self, course: &mut Course, to: usize) -> Option<Stand> {
        if !self.is_lost(course, to) {
            return None;
        }
        let other = self.serving(course, to);
        let well = self.signs.ready && self.signs.bad.is_empty();
        // A primary that serves a few is better than a standby that serves nobody.
        let back = well || (other.is_none() && !self.signs.dead && self.seen.pods.ready() > 0);
        if other.is_none() && !back {
            return None;
        }
        // Not limited: to stay where nothing is served would be an outage for an hour.
        self.memory.standby_lost = None;
        // In the order of preference the primary comes first.
        if back {
            self.memory.forget();
            course.active = None;
            course.weights.fill(Percent::ZERO);
            return Some(self.calm(course));
        }
        let other = other?;
        course.switch(other, self.now);
        course.keep(|standby| self.takes(standby) && self.serves(standby));
        self.grow(course, other);
        Some(self.away(course, other))
    }

    /// Requests are on their way to the standby `to`. Where neither side serves anything that is no switch: nothing is
    /// gained or lost by it, and the primary need not be well for longer because of it.
    fn leave(&mut self, course: &mut Course, to: usize) {
        if course.away() == Percent::ZERO {
            // What was wanted is needed elsewhere, also if some of it had yet to become ready.
            course.needed = self.seen.replicas;
        }
        // While they go from one standby to another, there are no more than these two.
        let from = course.other(to);
        course.keep(|standby| standby == to || Some(standby) == from);
        if self.seen.pods.ready() > 0 || self.serves(to) {
            let (lasting, longest) = (self.rules.return_for, self.rules.longest_hold());
            // Each switch within the hour before this one was followed by a relapse.
            let relapses = u32::try_from(course.switches.len()).unwrap_or(u32::MAX).min(16);
            let hold = lasting.checked_mul(1 << relapses).unwrap_or(longest).min(longest);
            course.hold_until = self.now.checked_add(hold).ok();
            course.switch(to, self.now);
        } else {
            course.active = Some(to);
        }
        (self.memory.stepped, self.memory.standby_lost) = (None, None);
    }

    fn come_back(&mut self, course: &mut Course) {
        course.active = None;
        // What was bad before it was well again does not count against it.
        self.memory.forget();
        self.memory.stepped = None;
    }

    /// Moves what the standby can take, and never less than it has.
    fn grow(&self, course: &mut Course, to: usize) {
        let need = self.need(course);
        // One that takes nothing gets nothing more, so that what others still serve is not lost.
        if !self.takes(to) {
            return;
        }
        let mut share = match self.seen_of(to).and_then(|seen| seen.capacity) {
            Some(has) => {
                let ready = has.ready.saturating_sub(has.own).max(0);
                Percent::clamped(i64::from(ready) * 100 / i64::from(need))
            }
            // Nothing tells how much it can take.
            None => Percent::HUNDRED,
        };
        if self.signs.dead {
            // The primary serves nothing anyway; another standby may.
            let elsewhere = course.away().saturating_sub(course.weight(to));
            share = share.max(elsewhere.rest());
        }
        if share > course.weight(to) {
            course.give(to, share);
        }
    }

    fn well_long_enough(&self) -> bool {
        let since = self.memory.well_since;
        since.is_some_and(|since| self.now.duration_since(since) >= self.rules.return_for)
    }

    /// How long no return is allowed yet.
    fn held(&self, course: &Course) -> Option<SignedDuration> {
        let until = course.hold_until.filter(|until| *until > self.now)?;
        Some(until.duration_since(self.now))
    }

    /// The share that the primary gets next.
    fn next_share(&self, course: &Course) -> Percent {
        let has = course.away().rest();
        self.rules.ramp.iter().copied().find(|share| *share > has).unwrap_or(Percent::HUNDRED)
    }

    fn needed_at(&self, course: &Course, share: Percent) -> i32 {
        let needed = (i64::from(self.need(course)) * i64::from(share) + 99) / 100;
        i32::try_from(needed).unwrap_or(i32::MAX).clamp(1, self.spec.max_replicas.max(1))
    }

    /// Why requests are where they are, and until when.
    fn why_there(&self, course: &Course) -> String {
        let mut parts = self.signs.bad.clone();
        if let Some(left) = self.held(course).filter(|_| self.signs.bad.is_empty()) {
            parts.push(format!("held there for another {} s", left.as_secs() + 1));
        }
        if !self.rules.automatic && self.signs.bad.is_empty() {
            parts.push("return.mode is Manual".to_owned());
        }
        parts.join(", ")
    }

    fn limited(&self, course: &Course) -> Reason {
        Reason::SwitchLimit {
            backend: course.name(course.active).to_owned(),
            switches: course.switches.len(),
            most: self.rules.max_switches,
        }
    }

    fn unknown(&self) -> Reason {
        Reason::EvidenceUnknown { unknown: self.signs.unknown.join(", ") }
    }
}
