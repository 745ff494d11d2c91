//! Lost zones: the rest is scaled up for their share, and zones have no other effect.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use plimsoll_api::{DecisionCode::*, DecisionReason, KpiState};
use plimsoll_engine::{
    Change, Decision, Memory, Observation, Past, Placed, Pods, Sample, Topology, Witness, alone, turn,
};
use proptest::prelude::*;

use super::fixtures::{Driven, fresh};

const SHOP: &str = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 2
maxReplicas: 40
kpis:
- {name: load, type: Load, query: l, perReplica: "100"}
"#;
const CPU: &str = r#"
scaleTargetRef: {kind: Deployment, name: shop}
minReplicas: 2
maxReplicas: 100
kpis:
- {name: cpu, type: Utilization, query: c, target: "0.5"}
"#;

pub fn replica(number: usize, zone: &str, ready: bool, node_ready: Option<bool>) -> Placed {
    Placed { name: format!("web-{zone}-{number:03}"), zone: Some(zone.to_owned()), ready, node_ready }
}

/// `each` replicas in zone a and in zone b, and a balancer in each zone that finds no replica down.
pub fn even(each: usize) -> Topology {
    let zone = |zone: &'static str| (0..each).map(move |number| replica(number, zone, true, Some(true)));
    let balancer = |zone: &str| Witness { zone: Some(zone.to_owned()), ..Witness::default() };
    Topology { replicas: zone("a").chain(zone("b")).collect(), balancers: vec![balancer("a"), balancer("b")] }
}

/// The balancer of zone a finds all of zone b down. The balancer of b is lost with its zone, so its last report stays.
pub fn cut_off(mut topology: Topology) -> Topology {
    let down = topology.replicas.iter().filter(|replica| replica.zone.as_deref() == Some("b"));
    topology.balancers[0].down = down.map(|replica| replica.name.clone()).collect();
    topology
}

/// Kubernetes has marked the node of zone b NotReady.
fn node_not_ready(mut topology: Topology) -> Topology {
    for replica in topology.replicas.iter_mut().filter(|replica| replica.zone.as_deref() == Some("b")) {
        (replica.ready, replica.node_ready) = (false, Some(false));
    }
    topology
}

fn lost(topology: &Topology) -> Vec<String> {
    topology.zones().map(|zones| zones.lost.into_iter().collect()).unwrap_or_default()
}

impl Driven {
    pub fn in_zones(&mut self, seconds: i64, samples: &[(&str, Sample)], topology: &Topology) -> Decision {
        self.now += SignedDuration::from_secs(seconds);
        let stamp = |sample: &Sample| Sample { at: sample.at.map(|_| self.now), ..sample.clone() };
        let ready = topology.replicas.iter().filter(|replica| replica.ready).count();
        let seen = Observation {
            replicas: self.replicas,
            pods: Pods::Counted { ready: i32::try_from(ready).unwrap() },
            samples: samples.iter().map(|(name, sample)| ((*name).to_owned(), stamp(sample))).collect(),
            topology: Some(topology.clone()),
            ..Observation::default()
        };
        let decision = turn(&self.spec, &seen, &mut self.memory, self.now, &mut alone).decision;
        if decision.replicas != self.replicas {
            self.memory.changed(Change { at: self.now, from: self.replicas, to: decision.replicas });
            self.replicas = decision.replicas;
        }
        decision
    }
}

/// A service after two minutes of steady load, before the loss.
fn shop(yaml: &str, name: &'static str, value: f64) -> Driven {
    let mut shop = Driven::new(yaml, 10);
    for _ in 0..8 {
        let calm = shop.in_zones(15, &[(name, fresh(value))], &even(5));
        assert_eq!((calm.replicas, calm.has(ZoneLost)), (10, false));
    }
    shop
}

#[test]
fn a_lost_zone_scales_up_the_rest_immediately_and_the_raise_ends_with_the_window() {
    let mut shop = shop(SHOP, "load", 1000.0);
    let up = shop.in_zones(7, &[("load", fresh(1000.0))], &cut_off(even(5)));
    assert_eq!((up.replicas, up.bound_by), (20, ZoneLost), "{up:?}");
    let reason = up.reasons.iter().find(|reason| reason.code() == ZoneLost).unwrap();
    assert_eq!(reason.reason, DecisionReason::ZoneLost { zones: "b".to_owned(), lost: 5, left: 5 });
    // The new replicas were spread over both zones; those of b can't start.
    let mut spread = cut_off(even(5));
    spread.replicas.extend((5..10).map(|number| replica(number, "a", true, Some(true))));
    spread.replicas.extend((5..10).map(|number| replica(number, "b", false, Some(true))));
    for _ in 0..20 {
        let stays = shop.in_zones(4, &[("load", fresh(1000.0))], &spread);
        assert_eq!(stays.replicas, 20, "{stays:?}");
    }
    // Evicted, and replaced in zone a.
    let mut moved = even(10);
    moved.replicas.retain(|replica| replica.zone.as_deref() == Some("a"));
    let held = shop.in_zones(15, &[("load", fresh(1000.0))], &moved);
    assert_eq!((held.replicas, held.bound_by), (20, ScaleDownStabilized));
    for _ in 0..20 {
        shop.in_zones(15, &[("load", fresh(1000.0))], &moved);
    }
    assert_eq!(shop.replicas, 10, "after the window of 300 s");
}

#[test]
fn a_relative_proposal_does_not_grow_with_each_raise() {
    let mut shop = shop(CPU, "cpu", 0.5);
    // Half of the replicas do all the work; the average covers only those that answer.
    for (second, cpu) in [(7, 0.5), (4, 0.5), (4, 0.5), (15, 0.5), (60, 0.5)] {
        shop.in_zones(second, &[("cpu", fresh(cpu))], &cut_off(even(5)));
        assert_eq!(shop.replicas, 20);
    }
    // The zone serves again and is lost again: the same loss.
    shop.in_zones(15, &[("cpu", fresh(0.5))], &even(10));
    let again = shop.in_zones(15, &[("cpu", fresh(0.5))], &cut_off(even(10)));
    assert_eq!(again.replicas, 20, "{again:?}");
}

#[test]
fn without_a_fresh_sample_the_need_before_the_loss_counts() {
    let mut shop = shop(SHOP, "load", 1000.0);
    let dark = [("load", Sample::unusable(KpiState::Error, "Prometheus was in zone b"))];
    for _ in 0..30 {
        let decision = shop.in_zones(4, &dark, &cut_off(even(5)));
        assert_eq!(decision.replicas, 20, "{decision:?}");
    }
}

#[test]
fn more_load_raises_further_within_max_replicas_and_policies() {
    let mut busy = shop(SHOP, "load", 1000.0);
    busy.in_zones(7, &[("load", fresh(1000.0))], &cut_off(even(5)));
    let more = busy.in_zones(15, &[("load", fresh(1500.0))], &cut_off(even(5)));
    assert_eq!(more.replicas, 30, "15 are needed");
    let most = busy.in_zones(15, &[("load", fresh(3000.0))], &cut_off(even(5)));
    assert_eq!((most.replicas, most.bound_by), (40, MaxReplicas));
    let mut limited = shop(SHOP, "load", 1000.0);
    limited.spec.scale_up.policies = vec![plimsoll_api::ScalingPolicy {
        type_: plimsoll_api::PolicyType::Pods,
        value: 4,
        period_seconds: 60,
    }];
    let up = limited.in_zones(7, &[("load", fresh(1000.0))], &cut_off(even(5)));
    assert_eq!((up.replicas, up.bound_by), (14, ScaleUpRateLimited));
}

/// The leader was in the lost zone: its successor must not mistake the raise for the need.
#[test]
fn a_new_leader_does_not_raise_for_the_same_loss_again() {
    for (spec, name, value) in [(SHOP, "load", 1000.0), (CPU, "cpu", 0.5)] {
        let mut shop = shop(spec, name, value);
        shop.in_zones(7, &[(name, fresh(value))], &cut_off(even(5)));
        assert_eq!(shop.replicas, 20);
        let raise = Change { at: shop.now, from: 10, to: 20 };
        shop.memory = Memory::rebuilt(Past::default(), [raise]);
        // Before its watches are complete it sees no loss.
        shop.in_zones(2, &[(name, fresh(value))], &even(10));
        for _ in 0..20 {
            let decision = shop.in_zones(4, &[(name, fresh(value))], &node_not_ready(even(10)));
            assert_eq!(decision.replicas, 20, "{name}: {decision:?}");
        }
    }
}

#[test]
fn a_new_leader_raises_for_a_loss_before_its_first_turn() {
    for (spec, name, value) in [(SHOP, "load", 1000.0), (CPU, "cpu", 0.5)] {
        let mut shop = Driven::new(spec, 10);
        let decision = shop.in_zones(4, &[(name, fresh(value))], &node_not_ready(even(5)));
        assert_eq!((decision.replicas, decision.bound_by), (20, ZoneLost), "{name}");
    }
}

#[test]
fn a_zone_is_lost_only_by_evidence() {
    assert!(lost(&even(5)).is_empty());
    assert_eq!(lost(&cut_off(even(5))), ["b"]);
    assert_eq!(lost(&node_not_ready(even(5))), ["b"]);
    let without = Topology { balancers: Vec::new(), ..even(5) };
    assert_eq!(lost(&node_not_ready(without)), ["b"], "the node is sufficient evidence");

    let mut one_serves = cut_off(even(5));
    one_serves.balancers[0].down.remove("web-b-003");
    assert!(lost(&one_serves).is_empty());

    let mut own_report = even(5);
    own_report.balancers.remove(0);
    own_report.balancers[0].down = cut_off(even(5)).balancers[0].down.clone();
    assert!(lost(&own_report).is_empty(), "a balancer does not count for its own zone");

    let mut divided = even(5);
    divided.balancers = vec![Witness::default(), Witness::default()];
    assert!(lost(&cut_off(divided.clone())).is_empty(), "one of two balancers with unknown zones");
    divided.balancers.push(cut_off(even(5)).balancers[0].clone());
    assert_eq!(lost(&cut_off(divided)), ["b"], "two balancers of three");

    let mut nothing_serves = cut_off(even(5));
    nothing_serves.balancers[1].down =
        nothing_serves.replicas.iter().map(|replica| replica.name.clone()).collect();
    assert!(lost(&nothing_serves).is_empty(), "no zone is left");

    let no_zones = |mut topology: Topology| {
        topology.replicas.iter_mut().for_each(|replica| replica.zone = None);
        topology
    };
    assert_eq!(no_zones(node_not_ready(even(5))).zones(), None);

    let mut one_zone = even(5);
    one_zone.replicas.retain(|replica| replica.zone.as_deref() == Some("b"));
    assert!(lost(&node_not_ready(one_zone)).is_empty(), "there is no other zone");
}

#[test]
fn a_crash_or_a_rollout_is_not_a_lost_zone() {
    let mut crashed = even(1);
    crashed.replicas[1].ready = false;
    assert!(lost(&crashed).is_empty(), "the only replica of a zone crashed");
    let hangs = cut_off(even(1));
    assert!(lost(&hangs).is_empty(), "one down replica is not a lost zone");
    assert_eq!(lost(&node_not_ready(even(1))), ["b"], "its node is NotReady");
    let mut rollout = even(3);
    for replica in rollout.replicas.iter_mut().filter(|replica| replica.zone.as_deref() == Some("b")) {
        replica.ready = false;
    }
    assert!(lost(&rollout).is_empty(), "all replicas of a zone are starting");
}

#[test]
fn a_truncated_list_has_no_evidence_about_later_names() {
    let cut = |each: usize| {
        let mut topology = cut_off(even(each));
        let balancer = &mut topology.balancers[0];
        balancer.down = balancer.down.iter().take(100).cloned().collect();
        balancer.cut = balancer.down.len() == 100;
        topology
    };
    assert_eq!(lost(&cut(250)), ["b"]);
    let mut other = cut(250);
    other.balancers[0].down.remove("web-b-050");
    assert!(lost(&other).is_empty(), "one replica serves");
}

fn topologies() -> impl Strategy<Value = Topology> {
    let replica = (0..3usize, any::<bool>(), proptest::option::of(any::<bool>()), any::<bool>()).prop_map(
        |(zone, ready, node_ready, known)| Placed {
            name: String::new(),
            zone: known.then(|| ["a", "b", "c"][zone].to_owned()),
            ready,
            node_ready,
        },
    );
    let balancer = (0..4usize, proptest::collection::btree_set(0..30usize, 0..30), any::<bool>());
    let balancers = proptest::collection::vec(balancer, 0..4);
    (proptest::collection::vec(replica, 0..30), balancers).prop_map(|(mut replicas, balancers)| {
        let name = |number: usize| format!("web-{number:02}");
        for (number, replica) in replicas.iter_mut().enumerate() {
            replica.name = name(number);
        }
        let witness = |(zone, down, cut): (usize, BTreeSet<usize>, bool)| Witness {
            zone: ["a", "b", "c"].get(zone).map(|zone| (*zone).to_owned()),
            down: down.into_iter().map(name).collect(),
            cut,
        };
        Topology { replicas, balancers: balancers.into_iter().map(witness).collect() }
    })
}

fn look(service: &Driven, seconds: i64, samples: &[(&str, Sample)], topology: &Topology) -> Driven {
    let mut copy = Driven { spec: service.spec.clone(), memory: service.memory.clone(), ..*service };
    copy.in_zones(seconds, samples, topology);
    copy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Never above maxReplicas; never fewer replicas than without zones; the same unless a zone is lost.
    #[test]
    fn zones_only_ever_raise(
        start in 2..20i32,
        looks in proptest::collection::vec((1..100i64, 0.0..3000.0f64, any::<bool>(), topologies()), 1..20),
    ) {
        let mut service = Driven::new(SHOP, start);
        for (seconds, load, known, topology) in looks {
            let sample = if known { fresh(load) } else { Sample::unusable(KpiState::Error, "x") };
            let samples = [("load", sample)];
            let mut unzoned = topology.clone();
            unzoned.replicas.iter_mut().for_each(|replica| replica.zone = None);
            let without = look(&service, seconds, &samples, &unzoned);
            let with = look(&service, seconds, &samples, &topology);
            let is_lost = topology.zones().is_some_and(|zones| !zones.lost.is_empty());
            prop_assert!(with.replicas <= 40);
            prop_assert!(with.replicas >= without.replicas);
            if !is_lost {
                prop_assert_eq!(with.replicas, without.replicas);
            }
            service = with;
        }
    }

    /// However long a loss lasts at a steady load, the raise for it is limited: to all needed replicas in the remaining
    /// zones, if new ones are spread evenly.
    #[test]
    fn a_lasting_loss_raises_only_once(each in 2..8usize, value in prop_oneof![Just("load"), Just("cpu")]) {
        let (spec, sample) = if value == "load" { (SHOP, 200.0 * each as f64) } else { (CPU, 0.5) };
        let mut service = Driven::new(spec, i32::try_from(2 * each).unwrap());
        for _ in 0..8 {
            service.in_zones(15, &[(value, fresh(sample))], &even(each));
        }
        for _ in 0..40 {
            let half = usize::try_from(service.replicas).unwrap() / 2;
            service.in_zones(5, &[(value, fresh(sample))], &cut_off(even(half)));
            prop_assert!(service.replicas <= i32::try_from(4 * each).unwrap());
        }
        prop_assert_eq!(service.replicas, i32::try_from(4 * each).unwrap());
    }
}

#[test]
fn without_known_zones_none_are_reported() {
    let mut shop = Driven::new(SHOP, 10);
    let decision = shop.look(15, &[("load", fresh(1000.0))]);
    assert!(decision.zones.is_none() && !decision.has(ZoneLost));
}
