//! What holds for every situation.

use plimsoll_engine::arbiter::{
    Amount, Budget, Cause, Consumption, Demand, Grant, Node, Outcome, Placement, Resources, Situation, Surge,
    arbitrate,
};
use proptest::{collection::vec, option, prelude::*};

use super::world::{CLASSES, amount, grants, replicas};

fn budgets() -> impl Strategy<Value = Vec<Budget>> {
    let limit = prop_oneof![6 => (0..40i32).prop_map(|limit| Some(amount(limit))), 1 => Just(None)];
    let others = prop_oneof![6 => (0..5i32).prop_map(|others| Some(amount(others))), 1 => Just(None)];
    let guaranteed = vec((0..6i32).prop_map(amount), 2..3);
    let budget = (limit, others, guaranteed);
    vec(
        budget.prop_map(|(limit, others, guaranteed)| Budget { limit, others, guaranteed, of_nodes: false }),
        3,
    )
}

fn consumption(budget: usize) -> impl Strategy<Value = Option<Consumption>> {
    let entry = prop_oneof![8 => Just(Some(0)), 4 => Just(Some(1)), 1 => Just(None)];
    let surge = prop_oneof![Just(Surge::None), Just(Surge::Pods(1)), Just(Surge::Percent(25))];
    let one = (entry, 0..5i32, 0..9i32, surge).prop_map(move |(entry, per, in_use, surge)| Consumption {
        budget,
        entry,
        per_replica: amount(per),
        in_use: amount(in_use),
        surge,
    });
    option::of(one)
}

fn shape() -> impl Strategy<Value = Resources> {
    (0..5i32, 0..3i32).prop_map(|(cpu, memory)| Resources {
        cpu: amount(cpu),
        memory: amount(memory),
        pods: amount(1),
    })
}

fn demand(count: usize) -> impl Strategy<Value = Demand> {
    let numbers = (0..4usize, 1..4u32, 0..3i32, 0..6i32, 0..6i32);
    let consumes = (consumption(0), consumption(1), consumption(2));
    let placement = option::of((shape(), vec(0..4usize, 0..4)));
    (numbers, vec(0..count, 0..2), consumes, placement).prop_map(
        |(numbers, depends_on, consumes, placement)| {
            let (class, weight, min, more, running) = numbers;
            let wanted = min + more;
            Demand {
                criticality: CLASSES[class],
                most_critical: None,
                weight,
                min,
                wanted,
                max: wanted + 5,
                running,
                depends_on,
                consumes: [consumes.0, consumes.1, consumes.2].into_iter().flatten().collect(),
                placement: placement.map(|(shape, pods)| Placement { pool: 0, shape, pods }),
            }
        },
    )
}

fn situations() -> impl Strategy<Value = Situation> {
    let node = (0..12i32, 0..8i32, 0..6i32).prop_map(|(cpu, memory, pods)| Node {
        free: Resources { cpu: amount(cpu), memory: amount(memory), pods: amount(pods) },
    });
    (1..7usize).prop_flat_map(move |count| {
        let demands: Vec<_> = (0..count).map(|_| demand(count)).collect();
        (budgets(), vec(node.clone(), 1..4), demands).prop_map(|(budgets, nodes, mut demands)| {
            // Only on earlier ones, so that there is no cycle.
            let demand = |(at, demand): (usize, &mut Demand)| demand.depends_on.retain(|other| *other < at);
            demands.iter_mut().enumerate().for_each(demand);
            Situation { budgets, pools: vec![(0..nodes.len()).collect()], nodes, demands }
        })
    })
}

fn pairs<'a>(
    situation: &'a Situation,
    outcome: &'a Outcome,
) -> impl Iterator<Item = (&'a Demand, &'a Grant)> {
    situation.demands.iter().zip(&outcome.grants)
}

/// What the consumers of a budget may use at a time: the pods that exist, or those of the grants with a rollout.
fn most_used(situation: &Situation, budget: usize, grants: &[i32]) -> Amount {
    let of = |(demand, replicas): (&Demand, &i32)| -> Amount {
        let used = demand.consumes.iter().filter(|one| one.budget == budget);
        used.map(|one| one.per_replica.times(replicas + one.surge.of(*replicas)).max(one.in_use)).sum()
    };
    situation.demands.iter().zip(grants).map(of).sum()
}

/// Whether the granted replicas without a pod have a placement beside the pods: a search, independent of the arbiter's.
fn has_placement(situation: &Situation, grants: &[i32]) -> bool {
    let mut free: Vec<Resources> = situation.nodes.iter().map(|node| node.free).collect();
    let mut new: Vec<Resources> = Vec::new();
    for (demand, replicas) in situation.demands.iter().zip(grants) {
        let Some(placement) = &demand.placement else { continue };
        for node in &placement.pods {
            let Some(free) = free.get_mut(*node) else { continue };
            let left = |own: Amount, used: Amount| Amount::of((own.units() - used.units()).max(0.0));
            let Resources { cpu, memory, pods } = placement.shape;
            *free = Resources {
                cpu: left(free.cpu, cpu),
                memory: left(free.memory, memory),
                pods: left(free.pods, pods),
            };
        }
        let without_pod = usize::try_from(*replicas).unwrap().saturating_sub(placement.pods.len());
        new.extend(std::iter::repeat_n(placement.shape, without_pod));
    }
    new.sort();
    new.reverse();
    place(&new, &mut free)
}

fn place(new: &[Resources], free: &mut Vec<Resources>) -> bool {
    let Some((shape, rest)) = new.split_first() else { return true };
    for node in 0..free.len() {
        let before = free[node];
        let fits = shape.cpu <= before.cpu && shape.memory <= before.memory && shape.pods <= before.pods;
        if !fits || free[..node].contains(&before) {
            continue;
        }
        let left = |own: Amount, used: Amount| Amount::of(own.units() - used.units());
        free[node] = Resources {
            cpu: left(before.cpu, shape.cpu),
            memory: left(before.memory, shape.memory),
            pods: left(before.pods, shape.pods),
        };
        if place(rest, free) {
            return true;
        }
        free[node] = before;
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn a_grant_is_never_above_the_demand(situation in situations()) {
        let outcome = arbitrate(&situation);
        for (demand, grant) in pairs(&situation, &outcome) {
            prop_assert!((0..=demand.wanted).contains(&grant.replicas), "{demand:?} {grant:?}");
            prop_assert_eq!(grant.obstacle.is_some(), grant.replicas < demand.wanted, "{:?} {:?}", demand, grant);
        }
    }

    #[test]
    fn nothing_rises_beyond_a_limit(situation in situations()) {
        let outcome = arbitrate(&situation);
        for (at, budget) in situation.budgets.iter().enumerate() {
            let (Some(limit), Some(others)) = (budget.limit, budget.others) else { continue };
            let used = most_used(&situation, at, &replicas(&outcome));
            if used + others > limit {
                for (demand, grant) in pairs(&situation, &outcome) {
                    let consumption = demand.consumes.iter().find(|one| one.budget == at);
                    let consumes = consumption.is_some_and(|one| one.per_replica > Amount::ZERO);
                    // What exists already is covered by the pods that are still there.
                    let covered = |one: &Consumption| {
                        one.per_replica.times(grant.replicas + one.surge.of(grant.replicas)) <= one.in_use
                    };
                    prop_assert!(
                        !consumes || grant.replicas <= demand.running || consumption.is_some_and(covered),
                        "{used:?} and {others:?} of {limit:?}: {demand:?} {grant:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn unknown_numbers_freeze_what_runs(situation in situations()) {
        let outcome = arbitrate(&situation);
        for (demand, grant) in pairs(&situation, &outcome) {
            let unknown = demand.consumes.iter().any(|one| {
                situation.budgets[one.budget].limit.is_none() || situation.budgets[one.budget].others.is_none()
            });
            if unknown {
                prop_assert_eq!(grant.replicas, demand.running.min(demand.wanted));
            }
        }
    }

    #[test]
    fn nothing_that_runs_is_lost(situation in situations()) {
        let outcome = arbitrate(&situation);
        for (demand, grant) in pairs(&situation, &outcome) {
            prop_assert!(grant.replicas >= demand.running.min(demand.wanted), "{demand:?} {grant:?}");
        }
    }

    #[test]
    fn a_more_critical_service_is_not_limited_by_what_less_critical_ones_have_beyond_their_claims(
        mut situation in situations()
    ) {
        // One budget, since with several ones a freed amount need not be the one that is missing.
        situation.budgets.truncate(1);
        situation.budgets[0].guaranteed = vec![Amount::ZERO; 2];
        situation.demands.iter_mut().for_each(|demand| {
            demand.placement = None;
            demand.depends_on.clear();
            demand.consumes.retain(|one| one.budget == 0);
        });
        let outcome = arbitrate(&situation);
        let budget = &situation.budgets[0];
        for (at, (demand, grant)) in pairs(&situation, &outcome).enumerate() {
            let Some(Cause::Budget { .. }) = grant.obstacle.map(|obstacle| obstacle.cause) else { continue };
            let mut grants: Vec<i32> = replicas(&outcome);
            for (other, (less, granted)) in pairs(&situation, &outcome).enumerate() {
                if granted.criticality > grant.criticality {
                    let kept = less.min.max(less.running.min(less.wanted));
                    grants[other] = granted.replicas.min(kept);
                }
            }
            grants[at] += 1;
            let used = most_used(&situation, 0, &grants) + budget.others.unwrap();
            prop_assert!(used > budget.limit.unwrap(), "{demand:?} {grant:?} could have more: {grants:?}");
        }
    }

    #[test]
    fn a_service_that_starts_has_its_dependencies(situation in situations()) {
        let outcome = arbitrate(&situation);
        for (demand, grant) in pairs(&situation, &outcome) {
            if grant.replicas == 0 || demand.running > 0 {
                continue;
            }
            for dependency in &demand.depends_on {
                let (needed, granted) = (&situation.demands[*dependency], &outcome.grants[*dependency]);
                let least = needed.min.max(needed.wanted.min(1));
                prop_assert!(granted.replicas >= least, "{demand:?} has {grant:?} without {needed:?} {granted:?}");
            }
        }
    }

    /// Once exactly the grants run, nothing changes.
    #[test]
    fn grants_that_run_are_granted_again(mut situation in situations()) {
        situation.demands.iter_mut().for_each(|demand| demand.placement = None);
        let outcome = arbitrate(&situation);
        for (demand, grant) in situation.demands.iter_mut().zip(&outcome.grants) {
            demand.running = grant.replicas;
            demand.consumes.iter_mut().for_each(|one| one.in_use = one.in_use.min(one.per_replica.times(grant.replicas)));
        }
        let again = grants(&situation);
        for (before, after) in replicas(&outcome).iter().zip(&again) {
            // Pods that have ended can leave room for more.
            prop_assert!(after >= before, "{:?} {again:?}", replicas(&outcome));
        }
        situation.demands.iter_mut().zip(&again).for_each(|(demand, replicas)| demand.running = *replicas);
        prop_assert_eq!(grants(&situation), again);
    }

    #[test]
    fn granted_replicas_have_a_placement_on_the_nodes(mut situation in situations()) {
        situation.demands.iter_mut().for_each(|demand| demand.running = 0);
        let outcome = arbitrate(&situation);
        prop_assert!(has_placement(&situation, &replicas(&outcome)), "{:?}", replicas(&outcome));
    }

    #[test]
    fn what_is_achievable_is_at_least_what_is_granted_and_fits(situation in situations()) {
        let outcome = arbitrate(&situation);
        for (at, (demand, grant)) in pairs(&situation, &outcome).enumerate() {
            prop_assert!(grant.achievable <= demand.max.max(grant.replicas));
            if demand.placement.is_none() {
                prop_assert!(grant.achievable >= grant.replicas);
            }
            if grant.achievable > grant.replicas {
                let mut grants = replicas(&outcome);
                grants[at] = grant.achievable;
                for one in &demand.consumes {
                    let budget = &situation.budgets[one.budget];
                    let used = most_used(&situation, one.budget, &grants) + budget.others.unwrap();
                    let no_more = most_used(&situation, one.budget, &replicas(&outcome)) + budget.others.unwrap();
                    prop_assert!(used <= budget.limit.unwrap() || used == no_more, "{demand:?} {grant:?}");
                }
            }
        }
    }
}
