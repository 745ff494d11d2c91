//! Replicas that are ready and yet answer badly: they are taken out and replaced, and never too many of them. And a zone
//! that goes with all of its replicas.

mod budget;
mod outlier;
mod zone;

use super::prelude::*;

pub const CASES: &[Case] = &[
    Case {
        name: "recovery-outlier",
        must: "one replica of ten answers 30 % errors: ejected within 3 evaluations, replaced, and the errors end; \
               without recovery they go on",
        lane: Lane::Busy,
        run: outlier::run,
    },
    Case {
        name: "recovery-budget",
        must: "five of ten answer 30 % errors: never more than two are out, one is replaced at a time, the condition says so; \
               once the budget is half of the replicas, more are",
        lane: Lane::Quiet,
        run: budget::run,
    },
    Case {
        name: "recovery-zone",
        must: "the only node of a zone loses its power: the rest is raised, and the service within its objective again before \
               Kubernetes evicts a pod; without Plimsoll it is not",
        lane: Lane::Alone,
        run: zone::run,
    },
];

/// Ten replicas that are judged every second by their share of errors within 3 s.
const fn setup(namespace: &'static str, recovery: &'static str) -> Setup {
    Setup { more_spec: recovery, ..Setup::of(namespace, 10) }
}

/// What the fault switch of the shop makes of a replica: ready, and three of ten answers are errors.
const ERRORS: &str = r#"{"errors": 0.3}"#;

/// Until the share of errors is above the limit in three samples of 3 s each, on a busy machine.
const EJECTED_WITHIN: Duration = Duration::from_secs(15);

/// Pods that the status says are out; with those that were evicted, or without.
fn ejected(snapshot: &Snapshot, evicted: bool) -> Vec<String> {
    let counts = |entry: &&Value| evicted || entry.get("evicted").is_none();
    let ejected = snapshot.list("/status/recovery/ejected").iter().filter(counts);
    ejected.map(|entry| entry.text("/pod").to_owned()).collect()
}
