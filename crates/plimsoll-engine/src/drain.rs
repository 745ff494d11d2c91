//! A scale-down as a transaction with the load balancer: the replicas that are to go get no new requests, finish those
//! that they have, and only then is the number lowered.
//!
//! Its memory is what status says is being drained, so it survives a restart of whoever calls it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{Member, Rotation};

/// Replicas that are done wait this long for the others, so that most scale-downs are one write.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// How often to look while something drains or goes, in case nobody speaks up.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drain {
    /// Who gets no new requests, since when.
    pub draining: BTreeMap<String, Timestamp>,
    /// Replicas that the target may have now.
    pub replicas: i32,
    /// Those of `draining` that go with the next write; to be marked before it.
    pub go: BTreeSet<String>,
    /// Pods that bear a mark and are to stay.
    pub stay: Vec<String>,
    /// Those that are done, but wait for others.
    pub drained: i32,
    /// Those of `go` whose time was over before they were done.
    pub timed_out: i32,
    /// When the first of those that stay for now was chosen.
    pub since: Option<Timestamp>,
}

impl Drain {
    /// When to look again.
    #[must_use]
    pub fn next_look(&self) -> Option<SignedDuration> {
        (!self.draining.is_empty()).then_some(PAUSE)
    }
}

/// The next step on the way from `current` to `wanted` replicas, where each replica may take `timeout` to finish.
///
/// - Whoever is not ready goes first, as the ReplicaSet controller has it, too; then who is ejected; then who is being
///   drained already; then those that leave the rest evenly spread over zones and nodes; then the youngest. Of a StatefulSet the
///   highest ordinals go.
/// - There are never fewer ready replicas that get requests than `wanted`, if there were as many before.
/// - A raise takes back what is not needed any more.
/// - Replicas that are done for some seconds go although others are not: one long stream keeps one replica, not all of
///   them. But none goes as long as another would be deleted in its place.
/// - Nobody's word is nobody's consent: without a live balancer, the timeout decides.
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
    // Those that were let go with the last write and are not deleted yet.
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
        some(rotation, &fresh, &going, done)
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

/// What was being drained stays as it is: nothing is known yet that would end it or take it back.
#[must_use]
pub fn hold(rotation: &Rotation, current: i32) -> Drain {
    let there = |pod: &str| rotation.members.iter().any(|member| member.name == pod);
    let draining = rotation.draining.iter().filter(|(pod, _)| there(pod) || rotation.members.is_empty());
    let draining = draining.map(|(pod, since)| (pod.clone(), *since)).collect();
    Drain { draining, replicas: current, ..Drain::default() }
}

/// Pods above `current` whose deletion was asked for and is under way. A surge pod of a rollout is none of them.
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

/// The `wanted` replicas to remove, the first to go first; all that are `going` are among them.
fn victims<'a>(rotation: &'a Rotation, going: &BTreeSet<&str>, wanted: usize) -> Vec<&'a Member> {
    let mut left: Vec<&Member> = rotation.members.iter().collect();
    if rotation.ordered {
        left.sort_by_key(|member| std::cmp::Reverse(ordinal(&member.name)));
        left.truncate(wanted);
        return left;
    }
    // By name, so that the order of a hash map decides nothing.
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

/// Those of `fresh` that may go before the others: none that would make another one be deleted in its place.
fn some<'a>(
    rotation: &Rotation,
    fresh: &[&'a Member],
    going: &BTreeSet<&str>,
    done: impl Fn(&str) -> bool,
) -> BTreeSet<&'a str> {
    let first = fresh.iter().map(|victim| victim.name.as_str());
    if rotation.ordered {
        return first.take_while(|pod| done(pod)).collect();
    }
    // A ReplicaSet deletes pods that are not ready before any that is marked.
    let goes = |member: &Member| {
        going.contains(member.name.as_str())
            || (fresh.iter().any(|victim| victim.name == member.name) && done(&member.name))
    };
    let in_the_way = |member: &Member| !member.ready && !goes(member);
    if rotation.members.iter().any(in_the_way) {
        return BTreeSet::new();
    }
    first.filter(|pod| done(pod)).collect()
}

/// The number at the end of a StatefulSet's pod.
fn ordinal(pod: &str) -> u32 {
    pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()).unwrap_or_default()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
