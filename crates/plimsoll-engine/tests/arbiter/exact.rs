//! The arbiter beside a solver that tries every distribution.

use plimsoll_api::Criticality::{self, Critical};
use plimsoll_engine::arbiter::{Amount, Consumption, Demand, Situation};
use proptest::prelude::*;

use super::world::{CLASSES, DemandExt as _, amount, budget, each, grants, wants, with};

/// All distributions between the minimums and the demands that fit.
fn feasible(situation: &Situation) -> Vec<Vec<i32>> {
    let mut all = vec![vec![]];
    for demand in &situation.demands {
        let longer = |grants: &Vec<i32>| {
            let grants = grants.clone();
            (demand.min..=demand.wanted).map(move |one| [grants.clone(), vec![one]].concat())
        };
        all = all.iter().flat_map(longer).filter(|grants| fits(situation, grants)).collect();
    }
    all
}

fn fits(situation: &Situation, grants: &[i32]) -> bool {
    situation.budgets.iter().enumerate().all(|(at, budget)| {
        let used = |(demand, replicas): (&Demand, &i32)| -> Amount {
            demand
                .consumes
                .iter()
                .filter(|one| one.budget == at)
                .map(|one| one.per_replica.times(*replicas))
                .sum()
        };
        situation.demands.iter().zip(grants).map(used).sum::<Amount>() <= budget.limit.unwrap()
    })
}

/// Dominant share of one replica.
fn step(situation: &Situation, demand: &Demand) -> f64 {
    let share = |one: &Consumption| one.per_replica.share_of(situation.budgets[one.budget].limit.unwrap());
    demand.consumes.iter().map(share).fold(0.0, f64::max)
}

/// Shares of each class in ascending order, in billionths: the larger, lexicographically, the fairer.
fn fairness(situation: &Situation, grants: &[i32]) -> Vec<Vec<i64>> {
    let of = |class: &Criticality| {
        let members = situation.demands.iter().zip(grants).filter(|(demand, _)| demand.criticality == *class);
        let share = |(demand, replicas): (&Demand, &i32)| {
            (step(situation, demand) * f64::from(*replicas) / f64::from(demand.weight) * 1e9).round() as i64
        };
        let mut shares: Vec<i64> = members.map(share).collect();
        shares.sort_unstable();
        shares
    };
    CLASSES.iter().map(of).collect()
}

fn demands(sizes: impl Strategy<Value = i32> + Clone, weights: u32) -> impl Strategy<Value = Vec<Demand>> {
    let demand = (0..4usize, 0..2i32, 0..4i32, 1..=weights, sizes);
    let demand = demand.prop_map(|(class, min, more, weight, size)| {
        wants(min + more).min(min).critical(CLASSES[class]).weight(weight).of(size)
    });
    proptest::collection::vec(demand, 1..5)
}

proptest! {
    #[test]
    fn with_one_budget_and_equal_replicas_the_distribution_is_the_fairest(
        demands in demands(Just(1), 1), limit in 4..14i32
    ) {
        let situation = with(vec![budget(limit)], demands);
        let best = feasible(&situation).iter().map(|grants| fairness(&situation, grants)).max();
        prop_assert_eq!(Some(fairness(&situation, &grants(&situation))), best);
    }

    /// Whole replicas can't match weights exactly.
    #[test]
    fn with_weights_no_service_is_more_than_one_replica_ahead(demands in demands(Just(1), 3), limit in 4..14i32) {
        let situation = with(vec![budget(limit)], demands);
        let granted = grants(&situation);
        for (demand, behind) in situation.demands.iter().zip(&granted).filter(|(demand, one)| **one < demand.wanted) {
            for (other, ahead) in situation.demands.iter().zip(&granted).filter(|(other, one)| **one > other.min) {
                let share = |replicas: i32, of: &Demand| f64::from(replicas) / f64::from(of.weight);
                prop_assert!(
                    other.criticality != demand.criticality
                        || share(ahead - 1, other) <= share(*behind, demand) + 1e-9,
                    "{granted:?}: {other:?} is ahead of {demand:?}"
                );
            }
        }
    }

    /// With replicas of different sizes the fairest distribution is a knapsack problem. Progressive filling is then at most one
    /// replica of one service away from it.
    #[test]
    fn with_several_budgets_the_lowest_share_is_within_one_replica_of_the_best(
        demands in demands(1..4i32, 1), others in proptest::collection::vec(0..4i32, 5), limits in (8..16i32, 8..16i32)
    ) {
        let second = |(demand, per): (Demand, &i32)| {
            if *per == 0 { demand } else { demand.consuming(Consumption { budget: 1, ..each(*per) }) }
        };
        let demands = demands.into_iter().zip(&others).map(second).map(|one| one.critical(Critical)).collect();
        let situation = with(vec![budget(limits.0), budget(limits.1)], demands);
        let all = feasible(&situation);
        prop_assume!(!all.is_empty());
        let granted = grants(&situation);
        prop_assert!(fits(&situation, &granted), "{granted:?}");
        let lowest = |grants: &[i32]| {
            // A service that has all that it wants has no claim to more.
            let open = situation.demands.iter().zip(grants).filter(|(demand, one)| **one < demand.wanted);
            open.map(|(demand, one)| step(&situation, demand) * f64::from(*one)).fold(f64::INFINITY, f64::min)
        };
        let best = all.iter().map(|grants| lowest(grants)).filter(|share| share.is_finite()).fold(0.0, f64::max);
        let largest = situation.demands.iter().map(|demand| step(&situation, demand)).fold(0.0, f64::max);
        prop_assert!(lowest(&granted) + largest >= best - 1e-9, "{granted:?}: {} of {best}", lowest(&granted));
    }

    #[test]
    fn as_many_applications_are_whole_as_possible(
        sizes in proptest::collection::vec(proptest::collection::vec(1..5i32, 1..4), 1..5), limit in 3..16i32
    ) {
        let mut demands: Vec<Demand> = Vec::new();
        let mut applications: Vec<Vec<usize>> = Vec::new();
        for application in &sizes {
            let first = demands.len();
            applications.push((first..first + application.len()).collect());
            for (index, size) in application.iter().enumerate() {
                let after: &[usize] = if index == 0 { &[] } else { &[first] };
                demands.push(wants(1).min(1).of(*size).after(after));
            }
        }
        let situation = with(vec![budget(limit)], demands);
        let granted = grants(&situation);
        let whole = applications.iter().filter(|members| members.iter().all(|one| granted[*one] == 1)).count();
        let mut totals: Vec<i32> = sizes.iter().map(|application| application.iter().sum()).collect();
        totals.sort_unstable();
        let most = totals.iter().scan(0, |sum, one| { *sum += one; Some(*sum) }).filter(|sum| *sum <= limit).count();
        prop_assert_eq!(whole, most);
        let used: Amount = situation.demands.iter().zip(&granted)
            .map(|(demand, one)| demand.consumes[0].per_replica.times(*one)).sum();
        prop_assert!(used <= amount(limit));
    }
}
