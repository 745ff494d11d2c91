//! Outlier detection: scenarios with numbers, and properties of every sequence of events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_api::{
    Ejected, KpiState, RecoveryCode, RecoveryReason, RecoveryStatus, Replaced, Returned, Validated,
};
use plimsoll_engine::{
    Member, Memory, Observation, Peers, Recovery, Rotation, Sample, Value, Volume, alone, drain, turn,
};
use proptest::prelude::*;

use super::fixtures::{fresh, spec};

const TRAFFIC: &str =
    "traffic: {provider: HAProxy, targetPort: 80, listeners: [{port: 80}], drain: {timeout: 10s}}";

/// A service of ten replicas with `more` on top.
fn shop(outliers: &str, more: &str) -> Validated {
    spec(&format!(
        "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 60, period: 1s, \
         kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}], \
         recovery: {{outliers: {{kpiByPod: {{query: errors, atLeast: '0.05'}}{outliers}}}}}, {more}}}"
    ))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn member(name: &str, ready: bool, born: i64) -> Member {
    Member { name: name.to_owned(), ready, created: at(born), node: None, zone: None, marked: false }
}

/// A target whose ReplicaSet, balancers and API server follow every request immediately.
struct World {
    spec: Validated,
    memory: Memory,
    members: Vec<Member>,
    last_written: RecoveryStatus,
    /// Pods with errors, and their error ratio.
    bad: BTreeMap<String, f64>,
    second: i64,
    born: i64,
    /// The API server's refusal of evictions, if any.
    refuses: Option<&'static str>,
    evicted: Vec<String>,
    /// A new pod is ready after so many seconds.
    startup: i64,
    state: KpiState,
    /// Whether the balancers report ejected pods as drained.
    drains: bool,
    /// Requests of each pod within the range of the query, if they are counted; and that range.
    requests: Option<f64>,
    reach: SignedDuration,
}

impl World {
    fn new(spec: Validated, replicas: i64) -> Self {
        Self {
            spec,
            memory: Memory::default(),
            members: (0..replicas).map(|index| member(&format!("web-{index}"), true, -1000)).collect(),
            last_written: RecoveryStatus::default(),
            bad: BTreeMap::new(),
            second: 0,
            born: replicas,
            refuses: None,
            evicted: Vec::new(),
            startup: 3,
            state: KpiState::Fresh,
            drains: true,
            requests: None,
            reach: SignedDuration::ZERO,
        }
    }

    fn bad(mut self, pods: &[i64]) -> Self {
        self.bad = pods.iter().map(|index| (format!("web-{index}"), 0.3)).collect();
        self
    }

    fn out(&self) -> BTreeSet<String> {
        self.last_written.ejected_pods()
    }

    /// A turn after one second.
    fn turn(&mut self) -> Recovery {
        self.second += 1;
        let (now, replicas) = (at(self.second), 10);
        for pod in &mut self.members {
            pod.ready |= pod.created <= at(self.second - self.startup);
        }
        while self.members.len() < usize::try_from(replicas).unwrap() {
            self.members.push(member(&format!("web-{}", self.born), false, self.second));
            self.born += 1;
        }
        let out = self.out();
        let value = |pod: &Member| {
            self.bad.get(&pod.name).copied().filter(|_| !out.contains(&pod.name)).unwrap_or(0.001)
        };
        let by_pod: BTreeMap<String, f64> =
            self.members.iter().map(|pod| (pod.name.clone(), value(pod))).collect();
        let counts = |requests| by_pod.keys().map(|pod| (pod.clone(), requests)).collect();
        let volume = self
            .requests
            .map_or(Volume::Uncounted, |requests| Volume::Counted(Value::ByPod(counts(requests))));
        let sample = Sample {
            state: self.state,
            value: Some(Value::ByPod(by_pod)),
            at: Some(now),
            volume,
            reach: self.reach,
            ..fresh(0.0)
        };
        let peers = Peers { sample, members: self.members.clone(), last_written: self.last_written.clone() };
        let drained = if self.drains { out.clone() } else { BTreeSet::new() };
        let rotation = self.spec.traffic.map(|_| Rotation {
            members: self.members.clone(),
            ejected: out,
            balancers: vec![drained],
            ..Rotation::default()
        });
        let seen = Observation { replicas, rotation, peers: Some(peers), ..Observation::default() };
        let mut recovery = turn(&self.spec, &seen, &mut self.memory, now, &mut alone).recovery.unwrap();
        if let Some(pod) = recovery.evict.take() {
            match self.refuses {
                Some(why) => recovery.not_evicted(&mut self.memory, &pod, true, why, now),
                None => {
                    recovery.evicted(&mut self.memory, &pod, now);
                    self.members.retain(|member| member.name != pod);
                    self.evicted.push(pod);
                }
            }
        }
        self.last_written = recovery.status.clone();
        recovery
    }

    fn turns(&mut self, count: usize) -> Recovery {
        let mut last = Recovery::default();
        for _ in 0..count {
            last = self.turn();
        }
        last
    }
}

fn first(recovery: &Recovery) -> RecoveryCode {
    recovery.reasons.first().unwrap().code()
}

#[test]
fn a_replica_with_too_few_requests_is_not_judged() {
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    world.requests = Some(99.0);
    assert_eq!(first(&world.turns(30)), RecoveryCode::TooFewPeers);
    assert!(world.out().is_empty());
    // With one more request each it is judged.
    world.requests = Some(100.0);
    world.turns(3);
    assert_eq!(world.out(), BTreeSet::from(["web-4".to_owned()]));
    let mut any = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    any.spec.outliers.as_mut().unwrap().request_volume = 0.0;
    any.requests = Some(1.0);
    any.turns(3);
    assert_eq!(any.out(), BTreeSet::from(["web-4".to_owned()]));
}

#[test]
fn samples_with_overlapping_ranges_count_once() {
    let mut world = World::new(shop("", TRAFFIC), 10);
    world.reach = SignedDuration::from_secs(30);
    world.turns(10);
    // One failed request is in the range of each turn for half a minute.
    world.bad = BTreeMap::from([("web-4".to_owned(), 0.3)]);
    world.turns(30);
    world.bad.clear();
    world.turns(60);
    assert!(world.out().is_empty());
    world.bad = BTreeMap::from([("web-4".to_owned(), 0.3)]);
    world.turns(60);
    assert!(world.out().is_empty(), "two samples of three");
    world.drains = false;
    world.turns(25);
    assert_eq!(world.out(), BTreeSet::from(["web-4".to_owned()]));
}

#[test]
fn one_of_ten_is_ejected_at_the_third_sample_and_replaced_once_drained() {
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    assert_eq!(first(&world.turns(2)), RecoveryCode::NoOutliers);
    let third = world.turn();
    assert_eq!(world.out(), BTreeSet::from(["web-4".to_owned()]));
    assert_eq!(first(&third), RecoveryCode::OutlierEjected);
    let judged = |reason: &RecoveryReason| match reason {
        RecoveryReason::OutlierEjected { judged, .. } => *judged,
        _ => None,
    };
    assert_eq!(judged(&third.reasons[0]), Some((0.3, 0.001)));
    assert!(third.next_look.is_some_and(|next| next <= SignedDuration::from_secs(1)));
    world.drains = false;
    world.turns(9);
    assert!(world.evicted.is_empty(), "requests are left");
    world.drains = true;
    world.turn();
    assert_eq!(world.evicted, ["web-4"]);
    let later = world.turns(10);
    assert_eq!((first(&later), world.out().len(), world.evicted.len()), (RecoveryCode::NoOutliers, 0, 1));
}

#[test]
fn a_replica_that_never_drains_is_replaced_after_the_timeout() {
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    world.drains = false;
    world.turns(3 + 9);
    assert!(world.evicted.is_empty());
    world.turn();
    assert_eq!(world.evicted, ["web-4"], "drain.timeout is 10 s");
}

#[test]
fn five_bad_of_ten_are_replaced_one_at_a_time_within_the_budget() {
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[0, 1, 2, 3, 4]);
    let recovery = world.turns(3);
    assert_eq!((first(&recovery), world.out().len()), (RecoveryCode::EjectionBudgetSpent, 2));
    let spent = &recovery.reasons[0];
    assert!(
        matches!(spent, RecoveryReason::EjectionBudgetSpent { outliers: 3, missing: 2, allowed: 2, .. }),
        "{spent:?}"
    );
    let mut lowest = 10;
    for _ in 0..1200 {
        world.turn();
        let out = world.out();
        let serving = world.members.iter().filter(|pod| pod.ready && !out.contains(&pod.name)).count();
        lowest = lowest.min(serving);
        assert!(world.members.iter().filter(|pod| !pod.ready).count() <= 1, "one at a time");
    }
    assert_eq!((lowest, world.evicted.len()), (8, 5));
    assert_eq!(first(&world.turn()), RecoveryCode::NoOutliers);
}

#[test]
fn without_replacement_a_replica_returns_after_a_hold_that_doubles() {
    let outliers = ", replace: false, baseEjectionTime: 10s, samples: 1";
    let mut world = World::new(shop(outliers, TRAFFIC), 10).bad(&[7]);
    let mut holds = Vec::new();
    while holds.len() < 4 {
        let begin = world.second;
        while world.out().is_empty() {
            world.turn();
            assert!(world.second - begin < 5);
        }
        let since = world.second;
        while !world.out().is_empty() {
            world.turn();
        }
        holds.push(world.second - since);
    }
    assert_eq!(holds, [10, 20, 40, 80]);
    world.bad.clear();
    let healed = world.turn();
    assert_eq!((first(&healed), healed.status.returned.len()), (RecoveryCode::NoOutliers, 1));
    world.turns(3601);
    assert!(world.last_written.returned.is_empty(), "forgotten after an hour");
}

#[test]
fn a_refused_eviction_is_reported_and_retried() {
    let mut world = World::new(shop("", ""), 10).bad(&[4]);
    world.refuses = Some("Cannot evict pod as it would violate the pod's disruption budget.");
    world.turns(3);
    let recovery = world.turn();
    assert_eq!(first(&recovery), RecoveryCode::EvictionRefused, "reported: {recovery:?}");
    assert!(recovery.reasons[0].to_string().contains("disruption budget"));
    assert_eq!(first(&world.turns(5)), RecoveryCode::EvictionRefused, "until the next try");
    world.refuses = None;
    world.turns(5);
    assert_eq!(world.evicted, ["web-4"]);
    assert_ne!(first(&world.turn()), RecoveryCode::EvictionRefused);
}

#[test]
fn replacements_without_effect_become_rarer() {
    // The first pod by name is always bad: a wrong query.
    let mut world = World::new(shop(", samples: 1", ""), 10);
    let mut evictions = Vec::new();
    for _ in 0..3600 {
        let first = world.members.iter().map(|pod| pod.name.clone()).min().unwrap();
        world.bad = BTreeMap::from([(first, 0.9)]);
        let before = world.evicted.len();
        world.turn();
        if world.evicted.len() > before {
            evictions.push(world.second);
        }
    }
    let pauses: Vec<i64> = evictions.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() <= 7, "{pauses:?}");
    assert!(pauses.windows(2).all(|pair| pair[1] >= pair[0]), "{pauses:?}");
}

#[test]
fn an_evicted_replica_stays_ejected_for_seconds_and_never_returns() {
    let mut world = World::new(shop(", baseEjectionTime: 3s, samples: 1", ""), 10).bad(&[4]);
    world.startup = 0;
    while world.evicted.is_empty() {
        world.turn();
    }
    for _ in 0..4 {
        let recovery = world.turn();
        assert!(
            recovery.status.ejected.iter().any(|out| out.evicted.is_some()),
            "its endpoint may still look ready"
        );
        assert!(recovery.status.returned.is_empty(), "its hold is over, but it is deleted");
    }
    assert!(world.turns(3).status.ejected.is_empty());
    assert!(world.last_written.returned.is_empty());
}

#[test]
fn modes_observe_and_paused_eject_nothing() {
    let mut world = World::new(shop("", "mode: Observe"), 10).bad(&[4]);
    let recovery = world.turns(4);
    assert_eq!((first(&recovery), world.out().len(), world.evicted.len()), (RecoveryCode::Observing, 0, 0));
    assert_eq!(recovery.reasons[0], RecoveryReason::Observing { pods: "web-4".to_owned() });
    let mut world = World::new(shop("", &format!("mode: Paused, {TRAFFIC}")), 10).bad(&[4]);
    let recovery = world.turns(4);
    assert_eq!((first(&recovery), world.out().len(), world.evicted.len()), (RecoveryCode::Paused, 0, 0));
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    world.turns(3);
    world.spec = shop("", &format!("mode: Paused, {TRAFFIC}"));
    world.turns(100);
    assert_eq!((world.out().len(), world.evicted.len()), (1, 0), "Paused returns no replica either");
}

#[test]
fn a_sample_that_is_not_fresh_resets_the_count_and_prevents_replacements() {
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    world.turns(2);
    world.state = KpiState::Stale;
    let recovery = world.turn();
    assert_eq!(first(&recovery), RecoveryCode::OutliersUnknown);
    world.state = KpiState::Fresh;
    world.turns(2);
    assert!(world.out().is_empty(), "three in a row were needed");
    world.turn();
    assert_eq!(world.out().len(), 1);
    world.state = KpiState::Partial;
    world.turns(30);
    assert!(world.evicted.is_empty());
}

#[test]
fn the_same_sample_counts_once() {
    let spec = shop("", TRAFFIC);
    let members: Vec<Member> = (0..5).map(|index| member(&format!("web-{index}"), true, -100)).collect();
    let by_pod = (0..5).map(|index| (format!("web-{index}"), if index == 0 { 0.5 } else { 0.0 })).collect();
    let sample = Sample { value: Some(Value::ByPod(by_pod)), at: Some(at(0)), ..fresh(0.0) };
    let peers = Peers { sample, members, last_written: RecoveryStatus::default() };
    let seen = Observation { replicas: 5, peers: Some(peers), ..Observation::default() };
    let mut memory = Memory::default();
    for second in 0..10 {
        assert!(
            turn(&spec, &seen, &mut memory, at(second), &mut alone)
                .recovery
                .unwrap()
                .status
                .ejected
                .is_empty()
        );
    }
}

#[test]
fn a_restart_keeps_ejections_and_a_new_pod_of_the_same_name_is_not_ejected() {
    let mut world = World::new(shop("", TRAFFIC), 10).bad(&[4]);
    world.drains = false;
    world.turns(4);
    world.memory = Memory::default();
    let recovery = world.turn();
    assert_eq!((world.out().len(), first(&recovery)), (1, RecoveryCode::OutlierEjected));
    world.members.retain(|pod| pod.name != "web-4");
    world.members.push(member("web-4", true, world.second));
    world.bad.clear();
    world.turn();
    assert!(world.out().is_empty());
}

#[test]
fn a_scale_down_removes_ejected_replicas_first() {
    let members: Vec<Member> =
        (0..10).map(|index| member(&format!("web-{index}"), true, index - 100)).collect();
    let ejected = BTreeSet::from(["web-2".to_owned()]);
    let rotation = Rotation { members, ejected, ..Rotation::default() };
    let plan = drain(&rotation, 9, 10, SignedDuration::from_secs(30), at(0));
    assert_eq!(plan.draining.keys().collect::<Vec<_>>(), ["web-2"]);
}

#[derive(Clone, Debug)]
struct Look {
    passed: i64,
    replicas: i32,
    ready: Vec<bool>,
    values: Vec<Option<f64>>,
    state: KpiState,
    equal: bool,
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let value = prop_oneof![
        4 => prop_oneof![Just(0.0), Just(0.001), Just(0.3), Just(0.9)],
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-1.0), Just(f64::MAX), Just(5e-324)],
    ];
    let state = prop_oneof![
        8 => Just(KpiState::Fresh),
        1 => prop_oneof![Just(KpiState::Stale), Just(KpiState::Empty), Just(KpiState::Partial), Just(KpiState::NaN), Just(KpiState::Error)],
    ];
    let look = (
        0..40i64,
        0..20i32,
        proptest::collection::vec(proptest::bool::weighted(0.9), 12),
        proptest::collection::vec(proptest::option::weighted(0.9, value), 12),
        state,
        proptest::bool::weighted(0.1),
    );
    let look = look.prop_map(|(passed, replicas, ready, values, state, equal)| Look {
        passed,
        replicas,
        ready,
        values,
        state,
        equal,
    });
    proptest::collection::vec(look, 1..60)
}

/// An arbitrary status.
fn any_status() -> impl Strategy<Value = RecoveryStatus> {
    let time = prop_oneof![-10_000..10_000i64, Just(i64::MIN), Just(i64::MAX)].prop_map(|second| {
        let second = second.clamp(-1_800_000_000 - 377_705_023_000, 253_402_207_000 - 1_800_000_000);
        Time(Timestamp::from_second(1_800_000_000 + second).unwrap())
    });
    let pod = (0..14i32).prop_map(|index| format!("web-{index}"));
    let ejected =
        (pod.clone(), time.clone(), time.clone(), any::<i32>(), proptest::option::of(time.clone())).prop_map(
            |(pod, since, until, ejections, evicted)| Ejected { pod, since, until, ejections, evicted },
        );
    let returned = (pod, time.clone(), any::<i32>()).prop_map(|(pod, since, ejections)| Returned {
        pod,
        since,
        ejections,
    });
    let replaced = (time, any::<i32>()).prop_map(|(at, count)| Replaced { at, count });
    (
        proptest::collection::vec(ejected, 0..6),
        proptest::collection::vec(returned, 0..6),
        proptest::option::of(replaced),
    )
        .prop_map(|(ejected, returned, replaced)| RecoveryStatus { ejected, returned, replaced })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// For any observation and any status: no panic, no ejection beyond the budget, without a fresh sample, with too few
    /// peers, or if all are equally bad, and an end to every ejection.
    #[test]
    fn every_observation_is_safe(
        looks in looks(), start in any_status(), percent in 1..=50i32, samples in 1..4i32, traffic in any::<bool>(),
        replace in any::<bool>(),
    ) {
        let more = if traffic { TRAFFIC } else { "" };
        let outliers = format!(", maxEjectionPercent: {percent}, samples: {samples}, replace: {}", replace || !traffic);
        let spec = shop(&outliers, more);
        let (mut memory, mut last_written, mut second) = (Memory::default(), start, 0);
        for look in looks {
            second += look.passed;
            let now = at(second);
            let members: Vec<Member> =
                look.ready.iter().enumerate().map(|(index, ready)| member(&format!("web-{index}"), *ready, -5000)).collect();
            let by_pod: BTreeMap<String, f64> = look.values.iter().enumerate()
                .filter_map(|(index, value)| Some((format!("web-{index}"), if look.equal { 0.3 } else { (*value)? })))
                .collect();
            let sample = Sample { state: look.state, value: Some(Value::ByPod(by_pod.clone())), at: Some(now), ..fresh(0.0) };
            let before = last_written.ejected_pods();
            let peers = Peers { sample, members: members.clone(), last_written };
            let rotation = traffic.then(|| Rotation { members: members.clone(), ejected: before.clone(), ..Rotation::default() });
            let seen = Observation { replicas: look.replicas, rotation, peers: Some(peers), ..Observation::default() };
            let mut recovery = turn(&spec, &seen, &mut memory, now, &mut alone).recovery.unwrap();
            let out = recovery.status.ejected_pods();
            let new: Vec<&String> = out.difference(&before).collect();
            let allowed = usize::try_from(look.replicas * percent / 100).unwrap().max(1);
            let held = recovery.status.ejected.iter().filter(|out| out.evicted.is_none()).count();
            prop_assert!(held <= allowed, "{held} of {allowed}");
            let numbers = by_pod.iter().filter(|(pod, value)| {
                value.is_finite() && members.iter().any(|member| member.name == **pod && member.ready)
            });
            let (count, peers) = (numbers.clone().count(), numbers.filter(|(pod, _)| !before.contains(*pod)).count());
            if !new.is_empty() {
                prop_assert_eq!(look.state, KpiState::Fresh);
                prop_assert!(count > 3 && peers + before.len() > 3);
                prop_assert!(!look.equal, "all are equally bad");
                let serving = members.iter().filter(|member| member.ready && !out.contains(&member.name)).count();
                prop_assert!(serving + allowed >= usize::try_from(look.replicas).unwrap());
            }
            for ejected in &recovery.status.ejected {
                let left = ejected.until.0.duration_since(now);
                prop_assert!(left <= SignedDuration::from_hours(2), "ejected for another {left}");
                prop_assert!(ejected.evicted.is_some() || left.is_positive());
            }
            if let Some(pod) = recovery.evict.take() {
                prop_assert_eq!(look.state, KpiState::Fresh);
                prop_assert!(before.contains(&pod) && (replace || !traffic));
                let others = members.iter().filter(|member| !out.contains(&member.name));
                prop_assert!(others.clone().all(|member| member.ready));
                recovery.evicted(&mut memory, &pod, now);
            }
            prop_assert!(!recovery.reasons.is_empty());
            last_written = recovery.status;
        }
    }

    /// A service whose pods do not change returns all ejected replicas in the end.
    #[test]
    fn every_ejected_replica_returns(start in any_status()) {
        let spec = shop(", replace: false", TRAFFIC);
        let members: Vec<Member> = (0..12).map(|index| member(&format!("web-{index}"), true, -20_000)).collect();
        let (mut memory, mut last_written) = (Memory::default(), start);
        for hour in 0..4 {
            let sample = Sample::unusable(KpiState::Error, "no answer");
            let peers = Peers { sample, members: members.clone(), last_written };
            let seen = Observation { replicas: 12, peers: Some(peers), ..Observation::default() };
            last_written = turn(&spec, &seen, &mut memory, at(hour * 3600), &mut alone).recovery.unwrap().status;
        }
        prop_assert!(last_written.ejected.is_empty(), "{last_written:?}");
    }
}
