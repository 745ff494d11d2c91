//! What the standbys can take.

use jiff::SignedDuration;

use super::{routing::RoutingState, turn::Turn};
use crate::StandbySeen;
use plimsoll_api::{FailoverReason, Percent};

/// A standby that takes no requests any more is left after this time: its checks have failed several times by then.
const STANDBY_LOST: SignedDuration = SignedDuration::from_secs(2);

impl Turn<'_> {
    /// Whether a standby would take all requests now.
    pub fn readiness(&self, routing: &RoutingState) -> FailoverReason {
        let need = self.need(routing);
        let mut troubles = Vec::new();
        for name in self.names() {
            let seen = self.input.standbys.iter().find(|seen| seen.name == name);
            let trouble = match seen {
                None => Some("nothing is known of it yet".to_owned()),
                Some(StandbySeen { trouble: Some(trouble), .. }) => Some(trouble.clone()),
                Some(seen) if seen.addresses.is_empty() => Some("its address is not known yet".to_owned()),
                Some(StandbySeen { capacity: Some(has), .. }) if has.most.saturating_sub(has.own) < need => {
                    let free = has.most.saturating_sub(has.own).max(0);
                    Some(format!("it can get {free} replicas for this, where {need} are needed"))
                }
                Some(_) => None,
            };
            match trouble {
                None => return FailoverReason::StandbyReady { standby: name.to_owned() },
                Some(trouble) => troubles.push(format!("{name}: {trouble}")),
            }
        }
        FailoverReason::StandbyNotReady { why: troubles.join("; ") }
    }

    /// The first standby that takes requests and can get the replicas for all of them; else the one that can get most.
    pub fn usable(&self, routing: &RoutingState) -> Option<usize> {
        self.roomiest(routing, |_| true)
    }

    /// The same among those that serve requests now, but for one.
    pub fn serving(&self, routing: &RoutingState, but: usize) -> Option<usize> {
        self.roomiest(routing, |standby| standby != but && self.serves(standby))
    }

    fn roomiest(&self, routing: &RoutingState, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let need = self.need(routing);
        let standbys =
            (0..self.rules.standbys.len()).filter(|standby| self.takes(*standby) && fits(*standby));
        // Of equals `max_by_key` gives the last one, and the first is preferred.
        standbys.rev().max_by_key(|standby| self.room(*standby).min(need))
    }

    /// Whether a standby has taken no requests for long enough to be sure of it.
    pub fn is_lost(&mut self, routing: &RoutingState, standby: usize) -> bool {
        let answers = self.seen_of(standby).is_some_and(|seen| seen.trouble.is_none());
        // A load balancer may answer for nobody.
        let nobody = routing.weight(standby) > Percent::ZERO && !self.serves(standby);
        if answers && !nobody {
            self.memory.standby_lost = None;
            return false;
        }
        // No later than now, whatever becomes of the clock.
        let since = self.memory.standby_lost.unwrap_or(self.now).min(self.now);
        self.memory.standby_lost = Some(since);
        self.now.duration_since(since) >= STANDBY_LOST
    }

    /// Whether a standby would take requests now.
    pub fn takes(&self, standby: usize) -> bool {
        self.seen_of(standby).is_some_and(|seen| seen.trouble.is_none() && !seen.addresses.is_empty())
    }

    /// Whether it has a replica, as far as is known.
    pub fn serves(&self, standby: usize) -> bool {
        let capacity = self.seen_of(standby).and_then(|seen| seen.capacity);
        capacity.is_none_or(|has| has.ready > 0)
    }

    /// Replicas that it can get for others.
    fn room(&self, standby: usize) -> i32 {
        let capacity = self.seen_of(standby).and_then(|seen| seen.capacity);
        capacity.map_or(i32::MAX, |has| has.most.saturating_sub(has.own).max(0))
    }

    pub fn seen_of(&self, index: usize) -> Option<&StandbySeen> {
        let name = &self.rules.standbys.get(index)?.name;
        self.input.standbys.iter().find(|seen| seen.name == *name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.standbys.iter().map(|standby| standby.name.as_str())
    }

    /// Replicas that all requests need.
    pub fn need(&self, routing: &RoutingState) -> i32 {
        let wanted = if routing.is_away() { routing.needed } else { self.seen.replicas };
        routing.expected.max(wanted).max(1)
    }
}
