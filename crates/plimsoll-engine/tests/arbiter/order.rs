//! Minimums, criticality and weights.

use plimsoll_api::Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};

use super::world::{DemandExt as _, budget, grants, wants, with};

#[test]
fn minimums_come_before_the_demand_of_more_critical_services() {
    let modest = wants(6).min(3).of(1).critical(Sheddable);
    let important = wants(9).min(2).of(1).critical(CriticalPlus);
    assert_eq!(grants(&with(vec![budget(10)], vec![modest, important])), [3, 7]);
}

#[test]
fn the_demand_of_a_more_critical_service_comes_first() {
    let of = |criticality| wants(4).of(1).critical(criticality);
    let demands = vec![of(Sheddable), of(SheddablePlus), of(Critical), of(CriticalPlus)];
    for (limit, expected) in [(3, [0, 0, 0, 3]), (6, [0, 0, 2, 4]), (11, [0, 3, 4, 4]), (14, [2, 4, 4, 4])] {
        assert_eq!(grants(&with(vec![budget(limit)], demands.clone())), expected, "{limit}");
    }
}

#[test]
fn minimums_beyond_the_limit_go_to_the_most_critical() {
    let of = |criticality| wants(4).min(4).of(1).critical(criticality);
    let demands = vec![of(Sheddable), of(Critical), of(CriticalPlus)];
    assert_eq!(grants(&with(vec![budget(10)], demands)), [2, 4, 4]);
}

#[test]
fn equal_services_share_in_proportion_to_their_weights() {
    let of = |weight| wants(50).of(1).weight(weight);
    assert_eq!(grants(&with(vec![budget(12)], vec![of(1), of(2), of(3)])), [2, 4, 6]);
}

#[test]
fn shares_are_of_the_budget_and_not_of_replicas() {
    // A replica of the first service needs as much as four of the second.
    let situation = with(vec![budget(16)], vec![wants(50).of(4), wants(50).of(1)]);
    assert_eq!(grants(&situation), [2, 8]);
}

#[test]
fn what_a_small_demand_does_not_need_is_shared_by_the_others() {
    let of = |wanted| wants(wanted).of(1);
    assert_eq!(grants(&with(vec![budget(10)], vec![of(1), of(20), of(20)])), [1, 5, 4]);
}

#[test]
fn a_replica_that_does_not_fit_leaves_the_rest_to_smaller_ones() {
    let large = wants(2).of(6).critical(CriticalPlus);
    assert_eq!(grants(&with(vec![budget(10)], vec![large, wants(9).of(1).critical(Sheddable)])), [1, 4]);
}
