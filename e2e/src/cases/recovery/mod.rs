//! Ready replicas that answer errors are ejected and replaced, within a budget. And a zone fails with all of its
//! replicas.

mod budget;
mod outlier;
mod zone;

use super::prelude::*;

pub const CASES: &[Case] = &[
    Case {
        name: "recovery-outlier",
        must: "one replica of ten answers 30 % errors: it is ejected within 3 evaluations and replaced, and the errors end; \
               without recovery they continue",
        lane: Lane::Busy,
        run: outlier::run,
    },
    Case {
        name: "recovery-budget",
        must: "five of ten answer 30 % errors: at most two are ejected, one is replaced at a time, a condition reports it; \
               more are ejected once the budget is half of the replicas",
        lane: Lane::Quiet,
        run: budget::run,
    },
    Case {
        name: "recovery-zone",
        must: "the only node of a zone loses power: replicas are added in the other zone, and the service is within its \
               objective before Kubernetes evicts a pod; without Plimsoll it is not",
        lane: Lane::Alone,
        run: zone::run,
    },
];

/// Ten replicas, evaluated every second by their error share within 3 s.
const fn setup(namespace: &'static str, recovery: &'static str) -> Setup {
    Setup { more_spec: recovery, ..Setup::of(namespace, 10) }
}

/// Fault switch of the shop: the replica stays ready, and three of ten answers are errors.
const ERRORS: &str = r#"{"errors": 0.3}"#;

/// Time until the error share is above the limit in three samples of 3 s each, on a busy machine.
const EJECTED_WITHIN: Duration = Duration::from_secs(15);

/// Ejected pods of the status, with or without the evicted ones.
fn ejected(seen: &Snapshot, evicted: bool) -> Vec<String> {
    let counts = |entry: &&Value| evicted || entry.get("evicted").is_none();
    let ejected = seen.list("/status/recovery/ejected").iter().filter(counts);
    ejected.map(|entry| entry.text("/pod").to_owned()).collect()
}
