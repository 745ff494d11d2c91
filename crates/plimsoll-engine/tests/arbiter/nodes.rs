//! Replicas must fit on a node, not on the sum of the nodes.

use plimsoll_engine::arbiter::{Amount, Cause, Demand, Node, Resources, Situation, arbitrate};

use super::world::{DemandExt as _, amount, grants, on_nodes, replicas, wants};

#[test]
fn replicas_fit_node_by_node() {
    let outcome = arbitrate(&on_nodes(&[7, 7, 7], vec![wants(9).cpu(4)]));
    assert_eq!(replicas(&outcome), [3], "21 CPUs would be 5 replicas of 4");
    assert_eq!(outcome.grants[0].obstacle.unwrap().cause, Cause::Nodes);
    assert_eq!(outcome.grants[0].achievable, 3);
}

#[test]
fn every_resource_of_the_node_counts() {
    let node = Node { free: Resources { cpu: amount(8), memory: amount(4), pods: amount(3) } };
    let shape = Resources { cpu: amount(1), memory: amount(2), pods: amount(1) };
    let mut demand = wants(9).cpu(1);
    demand.placement.as_mut().unwrap().shape = shape;
    let situation = Situation { nodes: vec![node], ..on_nodes(&[0], vec![demand]) };
    assert_eq!(grants(&situation), [2]);
}

#[test]
fn replicas_without_a_pod_are_placed_anew_if_that_makes_room() {
    // First fit puts the small ones on the first node, where the large one would fit.
    let small = wants(2).min(2).cpu(2);
    let large = wants(1).min(1).cpu(6).weight(1);
    assert_eq!(grants(&on_nodes(&[6, 4], vec![small, large])), [2, 1]);
}

#[test]
fn the_largest_running_replicas_without_a_pod_are_placed_first() {
    let demands = vec![wants(2).cpu(2).running(2), wants(1).cpu(6).running(1)];
    let outcome = arbitrate(&on_nodes(&[6, 4], demands));
    let achievable: Vec<i32> = outcome.grants.iter().map(|grant| grant.achievable).collect();
    assert_eq!(achievable, [2, 1]);
}

#[test]
fn a_running_replica_without_room_is_not_achievable() {
    let outcome = arbitrate(&on_nodes(&[2], vec![wants(5).cpu(1).running(4)]));
    assert_eq!(outcome.grants[0].replicas, 4, "nothing is taken away");
    assert_eq!(outcome.grants[0].achievable, 2);
}

#[test]
fn pods_beyond_the_node_leave_no_room() {
    let mut crowded = wants(3).cpu(2).running(3);
    crowded.placement.as_mut().unwrap().pods = vec![0, 0, 0];
    let small: Demand = wants(2).cpu(1);
    let situation = on_nodes(&[5, 1], vec![crowded, small]);
    assert_eq!(grants(&situation), [3, 1]);
}

#[test]
fn a_service_uses_only_the_nodes_of_its_pool() {
    let mut first = wants(9).cpu(1);
    first.placement.as_mut().unwrap().pool = 1;
    let mut situation = on_nodes(&[4, 3], vec![first, wants(9).cpu(1)]);
    situation.pools.push(vec![1]);
    assert_eq!(grants(&situation), [3, 4], "what it takes is gone for those that may use all nodes");
}

#[test]
fn without_nodes_nothing_fits() {
    assert_eq!(grants(&on_nodes(&[], vec![wants(1).cpu(1)])), [0]);
}

#[test]
fn a_replica_that_requests_nothing_fits_everywhere() {
    let outcome = arbitrate(&on_nodes(&[0], vec![wants(7).cpu(0)]));
    assert_eq!(replicas(&outcome), [7]);
    assert_eq!(outcome.grants[0].achievable, 100);
    assert_eq!(Amount::of(3.0).divided_by(Amount::ZERO), i32::MAX);
}
