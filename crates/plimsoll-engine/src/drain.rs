//! Scale-down in step with the load balancer: the replicas to be removed get no new requests and finish those that they have.
//! Only then is the number of replicas lowered.
//!
//! Its state is the list of draining replicas in the status, so it survives a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{Member, Rotation};

/// Drained replicas wait this long for the others, so that most scale-downs are one write.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// Time between turns while replicas drain, in case no event triggers one.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// The next step of a scale-down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drain {
    /// Draining replicas, with start times.
    pub draining: BTreeMap<String, Timestamp>,
    /// Replicas that the target should have for now.
    pub replicas: i32,
    /// Replicas of `draining` that the next write removes; they are marked before it.
    pub go: BTreeSet<String>,
    /// Marked pods that stay; their mark is removed.
    pub stay: Vec<String>,
    /// Number of drained replicas that wait for others.
    pub drained: i32,
    /// Number of replicas in `go` that timed out before they were drained.
    pub timed_out: i32,
    /// Earliest start time of the replicas that keep draining.
    pub since: Option<Timestamp>,
}

impl Drain {
    /// Time until the next turn; `None` if nothing drains.
    #[must_use]
    pub fn next_look(&self) -> Option<SignedDuration> {
        (!self.draining.is_empty()).then_some(PAUSE)
    }
}

/// The next step from `current` to `wanted` replicas, where each replica may take `timeout` to finish.
///
/// - Order of removal: replicas that are not ready (as in the ReplicaSet controller), then ejected ones, then draining ones,
///   then those that leave the rest evenly spread over zones and nodes, then the youngest. A StatefulSet loses its highest
///   ordinals.
/// - At least `wanted` ready replicas keep getting requests, if there were as many before.
/// - A scale-up cancels the drains that are no longer needed.
/// - Drained replicas are removed after a few seconds even if others are not drained, so that one long stream keeps one
///   replica, not all of them. But none is removed while another pod would be deleted in its place.
/// - Without a live balancer, only the timeout completes a drain.
#[must_use]
pub fn drain(
    rotation: &Rotation,
    wanted: i32,
    current: i32,
    timeout: SignedDuration,
    now: Timestamp,
) -> Drain {
    let members = count(rotation.members.len());
    let excess = (current - wanted).max(0);
    // Replicas that the last write removed and that are not deleted yet.
    let going: BTreeSet<&str> = going(rotation, current);
    let needed = excess.min(members - count(going.len()) - wanted).max(0);
    let victims = victims(rotation, &going, going.len() + usize::try_from(needed).unwrap_or_default());
    let draining: BTreeMap<String, Timestamp> = victims
        .iter()
        .map(|victim| {
            (victim.name.clone(), rotation.draining.get(&victim.name).copied().unwrap_or(now).min(now))
        })
        .collect();
    let mut next = Drain { replicas: current, ..Drain::default() };
    next.stay = rotation
        .members
        .iter()
        .filter(|member| member.marked && !draining.contains_key(&member.name))
        .map(|member| member.name.clone())
        .collect();
    if excess == 0 || (members == 0 && rotation.ready > 0) {
        next.draining = draining;
        return next;
    }
    let age = |pod: &str| draining.get(pod).map_or(SignedDuration::ZERO, |since| now.duration_since(*since));
    let drained = |pod: &str| draining.get(pod).is_some_and(|since| rotation.finished(pod, *since, now));
    let done = |pod: &str| drained(pod) || age(pod) >= timeout;
    let fresh: Vec<&Member> =
        victims.into_iter().filter(|victim| !going.contains(victim.name.as_str())).collect();
    let all = fresh.iter().all(|victim| done(&victim.name));
    let go: BTreeSet<&str> = if all {
        fresh.iter().map(|victim| victim.name.as_str()).collect()
    } else if fresh.iter().any(|victim| age(&victim.name) >= PATIENCE) {
        removable(rotation, &fresh, &going, done)
    } else {
        BTreeSet::new()
    };
    next.replicas = if all { wanted } else { current - count(go.len()) };
    let waiting = fresh.iter().filter(|victim| !go.contains(victim.name.as_str()));
    next.drained = count(waiting.clone().filter(|victim| drained(&victim.name)).count());
    next.timed_out = count(go.iter().filter(|pod| !drained(pod)).count());
    next.go = go.iter().map(|pod| (*pod).to_owned()).collect();
    next.since = waiting.filter_map(|victim| draining.get(&victim.name).copied()).min();
    next.draining = draining;
    next
}

/// Keeps the current drains: there is no evidence yet to complete or cancel them.
#[must_use]
pub fn hold(rotation: &Rotation, current: i32) -> Drain {
    let there = |pod: &str| rotation.members.iter().any(|member| member.name == pod);
    let draining = rotation.draining.iter().filter(|(pod, _)| there(pod) || rotation.members.is_empty());
    let draining = draining.map(|(pod, since)| (pod.clone(), *since)).collect();
    Drain { draining, replicas: current, ..Drain::default() }
}

/// Pods in excess of `current` whose deletion was requested. Surge pods of a rollout are not among them.
fn going(rotation: &Rotation, current: i32) -> BTreeSet<&str> {
    let above = usize::try_from(count(rotation.members.len()) - current).unwrap_or_default();
    let mut asked: Vec<&Member> = rotation
        .members
        .iter()
        .filter(|member| rotation.draining.contains_key(&member.name) && (member.marked || rotation.ordered))
        .collect();
    if rotation.ordered {
        asked.sort_by_key(|member| std::cmp::Reverse(ordinal(&member.name)));
    }
    asked.into_iter().take(above).map(|member| member.name.as_str()).collect()
}

/// The `wanted` replicas to remove, in order of removal; all that are `going` are among them.
fn victims<'a>(rotation: &'a Rotation, going: &BTreeSet<&str>, wanted: usize) -> Vec<&'a Member> {
    let mut left: Vec<&Member> = rotation.members.iter().collect();
    if rotation.ordered {
        left.sort_by_key(|member| std::cmp::Reverse(ordinal(&member.name)));
        left.truncate(wanted);
        return left;
    }
    // Sorted by name, so that the order of a hash map has no effect.
    left.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut zones, mut nodes) = (HashMap::new(), HashMap::new());
    for member in &left {
        *zones.entry(member.zone.as_deref()).or_insert(0_usize) += 1;
        *nodes.entry(member.node.as_deref()).or_insert(0_usize) += 1;
    }
    let mut chosen = Vec::new();
    while chosen.len() < wanted {
        let rank = |member: &Member| {
            let crowd =
                (zones.get(&member.zone.as_deref()).copied(), nodes.get(&member.node.as_deref()).copied());
            let drains = rotation.draining.contains_key(&member.name);
            let ejected = rotation.ejected.contains(&member.name);
            (going.contains(member.name.as_str()), !member.ready, ejected, drains, crowd, member.created)
        };
        let best = left.iter().enumerate().max_by_key(|(_, member)| rank(member)).map(|(at, _)| at);
        let Some(at) = best else { break };
        let member = left.remove(at);
        if let Some(crowd) = zones.get_mut(&member.zone.as_deref()) {
            *crowd -= 1;
        }
        if let Some(crowd) = nodes.get_mut(&member.node.as_deref()) {
            *crowd -= 1;
        }
        chosen.push(member);
    }
    chosen
}

/// The replicas of `fresh` to remove before the others; none if another pod would be deleted in their place.
fn removable<'a>(
    rotation: &Rotation,
    fresh: &[&'a Member],
    going: &BTreeSet<&str>,
    done: impl Fn(&str) -> bool,
) -> BTreeSet<&'a str> {
    let first = fresh.iter().map(|victim| victim.name.as_str());
    if rotation.ordered {
        return first.take_while(|pod| done(pod)).collect();
    }
    // A ReplicaSet deletes unready pods before marked ones.
    let is_removed = |member: &Member| {
        going.contains(member.name.as_str())
            || (fresh.iter().any(|victim| victim.name == member.name) && done(&member.name))
    };
    let in_the_way = |member: &Member| !member.ready && !is_removed(member);
    if rotation.members.iter().any(in_the_way) {
        return BTreeSet::new();
    }
    first.filter(|pod| done(pod)).collect()
}

/// The ordinal of a StatefulSet's pod.
fn ordinal(pod: &str) -> u32 {
    pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()).unwrap_or_default()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
