//! Health and capacity of the standbys.

use jiff::SignedDuration;

use super::{routing::RoutingState, turn::Turn};
use crate::StandbySeen;
use plimsoll_api::{FailoverReason, Percent};

/// A standby that can't take requests is left after this time: its checks have failed several times by then.
const STANDBY_LOST: SignedDuration = SignedDuration::from_secs(2);

impl Turn<'_> {
    /// Whether a standby can take all requests now.
    pub fn readiness(&self, routing: &RoutingState) -> FailoverReason {
        let need = self.need(routing);
        let mut troubles = Vec::new();
        for name in self.names() {
            let seen = self.input.standbys.iter().find(|seen| seen.name == name);
            let trouble = match seen {
                None => Some("its state is not known yet".to_owned()),
                Some(StandbySeen { trouble: Some(trouble), .. }) => Some(trouble.clone()),
                Some(seen) if seen.addresses.is_empty() => Some("its address is not known yet".to_owned()),
                Some(StandbySeen { capacity: Some(has), .. }) if has.most.saturating_sub(has.own) < need => {
                    let free = has.most.saturating_sub(has.own).max(0);
                    Some(format!("it can provide {free} replicas for this, but {need} are needed"))
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

    /// The first standby that can take requests and provide the replicas for all of them; else the one that can provide most.
    pub fn usable(&self, routing: &RoutingState) -> Option<usize> {
        self.roomiest(routing, |_| true)
    }

    /// The same among the standbys that serve now, except `but`.
    pub fn serving(&self, routing: &RoutingState, but: usize) -> Option<usize> {
        self.roomiest(routing, |standby| standby != but && self.serves(standby))
    }

    fn roomiest(&self, routing: &RoutingState, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let need = self.need(routing);
        let standbys =
            (0..self.rules.standbys.len()).filter(|standby| self.takes(*standby) && fits(*standby));
        // `max_by_key` returns the last of equals, but the first is preferred.
        standbys.rev().max_by_key(|standby| self.room(*standby).min(need))
    }

    /// Whether a standby has been unable to serve requests for [`STANDBY_LOST`].
    pub fn is_lost(&mut self, routing: &RoutingState, standby: usize) -> bool {
        let answers = self.seen_of(standby).is_some_and(|seen| seen.trouble.is_none());
        // A load balancer may pass its checks without a replica behind it.
        let empty = routing.weight(standby) > Percent::ZERO && !self.serves(standby);
        if answers && !empty {
            self.memory.standby_lost = None;
            return false;
        }
        // Not later than now, in case the clock was set back.
        let since = self.memory.standby_lost.unwrap_or(self.now).min(self.now);
        self.memory.standby_lost = Some(since);
        self.now.duration_since(since) >= STANDBY_LOST
    }

    /// Whether a standby can take requests now.
    pub fn takes(&self, standby: usize) -> bool {
        self.seen_of(standby).is_some_and(|seen| seen.trouble.is_none() && !seen.addresses.is_empty())
    }

    /// Whether it has a ready replica; true if its capacity is unknown.
    pub fn serves(&self, standby: usize) -> bool {
        let capacity = self.seen_of(standby).and_then(|seen| seen.capacity);
        capacity.is_none_or(|has| has.ready > 0)
    }

    /// Replicas that it can provide to other services.
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

    /// Replicas needed for all requests.
    pub fn need(&self, routing: &RoutingState) -> i32 {
        let wanted = if routing.is_away() { routing.needed } else { self.seen.replicas };
        routing.expected.max(wanted).max(1)
    }
}
