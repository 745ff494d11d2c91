//! Services that depend on each other.

use plimsoll_api::Criticality::{Critical, CriticalPlus, Sheddable};
use plimsoll_engine::arbiter::arbitrate;

use super::world::{DemandExt as _, budget, grants, replicas, wants, with};

#[test]
fn a_dependency_is_as_critical_as_the_service_that_needs_it() {
    let checkout = wants(2).min(1).of(1).critical(Critical).after(&[1]);
    let catalog = wants(4).of(1).critical(Sheddable);
    let other = wants(9).of(1).critical(Critical);
    let outcome = arbitrate(&with(vec![budget(6)], vec![checkout, catalog, other]));
    assert_eq!(replicas(&outcome), [2, 2, 2]);
    assert_eq!(outcome.grants[1].criticality, Critical);
}

#[test]
fn a_dependency_inherits_no_more_than_it_may_have() {
    let first = wants(9).of(1).critical(Critical);
    let capped = plimsoll_engine::arbiter::Demand {
        most_critical: Some(Critical),
        ..wants(9).of(1).critical(Sheddable)
    };
    let free = wants(1).critical(CriticalPlus).after(&[1]);
    let outcome = arbitrate(&with(vec![budget(8)], vec![first, capped, free]));
    assert_eq!(outcome.grants[1].criticality, Critical);
    assert_eq!(replicas(&outcome), [4, 4, 1], "as CriticalPlus it would have all");
}

#[test]
fn a_dependency_that_others_need_is_not_given_away() {
    let needed = wants(1).of(1).critical(CriticalPlus);
    let user = wants(1).min(1).of(1).after(&[0]);
    let heavy = wants(1).min(1).of(5).weight(2);
    let demands = vec![needed, user.clone(), user, heavy];
    let grants = grants(&with(vec![budget(6)], demands));
    assert!(grants[0] == 1 || grants[1] + grants[2] == 0, "{grants:?}");
}

#[test]
fn a_service_does_not_start_without_its_dependency() {
    // The dependency needs 8 of 5: neither it nor the service is of use.
    let checkout = wants(1).of(1).critical(CriticalPlus).after(&[1]);
    let catalog = wants(1).of(8).critical(CriticalPlus);
    let outcome = arbitrate(&with(vec![budget(5)], vec![checkout, catalog, wants(5).of(1)]));
    assert_eq!(replicas(&outcome), [0, 0, 5]);
    assert_eq!(outcome.grants[0].obstacle.unwrap().of, 1, "the dependency is what does not fit");
}

#[test]
fn a_whole_application_comes_before_a_part_of_another() {
    // One by one, the smallest services would come first: one of each application.
    let part = |per: i32, after: &[usize]| wants(1).min(1).of(per).after(after);
    let demands = vec![part(2, &[]), part(4, &[0]), part(3, &[]), part(4, &[2])];
    assert_eq!(grants(&with(vec![budget(6)], demands)), [1, 1, 0, 0]);
}

#[test]
fn of_as_many_whole_applications_the_ones_with_more_services_are_kept() {
    let part = |per: i32, after: &[usize]| wants(1).min(1).of(per).after(after);
    // Sizes 6 (one service) and 7 (two services) of 7.
    let demands = vec![part(6, &[]), part(5, &[]), part(2, &[1])];
    assert_eq!(grants(&with(vec![budget(7)], demands)), [0, 1, 1]);
}

#[test]
fn a_chain_of_dependencies_is_granted_together() {
    let demands = vec![
        wants(3).of(1).critical(CriticalPlus).after(&[1]),
        wants(1).of(1).critical(Sheddable).after(&[2]),
        wants(1).of(1).critical(Sheddable),
        wants(9).of(1).critical(Critical),
    ];
    assert_eq!(grants(&with(vec![budget(4)], demands)), [2, 1, 1, 0]);
}

#[test]
fn a_dependency_that_wants_nothing_prevents_nothing() {
    let idle = wants(0).of(1);
    assert_eq!(grants(&with(vec![budget(4)], vec![wants(3).of(1).after(&[1]), idle])), [3, 0]);
}

#[test]
fn a_cycle_ends() {
    let demands = vec![wants(2).of(1).after(&[1]), wants(2).of(1).after(&[0])];
    assert_eq!(grants(&with(vec![budget(3)], demands)), [2, 1]);
}

#[test]
fn a_long_chain_does_not_exhaust_the_stack() {
    let last = 20_000;
    let chain = (0..=last).map(|position| {
        let next = if position < last { vec![position + 1] } else { vec![] };
        wants(1).of(1).after(&next)
    });
    let grants = grants(&with(vec![budget(30_000)], chain.collect()));
    assert!(grants.iter().all(|replicas| *replicas == 1));
}
