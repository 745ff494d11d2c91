//! Where requests go and went: a working copy of the status.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::FailoverInput;
use plimsoll_api::{FailoverRules, FailoverState, FailoverStatus, PRIMARY, Percent, StandbyStatus};

/// Switches are counted over this period.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Number of switches that are kept: the largest `maxSwitchesPerHour`.
const SWITCHES_MAX: usize = 60;

/// Where requests go, and the switches that led there.
#[derive(Clone, Debug)]
pub(super) struct RoutingState {
    /// The standby that requests go or move to, by its index in the spec; `None` for the primary.
    pub active: Option<usize>,
    /// The share of each standby.
    pub weights: Vec<Percent>,
    /// Replicas of the primary that were ready before it failed.
    pub expected: i32,
    /// Replicas that the primary wanted when requests left it.
    pub needed: i32,
    /// Switches to a standby within the last hour, the newest last.
    pub switches: Vec<Timestamp>,
    /// No return before this time.
    pub hold_until: Option<Timestamp>,
    /// The manual override back to the primary that was carried out.
    pub acknowledged_override: Option<String>,
    last_written: Option<FailoverStatus>,
    names: Vec<String>,
}

impl RoutingState {
    /// Reads the last written status. A standby that is no longer in the spec gets no share.
    pub fn of(rules: &FailoverRules, input: &FailoverInput, now: Timestamp) -> Self {
        let names: Vec<String> = rules.standbys.iter().map(|standby| standby.name.clone()).collect();
        let last_written = input.last_written.clone();
        let weight = |name: &String| {
            let known = last_written.as_ref().and_then(|last_written| last_written.standby(name));
            known.map_or(Percent::ZERO, |known| known.weight)
        };
        let mut weights: Vec<Percent> = names.iter().map(weight).collect();
        if weights.iter().copied().map(i32::from).sum::<i32>() > 100 {
            weights.fill(Percent::ZERO);
        }
        let active = last_written
            .as_ref()
            .and_then(|last_written| names.iter().position(|name| *name == last_written.active));
        // Removing the active standby from the spec moves requests like a manual override, so it resets the count.
        let removed = active.is_none()
            && last_written.as_ref().is_some_and(|last_written| last_written.active != PRIMARY);
        let times = last_written
            .iter()
            .filter(|_| !removed)
            .flat_map(|last_written| &last_written.switches)
            .map(|time| time.0);
        // Clocks may differ a little: a time slightly ahead counts as now. A time far ahead is invalid.
        let recent = times.filter(|at| now.duration_since(*at).abs() < HOUR);
        let switches = recent.map(|at| at.min(now)).collect();
        let expected = last_written.as_ref().map_or(0, |last_written| last_written.expected_replicas.max(0));
        let needed = last_written.as_ref().map_or(0, |last_written| last_written.needed_replicas.max(0));
        let longest = now.saturating_add(rules.longest_hold()).unwrap_or(now);
        let hold_until = last_written
            .as_ref()
            .and_then(|last_written| last_written.hold_until.as_ref())
            .map(|until| until.0.min(longest));
        let acknowledged_override =
            last_written.as_ref().and_then(|last_written| last_written.acknowledged_override.clone());
        Self {
            active,
            weights,
            expected,
            needed,
            switches,
            hold_until,
            acknowledged_override,
            last_written,
            names,
        }
    }

    /// The share of the requests that standbys get.
    pub fn away(&self) -> Percent {
        self.weights.iter().copied().sum()
    }

    /// Whether a standby gets requests, or will get them.
    pub fn is_away(&self) -> bool {
        self.active.is_some() || self.away() > Percent::ZERO
    }

    /// The standby that still has requests during a return.
    pub fn coming_from(&self) -> Option<usize> {
        let has = |weight: &Percent| *weight > Percent::ZERO;
        (self.active.is_none()).then(|| self.weights.iter().position(has)).flatten()
    }

    /// Learns the ready replicas of a healthy primary. Starting replicas are not expected until they have been ready once.
    /// While requests are away, the number stays, unless it is 0.
    pub fn expect(&mut self, ready: i32, replicas: i32) {
        if !self.is_away() || self.expected == 0 {
            self.expected = self.expected.max(ready).min(replicas).max(0);
        }
    }

    /// Makes `to` the active standby and counts a switch.
    pub fn switch(&mut self, to: usize, now: Timestamp) {
        self.active = Some(to);
        self.switches.push(now);
        let extra = self.switches.len().saturating_sub(SWITCHES_MAX);
        self.switches.drain(..extra);
    }

    /// Gives `standby` this share, and cuts the others to what is left.
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

    /// Removes the share of every standby that is not kept.
    pub fn keep(&mut self, kept: impl Fn(usize) -> bool) {
        for (index, weight) in self.weights.iter_mut().enumerate() {
            *weight = if kept(index) { *weight } else { Percent::ZERO };
        }
    }

    /// The standby with the largest share, except `but`.
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

    /// The last written addresses of a standby. They stay while the current ones are unknown, so that no requests move.
    fn last_written_addresses(&self, name: &str) -> Vec<String> {
        let last_written = self.last_written.as_ref().and_then(|last_written| last_written.standby(name));
        last_written.map_or_else(Vec::new, |last_written| last_written.addresses.clone())
    }

    /// The status to write.
    pub fn status(self, input: &FailoverInput, state: FailoverState, now: Timestamp) -> FailoverStatus {
        let since = self
            .last_written
            .as_ref()
            .filter(|last_written| last_written.state == state)
            .map(|last_written| last_written.since.clone());
        let backends = self.names.iter().enumerate().map(|(index, name)| {
            let seen = input.standbys.iter().find(|seen| seen.name == *name);
            let known = seen.map(|seen| seen.addresses.as_slice()).filter(|addresses| !addresses.is_empty());
            let needed = self.active == Some(index) || self.weight(index) > Percent::ZERO;
            let asks = needed && seen.is_some_and(|seen| seen.capacity.is_some());
            StandbyStatus {
                name: name.clone(),
                weight: self.weight(index),
                addresses: known.map_or_else(|| self.last_written_addresses(name), to_strings),
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
            acknowledged_override: self.acknowledged_override.clone(),
            backends: backends.collect(),
        }
    }
}

fn to_strings(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(SocketAddr::to_string).collect()
}
