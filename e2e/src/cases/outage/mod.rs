//! The table of outages: none may lower the replicas, each must be told, and each must heal without help.
//!
//! A shop stands under a steady load of 315 requests a second, with 10 replicas and no stabilisation window, so that
//! a wrong decision would show at once. A watch records every state of its Deployment.

mod answers;
mod film;
mod kubelet;
mod operator;
mod recovery;
mod scene;
mod scrapes;
mod table;

use super::Case;

/// The group, in the order in which it runs; the last one takes the scene down.
pub const CASES: &[Case] = &[
    answers::DOWN,
    answers::SLOW,
    answers::STATUS_500,
    answers::GARBAGE,
    answers::HUGE,
    answers::EMPTY,
    answers::NAN,
    answers::HALF,
    answers::PARTIAL,
    answers::STALE,
    answers::SKEW,
    scrapes::HALF,
    scrapes::ALL,
    operator::API_SERVER,
    operator::CONTROLLER_KILL,
    operator::LEADER_KILL,
    operator::LEADER_TERM,
    kubelet::KUBELET,
    recovery::RISE,
    recovery::OVER,
];
