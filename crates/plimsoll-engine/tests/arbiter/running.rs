//! Replicas that run, and what may take their capacity.

use plimsoll_api::Criticality::{Critical, Sheddable};
use plimsoll_engine::arbiter::Situation;

use super::world::{DemandExt as _, budget, grants, on_nodes, wants, with};

#[test]
fn nothing_is_taken_from_a_running_service() {
    let situation = with(
        vec![budget(6)],
        vec![wants(6).of(1).critical(Sheddable).running(5), wants(6).of(1).critical(Critical).running(1)],
    );
    assert_eq!(grants(&situation), [5, 1]);
}

#[test]
fn equal_services_do_not_change_places() {
    let first = wants(5).of(1);
    let second = wants(5).of(1);
    let situation = |one: i32, other: i32| {
        with(vec![budget(5)], vec![first.clone().running(one), second.clone().running(other)])
    };
    assert_eq!(grants(&situation(0, 0)), [3, 2]);
    assert_eq!(grants(&situation(2, 3)), [2, 3], "the odd replica stays where it runs");
    let repeated: Vec<Vec<i32>> = (0..5)
        .scan(vec![2, 2], |running, _| {
            *running = grants(&situation(running[0], running[1]));
            Some(running.clone())
        })
        .collect();
    assert!(repeated.iter().all(|grants| *grants == repeated[0]), "{repeated:?}");
}

#[test]
fn a_service_that_wants_less_gives_its_replicas_to_others() {
    let situation = with(vec![budget(6)], vec![wants(2).of(1).running(2), wants(6).of(1).running(3)]);
    assert_eq!(grants(&situation), [2, 4]);
}

#[test]
fn pods_are_kept_on_their_nodes() {
    let mut large = wants(1).cpu(5).running(0);
    large.criticality = Critical;
    let mut small = wants(2).cpu(1).critical(Sheddable).running(2);
    // One small pod on each node: no node has 5 left, although together they have 8.
    small.placement.as_mut().unwrap().pods = vec![0, 1];
    let situation = on_nodes(&[5, 5], vec![large, small]);
    assert_eq!(grants(&situation), [0, 2]);
    let moved: Situation = {
        let mut moved = situation;
        moved.demands[1].placement.as_mut().unwrap().pods = vec![1, 1];
        moved
    };
    assert_eq!(grants(&moved), [1, 2]);
}
