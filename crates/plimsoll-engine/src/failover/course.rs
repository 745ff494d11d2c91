//! Where requests go and went: what status tells, as something to work on.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::Standing;
use plimsoll_api::{FailoverRules, FailoverState, FailoverStatus, PRIMARY, Percent, StandbyStatus};

/// Switches are counted for so long.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// So many are kept: as many as `maxSwitchesPerHour` can be.
const SWITCHES_MAX: usize = 60;

/// Where requests go, and how they got there.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// The standby that they go to or are on their way to, by its place in the spec; `None` for the primary.
    pub active: Option<usize>,
    /// The share of each standby.
    pub weights: Vec<Percent>,
    /// Replicas of the primary that were ready before it failed.
    pub expected: i32,
    /// Replicas that it wanted when requests left it.
    pub needed: i32,
    /// Switches to a standby within the last hour, the newest last.
    pub switches: Vec<Timestamp>,
    /// No return before.
    pub hold_until: Option<Timestamp>,
    /// The order back to the primary that was carried out.
    pub obeyed: Option<String>,
    told: Option<FailoverStatus>,
    names: Vec<String>,
}

impl Course {
    /// As status tells. A standby that the spec has no more gets nothing.
    pub fn of(rules: &FailoverRules, standing: &Standing, now: Timestamp) -> Self {
        let names: Vec<String> = rules.standbys.iter().map(|standby| standby.name.clone()).collect();
        let told = standing.told.clone();
        let weight = |name: &String| {
            let known = told.as_ref().and_then(|told| told.standby(name));
            known.map_or(Percent::ZERO, |known| known.weight)
        };
        let mut weights: Vec<Percent> = names.iter().map(weight).collect();
        if weights.iter().copied().map(i32::from).sum::<i32>() > 100 {
            weights.fill(Percent::ZERO);
        }
        let active = told.as_ref().and_then(|told| names.iter().position(|name| *name == told.active));
        // Who takes the active one out of the spec moves requests, as an order does: the count begins anew.
        let removed = active.is_none() && told.as_ref().is_some_and(|told| told.active != PRIMARY);
        let times = told.iter().filter(|_| !removed).flat_map(|told| &told.switches).map(|time| time.0);
        // Clocks may differ a little: what is ahead was now. What is far ahead is no time of a switch.
        let recent = times.filter(|at| now.duration_since(*at).abs() < HOUR);
        let switches = recent.map(|at| at.min(now)).collect();
        let expected = told.as_ref().map_or(0, |told| told.expected_replicas.max(0));
        let needed = told.as_ref().map_or(0, |told| told.needed_replicas.max(0));
        let longest = now.saturating_add(rules.longest_hold()).unwrap_or(now);
        let hold_until =
            told.as_ref().and_then(|told| told.hold_until.as_ref()).map(|until| until.0.min(longest));
        let obeyed = told.as_ref().and_then(|told| told.obeyed.clone());
        Self { active, weights, expected, needed, switches, hold_until, obeyed, told, names }
    }

    /// The share of the requests that standbys get.
    pub fn away(&self) -> Percent {
        self.weights.iter().copied().sum()
    }

    /// Whether a standby gets requests, or is to get them.
    pub fn is_away(&self) -> bool {
        self.active.is_some() || self.away() > Percent::ZERO
    }

    /// The standby that has requests although they are on their way back.
    pub fn coming_from(&self) -> Option<usize> {
        let has = |weight: &Percent| *weight > Percent::ZERO;
        (self.active.is_none()).then(|| self.weights.iter().position(has)).flatten()
    }

    /// Learns how many replicas there are when all is well. Those that start are not expected before they were ready
    /// once, and while requests are away what was expected before is, unless that is nothing.
    pub fn expect(&mut self, ready: i32, replicas: i32) {
        if !self.is_away() || self.expected == 0 {
            self.expected = self.expected.max(ready).min(replicas).max(0);
        }
    }

    /// Requests are on their way to the standby `to` from now on, and that counts.
    pub fn switch(&mut self, to: usize, now: Timestamp) {
        self.active = Some(to);
        self.switches.push(now);
        let extra = self.switches.len().saturating_sub(SWITCHES_MAX);
        self.switches.drain(..extra);
    }

    /// Gives `standby` this share; the others give way to it.
    pub fn give(&mut self, standby: usize, share: Percent) {
        let mut left = share.rest();
        for (index, weight) in self.weights.iter_mut().enumerate() {
            if index == standby {
                *weight = share;
            } else {
                *weight = (*weight).min(left);
                left = left.saturating_sub(*weight);
            }
        }
    }

    /// Gives `standby` this share, and the others none.
    pub fn give_only(&mut self, standby: usize, share: Percent) {
        self.weights.fill(Percent::ZERO);
        self.give(standby, share);
    }

    /// Takes away the share of every standby that is not kept.
    pub fn keep(&mut self, kept: impl Fn(usize) -> bool) {
        for (index, weight) in self.weights.iter_mut().enumerate() {
            *weight = if kept(index) { *weight } else { Percent::ZERO };
        }
    }

    /// The standby with the largest share but for one.
    pub fn other(&self, but: usize) -> Option<usize> {
        let others = self.weights.iter().enumerate();
        let others = others.filter(|(index, weight)| *index != but && **weight > Percent::ZERO);
        others.max_by_key(|(_, weight)| **weight).map(|(index, _)| index)
    }

    /// The share of one standby.
    pub fn weight(&self, standby: usize) -> Percent {
        self.weights.get(standby).copied().unwrap_or_default()
    }

    /// The name of a backend.
    pub fn name(&self, backend: Option<usize>) -> &str {
        backend.and_then(|standby| self.names.get(standby)).map_or(PRIMARY, String::as_str)
    }

    /// Where a standby was: what is not known moves nobody.
    fn told_addresses(&self, name: &str) -> Vec<String> {
        let told = self.told.as_ref().and_then(|told| told.standby(name));
        told.map_or_else(Vec::new, |told| told.addresses.clone())
    }

    /// What to write.
    pub fn status(self, standing: &Standing, state: FailoverState, now: Timestamp) -> FailoverStatus {
        let since = self.told.as_ref().filter(|told| told.state == state).map(|told| told.since.clone());
        let backends = self.names.iter().enumerate().map(|(index, name)| {
            let seen = standing.standbys.iter().find(|seen| seen.name == *name);
            let known = seen.map(|seen| seen.addresses.as_slice()).filter(|addresses| !addresses.is_empty());
            let needed = self.active == Some(index) || self.weight(index) > Percent::ZERO;
            let asks = needed && seen.is_some_and(|seen| seen.capacity.is_some());
            StandbyStatus {
                name: name.clone(),
                weight: self.weight(index),
                addresses: known.map_or_else(|| self.told_addresses(name), to_strings),
                ready: seen.is_some_and(|seen| seen.trouble.is_none()),
                replicas: if asks { self.expected.max(self.needed) } else { 0 },
                message: seen.and_then(|seen| seen.trouble.clone()),
            }
        });
        FailoverStatus {
            state,
            since: since.unwrap_or(Time(now)),
            active: self.name(self.active).to_owned(),
            expected_replicas: self.expected,
            needed_replicas: if self.is_away() { self.needed } else { 0 },
            switches: self.switches.iter().copied().map(Time).collect(),
            hold_until: self.hold_until.filter(|until| *until > now && self.is_away()).map(Time),
            obeyed: self.obeyed.clone(),
            backends: backends.collect(),
        }
    }
}

fn to_strings(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(SocketAddr::to_string).collect()
}
