//! Draining before a scale-down: properties of every sequence of events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use plimsoll_api::{DecisionCode, DecisionReason};
use plimsoll_engine::{Drain, Member, Memory, Observation, Pod, Pods, Rotation, alone, drain, turn};
use proptest::prelude::*;

use super::fixtures::{fresh, spec};

const TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn member(index: i64, ready: bool) -> Member {
    Member {
        name: format!("web-{index}"),
        ready,
        created: at(index - 10_000),
        node: Some(format!("node-{}", index % 3)),
        zone: Some(format!("zone-{}", index % 2)),
        marked: false,
    }
}

/// A target whose ReplicaSet (or StatefulSet) and balancers follow the decisions, each with its own delay.
#[derive(Clone, Debug)]
struct World {
    rotation: Rotation,
    replicas: i32,
    born: i64,
    second: i64,
    /// Deleted pods, and whether they were drained by then.
    deleted: Vec<(String, bool)>,
    /// Seconds that each pod needs to finish its last request once it gets no new ones.
    busy: BTreeMap<String, i64>,
}

impl World {
    fn new(pods: i64, ordered: bool, balancers: usize) -> Self {
        let rotation = Rotation {
            ordered,
            members: (0..pods).map(|index| member(index, true)).collect(),
            balancers: vec![BTreeSet::new(); balancers],
            ..Rotation::default()
        };
        let replicas = i32::try_from(pods).unwrap();
        Self { rotation, replicas, born: pods, second: 0, deleted: Vec::new(), busy: BTreeMap::new() }
    }

    /// The decision for `wanted` replicas, applied as the controller does.
    fn turn(&mut self, wanted: i32) -> Drain {
        let now = at(self.second);
        let next = drain(&self.rotation, wanted, self.replicas, TIMEOUT, now);
        self.rotation.draining = next.draining.clone();
        for member in &mut self.rotation.members {
            member.marked &= !next.stay.contains(&member.name);
            member.marked |= next.go.contains(&member.name) && !self.rotation.ordered;
        }
        if wanted > self.replicas {
            self.replicas = wanted;
        } else {
            assert!((wanted..=self.replicas).contains(&next.replicas), "{next:?}");
            self.replicas = next.replicas;
        }
        next
    }

    /// The balancers report the drained replicas.
    fn report(&mut self) {
        let done: BTreeSet<String> = self
            .rotation
            .draining
            .iter()
            .filter(|(pod, since)| {
                let busy = self.busy.get(*pod).copied().unwrap_or_default();
                now_after(**since, busy) <= at(self.second)
            })
            .map(|(pod, _)| pod.clone())
            .collect();
        self.rotation.balancers.iter_mut().for_each(|drained| drained.clone_from(&done));
    }

    /// The target's controller deletes and creates pods.
    fn settle(&mut self) {
        while self.rotation.members.len() > usize::try_from(self.replicas).unwrap() {
            let ordered = self.rotation.ordered;
            let rank = |member: &Member| {
                let ordinal: i64 = member.name.rsplit_once('-').unwrap().1.parse().unwrap();
                if ordered {
                    (false, false, ordinal)
                } else {
                    (!member.ready, member.marked, member.created.as_second())
                }
            };
            let victim = self.rotation.members.iter().max_by_key(|member| rank(member)).unwrap().clone();
            self.rotation.members.retain(|member| member.name != victim.name);
            let finished = self.rotation.balancers.iter().all(|drained| drained.contains(&victim.name))
                && !self.rotation.balancers.is_empty();
            self.deleted.push((victim.name, finished));
        }
        while self.rotation.members.len() < usize::try_from(self.replicas).unwrap() {
            let index = if self.rotation.ordered {
                i64::try_from(self.rotation.members.len()).unwrap()
            } else {
                self.born
            };
            self.rotation.members.push(member(index, true));
            self.born += 1;
        }
    }

    fn serving(&self) -> i32 {
        let serves = |member: &&Member| member.ready && !self.rotation.draining.contains_key(&member.name);
        i32::try_from(self.rotation.members.iter().filter(serves).count()).unwrap()
    }
}

fn now_after(since: Timestamp, seconds: i64) -> Timestamp {
    since + SignedDuration::from_secs(seconds)
}

fn names(pods: &BTreeMap<String, Timestamp>) -> Vec<&str> {
    pods.keys().map(String::as_str).collect()
}

#[test]
fn a_scale_down_drains_then_marks_then_lowers() {
    let mut world = World::new(4, false, 2);
    let begun = world.turn(2);
    assert_eq!((begun.replicas, begun.draining.len(), begun.go.len()), (4, 2, 0));
    world.second = 1;
    world.report();
    assert_eq!(world.turn(2).replicas, 4, "an early report may be of an earlier drain");
    world.second = 2;
    world.rotation.balancers[1].clear();
    assert_eq!(world.turn(2).replicas, 4, "one balancer has not reported yet");
    world.report();
    let gone = world.turn(2);
    assert_eq!((gone.replicas, gone.go.len(), gone.timed_out), (2, 2, 0));
    let kept = world.turn(2);
    assert_eq!(kept.draining, gone.draining, "they drain until they are deleted");
    world.settle();
    assert!(world.deleted.iter().all(|(pod, finished)| *finished && gone.go.contains(pod)), "{world:?}");
    assert!(world.turn(2).draining.is_empty());
}

#[test]
fn a_scale_up_cancels_drains_and_removes_marks() {
    let mut world = World::new(4, false, 1);
    world.turn(1);
    assert_eq!(world.turn(3).draining.len(), 1, "a smaller scale-down keeps one drain");
    let back = world.turn(4);
    assert_eq!((back.replicas, back.draining.len()), (4, 0));
    // Marked, but the write of the scale failed.
    world.rotation.members[0].marked = true;
    assert_eq!(world.turn(4).stay, ["web-0"]);
}

#[test]
fn without_reports_the_timeout_completes_the_drain() {
    for balancers in [0, 2] {
        let mut world = World::new(4, false, balancers);
        world.turn(2);
        world.second = 29;
        assert_eq!(world.turn(2).replicas, 4);
        world.second = 30;
        let next = world.turn(2);
        assert_eq!((next.replicas, next.timed_out), (2, 2));
    }
}

#[test]
fn one_long_stream_keeps_only_one_replica() {
    let mut world = World::new(10, false, 2);
    world.turn(5);
    let streaming = world.rotation.draining.keys().next().unwrap().clone();
    world.busy.insert(streaming.clone(), 25);
    world.second = 3;
    world.report();
    let waits = world.turn(5);
    assert_eq!((waits.replicas, waits.drained), (10, 4), "they wait a few seconds for the last one");
    world.second = 5;
    world.report();
    let some = world.turn(5);
    assert_eq!((some.replicas, some.go.len(), some.timed_out), (6, 4, 0));
    world.settle();
    assert_eq!(names(&world.turn(5).draining), [streaming.as_str()]);
    world.second = 25;
    world.report();
    assert_eq!(world.turn(5).replicas, 5);
}

#[test]
fn no_replica_is_removed_while_another_would_be_deleted_in_its_place() {
    let mut world = World::new(4, false, 1);
    world.turn(2);
    world.second = 6;
    world.report();
    // It is chosen now, in place of one that is drained: the ReplicaSet would delete it first.
    let other = world.rotation.members.iter().position(|m| !world.rotation.draining.contains_key(&m.name));
    world.rotation.members[other.unwrap()].ready = false;
    let next = world.turn(2);
    assert_eq!((next.replicas, next.draining.len()), (4, 2));
    assert!(next.draining.contains_key(&world.rotation.members[other.unwrap()].name));
}

#[test]
fn a_stateful_set_removes_its_highest_ordinals_in_order() {
    let mut world = World::new(12, true, 1);
    let next = world.turn(9);
    assert_eq!(names(&next.draining), ["web-10", "web-11", "web-9"]);
    world.busy.insert("web-11".into(), 20);
    world.second = 8;
    world.report();
    assert_eq!(world.turn(9).replicas, 12, "web-11 is not drained");
    world.second = 20;
    world.report();
    assert_eq!(world.turn(9).replicas, 9);
    assert_eq!(world.turn(9).draining.len(), 3, "they are not deleted yet");
    world.settle();
    assert!(world.turn(9).draining.is_empty());
}

#[test]
fn removes_unready_then_the_largest_zone_then_the_youngest() {
    let mut rotation = World::new(6, false, 1).rotation;
    for (index, (zone, ready)) in
        [("a", true), ("a", true), ("a", true), ("b", true), ("b", false), ("b", true)].iter().enumerate()
    {
        rotation.members[index].zone = Some((*zone).to_owned());
        rotation.members[index].node = Some(format!("node-{index}"));
        rotation.members[index].ready = *ready;
    }
    let chosen = |wanted| {
        let next = drain(&rotation, wanted, 6, TIMEOUT, at(0));
        next.draining.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(chosen(5), ["web-4"], "not ready");
    assert_eq!(chosen(4), ["web-2", "web-4"], "the youngest of zone a, which has three");
    assert_eq!(chosen(3), ["web-2", "web-4", "web-5"], "both zones have two");
}

#[test]
fn surge_pods_are_not_counted_and_an_unlisted_target_waits() {
    let mut world = World::new(5, false, 1);
    world.replicas = 4;
    assert_eq!(world.turn(3).draining.len(), 1);
    world.replicas = 4;
    assert!(world.turn(4).draining.is_empty());
    let unlisted = Rotation { ready: 4, ..Rotation::default() };
    assert_eq!(drain(&unlisted, 2, 4, TIMEOUT, at(0)).replicas, 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Any sequence of wanted replicas, request durations and unready pods.
    #[test]
    fn every_sequence_of_events_is_safe(
        pods in 1..12i64, ordered in any::<bool>(), balancers in 0..3usize,
        turns in proptest::collection::vec((0..6i64, 0..12i32, 0..12usize, 0..50i64, any::<(bool, bool, bool)>()), 1..30),
    ) {
        let mut world = World::new(pods, ordered, balancers);
        let mut since = BTreeMap::<String, i64>::new();
        for (seconds, wanted, index, busy, (settles, reports, flips)) in turns {
            world.second += seconds;
            if let Some(member) = world.rotation.members.get_mut(index) {
                world.busy.insert(member.name.clone(), busy);
                member.ready ^= flips;
            }
            if reports { world.report(); }
            let before = world.clone();
            let current = world.replicas;
            let next = world.turn(wanted);
            // At least `wanted` serve, if there were as many before; a StatefulSet has its own order.
            let above = usize::try_from(i32::try_from(before.rotation.members.len()).unwrap() - current).unwrap_or(0);
            let going = before.rotation.members.iter()
                .filter(|m| m.marked && before.rotation.draining.contains_key(&m.name) && m.ready).count().min(above);
            let ready = before.rotation.members.iter().filter(|m| m.ready).count() - going;
            if !ordered {
                prop_assert!(world.serving() >= wanted.min(i32::try_from(ready).unwrap()), "{next:?} {before:?}");
            }
            // A scale-up cancels all drains, except of pods that are being deleted.
            if wanted >= current {
                prop_assert!(next.draining.len() <= above);
            }
            // A replica is removed only once it is drained or timed out, and no later.
            for pod in &next.go {
                let chosen = since.get(pod).copied().unwrap_or(world.second);
                let reported = balancers > 0 && before.rotation.balancers.iter().all(|drained| drained.contains(pod));
                prop_assert!(world.second - chosen >= 30 || (reported && world.second - chosen >= 2), "{pod} {next:?}");
            }
            since.retain(|pod, _| next.draining.contains_key(pod));
            for pod in next.draining.keys() {
                since.entry(pod.clone()).or_insert(world.second);
            }
            if wanted < current && since.values().all(|chosen| world.second - chosen >= 30) && next.go.len() + above == since.len() {
                prop_assert_eq!(next.replicas, wanted, "the timeout limits the drain");
            }
            if settles { world.settle(); }
        }
        // In the end the wanted number is reached in time.
        for _ in 0..8 {
            world.settle();
            world.second += 30;
            world.turn(1);
        }
        prop_assert_eq!(world.replicas, 1);
        world.settle();
        world.turn(1);
        prop_assert!(world.rotation.draining.is_empty(), "{:?}", world);
    }

    /// Only as many replicas drain as must be removed, and the same input gives the same choice.
    #[test]
    fn drains_as_few_as_needed(pods in 0..30i64, wanted in 0..30i32, unready in proptest::collection::vec(any::<bool>(), 30)) {
        let mut rotation = World::new(pods, false, 1).rotation;
        for (member, unready) in rotation.members.iter_mut().zip(unready) {
            member.ready = !unready;
        }
        let current = i32::try_from(pods).unwrap();
        let next = drain(&rotation, wanted, current, TIMEOUT, at(0));
        prop_assert_eq!(i32::try_from(next.draining.len()).unwrap(), (current - wanted).max(0));
        rotation.members.reverse();
        prop_assert_eq!(drain(&rotation, wanted, current, TIMEOUT, at(0)), next);
    }
}

const SHOP: &str = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 0
maxReplicas: 20
kpis: [{name: load, type: Load, query: q, perReplica: "100"}]
behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
traffic: {provider: HAProxy, targetPort: 8080, listeners: [{port: 80}], limits: {connectionsPerReplica: 50}}
"#;

fn observed(load: f64, replicas: i32, ready: i32, held: i32, now: Timestamp) -> Observation {
    let sample = plimsoll_engine::Sample { at: Some(now), ..fresh(load) };
    Observation {
        replicas,
        pods: Pods::Counted { ready },
        samples: BTreeMap::from([("load".to_owned(), sample)]),
        held,
        ..Observation::default()
    }
}

#[test]
fn held_requests_scale_from_zero_and_the_next_zero_waits_for_the_window() {
    let (spec, mut memory) = (spec(SHOP), Memory::default());
    let mut look = |second, replicas, ready, held| {
        turn(&spec, &observed(0.0, replicas, ready, held, at(second)), &mut memory, at(second), &mut alone)
            .decision
    };
    assert_eq!(look(0, 0, 0, 0).replicas, 0);
    let woken = look(1, 0, 0, 1);
    assert_eq!((woken.replicas, woken.bound_by), (1, DecisionCode::RequestsHeld));
    let reason = woken.reasons.iter().find(|reason| reason.code() == DecisionCode::RequestsHeld).unwrap();
    assert_eq!(reason.reason, DecisionReason::RequestsHeld { held: 1 });
    assert_eq!(look(2, 1, 0, 101).replicas, 3, "50 connections per replica");
    assert_eq!(look(3, 3, 0, 5_000).replicas, 20, "never above maxReplicas");
    assert_eq!(look(4, 20, 1, 5_000).replicas, 20, "held requests keep the current replicas");
    assert_eq!(look(10, 20, 20, 0).replicas, 20, "the window");
    assert_eq!(look(63, 20, 20, 0).replicas, 20);
    assert_eq!(look(65, 20, 20, 0).replicas, 0);
}

#[test]
fn a_scale_down_waits_for_the_drain_and_reports_it() {
    let (spec, mut memory) = (spec(SHOP), Memory::default());
    let mut world = World::new(10, false, 1);
    let mut look = |world: &World| {
        let pods = world.rotation.members.iter().map(|m| Pod {
            name: m.name.clone(),
            ready: m.ready,
            starting: false,
        });
        let mut seen = observed(650.0, world.replicas, 0, 0, at(world.second));
        (seen.pods, seen.rotation) = (Pods::Listed(pods.collect()), Some(world.rotation.clone()));
        turn(&spec, &seen, &mut memory, at(world.second), &mut alone).decision
    };
    look(&world);
    world.second = 61;
    let begun = look(&world);
    assert_eq!(
        (begun.replicas, begun.bound_by, begun.reasons.last().unwrap().code()),
        (10, DecisionCode::Draining, DecisionCode::Steady)
    );
    world.rotation.draining = begun.drain.unwrap().draining;
    world.second = 73;
    let waits = look(&world);
    let reason = waits.reasons.iter().find(|reason| reason.code() == DecisionCode::Draining).unwrap();
    assert_eq!(reason.to_string(), "3 of 10 replicas are being drained, 12 s so far, at most 30 s");
    assert_eq!(waits.next_look, SignedDuration::from_secs(1));
    world.report();
    let done = look(&world);
    assert_eq!((done.replicas, done.reasons.last().unwrap().code()), (7, DecisionCode::ScaledDown));
    world.rotation.balancers.clear();
    world.second = 91;
    let over = look(&world);
    assert!(over.has(DecisionCode::DrainTimedOut) && over.has(DecisionCode::ScaledDown));
}

#[test]
fn a_restart_continues_the_drain() {
    let mut world = World::new(10, false, 1);
    world.turn(7);
    let begun = world.rotation.draining.clone();
    let (spec, mut memory) = (spec(SHOP), Memory::default());
    let mut look = |world: &World| {
        let mut seen = observed(650.0, world.replicas, 10, 0, at(world.second));
        seen.rotation = Some(world.rotation.clone());
        turn(&spec, &seen, &mut memory, at(world.second), &mut alone).decision
    };
    world.second = 12;
    let first = look(&world);
    assert_eq!((first.replicas, first.drain.unwrap().draining), (10, begun.clone()));
    world.second = 29;
    let held = look(&world);
    assert_eq!(held.drain.unwrap().draining, BTreeMap::new(), "the window of 60 s asks for ten");
    world.second = 73;
    world.rotation.draining = begun;
    assert_eq!(look(&world).replicas, 7, "the timeout counts from the start of the drain");
}
