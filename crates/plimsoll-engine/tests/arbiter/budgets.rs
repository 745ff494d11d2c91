//! Limits, guarantees, surge and unknown numbers.

use plimsoll_api::Criticality::{Critical, Sheddable};
use plimsoll_engine::arbiter::{Amount, Budget, Cause, Consumption, Obstacle, Surge, arbitrate};

use super::world::{DemandExt as _, amount, budget, each, grants, replicas, wants, with};

#[test]
fn without_a_budget_every_service_gets_all_that_it_wants() {
    let outcome = arbitrate(&with(vec![], vec![wants(7), wants(0)]));
    assert_eq!(replicas(&outcome), [7, 0]);
    assert_eq!(outcome.grants[0].achievable, 100, "only maxReplicas limits it");
    assert_eq!(outcome.grants[0].obstacle, None);
}

#[test]
fn a_service_that_is_limited_names_the_budget_and_what_is_achievable() {
    let outcome = arbitrate(&with(vec![budget(60)], vec![wants(12).of(8)]));
    assert_eq!(replicas(&outcome), [7]);
    assert_eq!(outcome.grants[0].achievable, 7);
    assert_eq!(outcome.grants[0].obstacle, Some(Obstacle { cause: Cause::Budget { budget: 0 }, of: 0 }));
    let totals = &outcome.budgets[0];
    assert_eq!((totals.all.requested, totals.all.granted), (amount(96), amount(56)));
    assert!(totals.exhausted);
}

#[test]
fn what_is_achievable_is_what_fits_beside_all_other_grants() {
    let outcome = arbitrate(&with(vec![budget(10)], vec![wants(2).of(1), wants(3).of(1)]));
    assert_eq!(replicas(&outcome), [2, 3]);
    assert_eq!(outcome.grants[0].achievable, 7, "2 of its own and the 5 that are left");
    assert!(!outcome.budgets[0].exhausted);
}

#[test]
fn every_budget_that_a_replica_touches_must_have_room() {
    let second = |per| Consumption { budget: 1, ..each(per) };
    let both = wants(10).of(1).consuming(second(2));
    let situation = with(vec![budget(20), budget(6)], vec![both, wants(10).of(1)]);
    let outcome = arbitrate(&situation);
    assert_eq!(
        replicas(&outcome),
        [3, 10],
        "the second budget ends at 3 replicas; the rest is the other service's"
    );
    assert_eq!(outcome.grants[0].obstacle.unwrap().cause, Cause::Budget { budget: 1 });
}

#[test]
fn what_others_use_is_not_granted() {
    let others = Budget { others: Some(amount(4)), ..budget(10) };
    assert_eq!(grants(&with(vec![others], vec![wants(9).of(2)])), [3]);
}

#[test]
fn the_surge_of_a_rollout_has_room_at_any_time() {
    let surge = |surge| Consumption { surge, ..each(8) };
    for (surge_of, granted) in [(Surge::None, 7), (Surge::Pods(1), 6), (Surge::Percent(25), 5)] {
        let situation = with(vec![budget(60)], vec![wants(12).consuming(surge(surge_of))]);
        assert_eq!(grants(&situation), [granted], "{surge_of:?}");
        let most = granted + surge_of.of(granted);
        assert!(most * 8 <= 60, "{surge_of:?}: a rollout needs {most} pods");
    }
}

#[test]
fn pods_that_exist_count_even_if_they_terminate() {
    // Three replicas run, but three pods more are still there.
    let busy = Consumption { in_use: amount(6), ..each(1) };
    let shrunk = wants(3).consuming(busy).min(1);
    let shrunk = plimsoll_engine::arbiter::Demand { running: 3, ..shrunk };
    assert_eq!(grants(&with(vec![budget(10)], vec![shrunk, wants(9).of(1)])), [3, 4]);
}

#[test]
fn every_full_budget_is_exhausted_and_a_free_one_is_not() {
    let of = |budget| Consumption { budget, ..each(1) };
    let demand = wants(9).consuming(of(0)).consuming(of(1)).consuming(of(2));
    let outcome = arbitrate(&with(vec![budget(4), budget(4), budget(20)], vec![demand]));
    let exhausted: Vec<bool> = outcome.budgets.iter().map(|budget| budget.exhausted).collect();
    assert_eq!(exhausted, [true, true, false]);
}

#[test]
fn an_unknown_limit_or_use_freezes_what_runs() {
    let unknown_limit = Budget { limit: None, ..budget(0) };
    let unknown_use = Budget { others: None, ..budget(100) };
    for unknown in [unknown_limit, unknown_use] {
        let situation =
            with(vec![unknown], vec![wants(9).min(5).of(1).running(4), wants(2).of(1).running(4)]);
        let outcome = arbitrate(&situation);
        assert_eq!(replicas(&outcome), [4, 2], "none rises; only the service itself wants less");
        assert_eq!(outcome.grants[0].obstacle.unwrap().cause, Cause::Unknown { budget: 0 });
        assert_eq!(outcome.grants[1].obstacle, None);
        assert!(!outcome.budgets[0].exhausted, "unknown is not exhausted");
    }
}

#[test]
fn a_limit_below_what_runs_takes_nothing_away() {
    let situation = with(vec![budget(3)], vec![wants(8).of(1).running(4), wants(4).of(1).running(2)]);
    assert_eq!(grants(&situation), [4, 2]);
}

#[test]
fn a_service_that_no_entry_admits_keeps_what_runs_and_gets_no_more() {
    let stranger = Consumption { entry: None, ..each(1) };
    let situation = with(vec![budget(9)], vec![wants(5).consuming(stranger).running(2), wants(9).of(1)]);
    let outcome = arbitrate(&situation);
    assert_eq!(replicas(&outcome), [2, 7], "its replicas count");
    assert_eq!(outcome.grants[0].obstacle.unwrap().cause, Cause::NotAdmitted { budget: 0 });
}

#[test]
fn a_guarantee_is_free_for_its_entry_even_against_more_critical_services() {
    let guaranteed = Budget { guaranteed: vec![Amount::ZERO, amount(4)], ..budget(10) };
    let second = |per| Consumption { entry: Some(1), ..each(per) };
    let critical = wants(10).of(1).critical(Critical);
    let poor = |wanted| wants(wanted).consuming(second(1)).critical(Sheddable);
    let outcome = arbitrate(&with(vec![guaranteed.clone()], vec![critical.clone(), poor(6)]));
    assert_eq!(replicas(&outcome), [6, 4]);
    assert_eq!(outcome.grants[0].obstacle.unwrap().cause, Cause::Guaranteed { budget: 0 });
    assert_eq!(outcome.budgets[0].entries[1].granted, amount(4));
    let outcome = arbitrate(&with(vec![guaranteed], vec![critical, poor(0)]));
    assert_eq!(replicas(&outcome), [6, 0], "it is not lent: nothing could take it back");
}

#[test]
fn a_guarantee_holds_although_guarantees_exceed_the_limit() {
    let guaranteed = Budget { guaranteed: vec![amount(8), amount(8)], ..budget(10) };
    let second = Consumption { entry: Some(1), ..each(1) };
    let grants = grants(&with(vec![guaranteed], vec![wants(9).of(1), wants(9).consuming(second)]));
    assert_eq!(grants, [5, 5]);
}

#[test]
fn amounts_are_exact_where_floating_point_numbers_are_not() {
    let tenth = Consumption { per_replica: Amount::of(0.1), ..each(0) };
    let situation = with(vec![budget(1)], vec![wants(50).consuming(tenth)]);
    assert_eq!(grants(&situation), [10]);
}

#[test]
fn absurd_amounts_are_large_and_not_small() {
    for absurd in [1e300, f64::INFINITY] {
        let huge = Consumption { per_replica: Amount::of(absurd), ..each(0) };
        let demands = vec![wants(3).consuming(huge), wants(3).of(1)];
        assert_eq!(grants(&with(vec![budget(9)], demands.clone())), [0, 3]);
        let mut running = demands;
        running[0] = running[0].clone().running(1);
        assert_eq!(grants(&with(vec![budget(9)], running)), [1, 0], "what runs exceeds the limit already");
    }
    assert_eq!(Amount::of(f64::NAN), Amount::ZERO);
    assert_eq!(Amount::of(-5.0), Amount::ZERO);
    assert!(Amount::of(1e-300) > Amount::ZERO);
}
