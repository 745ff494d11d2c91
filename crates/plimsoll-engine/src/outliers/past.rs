//! Ejected, returned and replaced replicas: the history that the status keeps.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{Member, Peers};
use plimsoll_api::{Ejected, RecoveryStatus, Replaced, Returned};

/// Longest hold, and longest pause between two replacements.
const HOLD_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Returns and replacements are forgotten after this time.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);
/// An evicted replica that the watch no longer lists stays ejected for this long after its eviction: its endpoint may still
/// look ready, and it must not get requests while it terminates.
const LINGER: SignedDuration = SignedDuration::from_secs(5);

/// Ejected and returned replicas, and the last replacement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Past {
    ejected: BTreeMap<String, Ejected>,
    returned: BTreeMap<String, Returned>,
    replaced: Option<Replaced>,
}

impl Past {
    /// Reads the last written status, without deleted pods and without times too far in the past or the future.
    pub fn of(peers: &Peers, now: Timestamp) -> Self {
        let last_written = &peers.last_written;
        // Before the watch has listed any pod, none of them counts as deleted.
        let unlisted = peers.members.is_empty();
        let member = |pod: &str| peers.members.iter().find(|member| member.name == pod);
        // A StatefulSet reuses the names of its pods.
        let same = |member: &Member, since: &Time| member.created <= since.0;
        let lingers = |ejected: &Ejected| {
            ejected.evicted.as_ref().is_some_and(|at| now.duration_since(at.0).abs() < LINGER)
        };
        let stays = |ejected: &&Ejected| match member(&ejected.pod) {
            Some(member) => same(member, &ejected.since),
            None => unlisted || lingers(ejected),
        };
        let ejected = last_written.ejected.iter().filter(stays).map(|ejected| {
            let since = ejected.since.0.min(now);
            let latest = after(now, HOLD_MAX + HOLD_MAX);
            let (since, until) = (Time(since), Time(ejected.until.0.min(latest)));
            // An eviction that the pod survives did not take place.
            let evicted = ejected.evicted.clone().filter(|_| lingers(ejected));
            let (pod, ejections) = (ejected.pod.clone(), ejected.ejections.max(1));
            (pod.clone(), Ejected { pod, since, until, ejections, evicted })
        });
        let known = |returned: &&Returned| {
            let recent = now.duration_since(returned.since.0) < REMEMBERED;
            let there = member(&returned.pod).map_or(unlisted, |member| same(member, &returned.since));
            recent && there
        };
        let returned = last_written.returned.iter().filter(known).map(|returned| {
            let since = Time(returned.since.0.min(now));
            (returned.pod.clone(), Returned { since, ..returned.clone() })
        });
        let replaced =
            last_written.replaced.clone().filter(|last| now.duration_since(last.at.0) < REMEMBERED);
        let replaced = replaced.map(|last| Replaced { at: Time(last.at.0.min(now)), ..last });
        Self { ejected: ejected.collect(), returned: returned.collect(), replaced }
    }

    /// Puts the replicas whose hold is over back into rotation, and the most recently ejected ones if there are more than
    /// `allowed`.
    pub fn give_back(&mut self, now: Timestamp, allowed: usize) {
        let over = |out: &&Ejected| out.evicted.is_none() && out.until.0 <= now;
        let over: Vec<String> = self.ejected.values().filter(over).map(|out| out.pod.clone()).collect();
        over.iter().for_each(|pod| self.give_back_one(pod, now));
        while self.out() > allowed {
            let newest =
                self.ejected.values().filter(|out| out.evicted.is_none()).max_by_key(|out| out.since.0);
            let Some(pod) = newest.map(|out| out.pod.clone()) else { return };
            self.give_back_one(&pod, now);
        }
    }

    fn give_back_one(&mut self, pod: &str, now: Timestamp) {
        let Some(out) = self.ejected.remove(pod) else { return };
        let returned = Returned { pod: out.pod, since: Time(now), ejections: out.ejections };
        self.returned.insert(pod.to_owned(), returned);
    }

    /// Ejects a replica; `drain` is how long its requests may take before it is replaced.
    pub fn eject(&mut self, pod: &str, base: SignedDuration, drain: SignedDuration, now: Timestamp) {
        let before = self.returned.remove(pod).map_or(0, |returned| returned.ejections.max(0));
        let hold = doubled(base, before) + drain;
        let ejected = Ejected {
            pod: pod.to_owned(),
            since: Time(now),
            until: Time(after(now, hold)),
            ejections: before.saturating_add(1),
            evicted: None,
        };
        self.ejected.insert(pod.to_owned(), ejected);
    }

    /// Whether a replacement is in progress, or the pause after the last one.
    pub fn replaces(&self, base: SignedDuration, now: Timestamp) -> bool {
        // It starts at half of the hold, so that replicas that wait for their replacement don't return meanwhile.
        let pauses =
            |last: &Replaced| now.duration_since(last.at.0) < doubled(base / 2, last.count.max(1) - 1);
        self.ejected.values().any(|out| out.evicted.is_some()) || self.replaced.as_ref().is_some_and(pauses)
    }

    /// Whether a replica is ejected.
    pub fn is_out(&self, pod: &str) -> bool {
        self.ejected.contains_key(pod)
    }

    /// Number of ejected replicas that are not evicted.
    pub fn out(&self) -> usize {
        self.ejected.values().filter(|out| out.evicted.is_none()).count()
    }

    /// The ejected replicas.
    pub fn ejected(&self) -> impl Iterator<Item = &Ejected> {
        self.ejected.values()
    }

    /// The status to write.
    pub fn status(self) -> RecoveryStatus {
        RecoveryStatus {
            ejected: self.ejected.into_values().collect(),
            returned: self.returned.into_values().collect(),
            replaced: self.replaced,
        }
    }
}

/// Records a replacement.
pub(super) fn replaced(status: &mut RecoveryStatus, now: Timestamp) {
    let count = status.replaced.as_ref().map_or(0, |last| last.count.max(0)).saturating_add(1);
    status.replaced = Some(Replaced { at: Time(now), count });
}

/// `base`, doubled `times` times, at most an hour.
fn doubled(base: SignedDuration, times: i32) -> SignedDuration {
    let factor = 1_i32.checked_shl(u32::try_from(times.clamp(0, 30)).unwrap_or_default()).unwrap_or(i32::MAX);
    base.checked_mul(factor).unwrap_or(HOLD_MAX).min(HOLD_MAX)
}

fn after(now: Timestamp, time: SignedDuration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}
