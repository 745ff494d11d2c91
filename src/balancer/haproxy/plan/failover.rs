//! Steps for standbys: addresses and limits, then the shares, then the servers that take waiting requests.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Phases, Step};
use crate::balancer::{
    Standby, Wanted,
    haproxy::{
        command::AdminState,
        limits,
        seen::{Seen, SeenServer},
        standbys::{bounds, instead, own, slots},
    },
};
use plimsoll_api::{Percent, StandbyStatus};

impl Phases {
    /// Plans the steps for standbys and shares. Replicas become ready before, since a returning share needs them.
    pub(super) fn fail_over(&mut self, wanted: &Wanted, seen: &Seen, checks: bool) {
        let all = wanted.primary_share() == Percent::ZERO;
        for (standby, share) in wanted.shares() {
            let of = |name: &str| seen.standbys.get(name).copied();
            let most = limits::of_standby(wanted, standby, seen);
            for (slot, address) in places(standby, seen).into_iter().enumerate() {
                let (own, instead) = (own(&standby.name, slot), instead(&standby.name, slot));
                let on = address.is_some();
                self.prepare_standby(&own, address, of(&own), most, checks);
                let steps = toggle(&own, on, of(&own));
                if on {
                    self.ready.extend(steps)
                } else {
                    self.take.extend(steps)
                }
                self.prepare_standby(&instead, address, of(&instead), most, false);
                let on = on && all && share > Percent::ZERO;
                let steps = toggle(&instead, on, of(&instead));
                if on { self.instead.extend(steps) } else { self.take.extend(steps) }
            }
        }
        self.shares.extend(shares(wanted, &seen.shares));
    }

    fn prepare_standby(
        &mut self,
        name: &str,
        address: Option<SocketAddr>,
        before: Option<SeenServer>,
        most: u32,
        checks: bool,
    ) {
        let Some(before) = before else { return };
        let moved = address.filter(|address| *address != before.address);
        if let Some(address) = moved {
            self.prepare.push(Step::Move(name.to_owned(), address));
        }
        if before.maxconn != most {
            self.prepare.push(Step::Limit(name.to_owned(), most));
        }
        if checks && !before.checked {
            self.prepare.push(Step::Check(name.to_owned()));
        }
        if checks && moved.is_some() {
            self.prepare.push(Step::Forget(name.to_owned()));
        }
    }
}

/// The address of each server of a standby. A server keeps an address that is still wanted, so that its checks and
/// requests go on.
fn places(standby: &Standby, seen: &Seen) -> Vec<Option<SocketAddr>> {
    let has = |slot| seen.standbys.get(&own(&standby.name, slot)).map(|server| server.address);
    // Until the next reload there may be more servers than needed, which have to be closed.
    let all = 0..StandbyStatus::ADDRESSES_MAX;
    let there = all.take_while(|slot| *slot < slots(standby) || has(*slot).is_some());
    let mut left = standby.addresses.clone();
    let mut places: Vec<Option<SocketAddr>> = there
        .map(|slot| {
            let address = has(slot)?;
            let index = left.iter().position(|one| *one == address)?;
            Some(left.remove(index))
        })
        .collect();
    let mut left = left.into_iter();
    for place in places.iter_mut().filter(|place| place.is_none()) {
        *place = left.next();
    }
    places
}

/// Steps that turn a server on or off. For a missing server they are refused, and a reload repairs that.
fn toggle(name: &str, on: bool, before: Option<SeenServer>) -> Vec<Step> {
    let mut steps = Vec::new();
    if on && before.is_some_and(|before| before.weight == 0) {
        steps.push(Step::Share(name.to_owned()));
    }
    if on && before.is_none_or(|before| before.admin != AdminState::Ready) {
        steps.push(Step::Ready(name.to_owned()));
    }
    if !on && before.is_none_or(|before| before.admin != AdminState::Maint) {
        steps.push(Step::Close(name.to_owned()));
    }
    steps
}

/// Changes of the bounds: increases from the first to the last, then decreases from the last to the first. So no share
/// is temporarily larger than both before and after.
fn shares(wanted: &Wanted, seen: &BTreeMap<String, Option<u8>>) -> Vec<Step> {
    let (mut rise, mut fall) = (Vec::new(), Vec::new());
    for (standby, below) in bounds(wanted) {
        match seen.get(standby) {
            // A standby that is not in the map gets nothing.
            None => rise.push(Step::NewBound(standby.to_owned(), below)),
            Some(Some(before)) if *before == below => {}
            Some(Some(before)) if *before > below => fall.push(Step::Bound(standby.to_owned(), below)),
            Some(_) => rise.push(Step::Bound(standby.to_owned(), below)),
        }
    }
    fall.reverse();
    rise.into_iter().chain(fall).collect()
}
