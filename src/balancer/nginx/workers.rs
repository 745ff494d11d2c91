//! Records the pods that each worker may still send requests to.
//!
//! A pod is drained if no living worker was started with it, according to `proc(5)`. A long request keeps its worker, so one
//! stream delays all drained replicas until `drain.timeout` (`worker_shutdown_timeout`), when it is closed. A restarted agent does
//! not know the pods of old workers, and waits for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::process::Worker;
use crate::balancer::Epoch;

/// The pods that each running worker was started with; `None` if unknown: it may send requests to any pod.
#[derive(Debug, Default)]
pub(super) struct Knowledge(BTreeMap<Epoch, Option<Arc<BTreeSet<String>>>>);

impl Knowledge {
    /// Records `pods` for the new ones among all running `workers`, and forgets workers that have exited.
    pub fn learn(&mut self, workers: &[Worker], pods: Option<&BTreeSet<String>>) {
        let pods = pods.map(|pods| Arc::new(pods.clone()));
        self.0.retain(|epoch, _| workers.iter().any(|worker| worker.epoch == *epoch));
        for worker in workers {
            // A worker that is already shutting down was started with an earlier configuration.
            let with = if worker.leaving { None } else { pods.clone() };
            self.0.entry(worker.epoch).or_insert(with);
        }
    }

    /// Whether some worker may send a request to `pod`.
    pub fn knows(&self, pod: &str) -> bool {
        self.0.values().any(|pods| pods.as_ref().is_none_or(|pods| pods.contains(pod)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pid: u32, leaving: bool) -> Worker {
        Worker { epoch: Epoch { pid, start: 1 }, leaving }
    }

    #[test]
    fn a_pod_is_known_until_the_last_worker_that_has_it_exits() {
        let (both, one) = (["a", "b"], ["a"]);
        let [both, one] =
            [&both[..], &one[..]].map(|pods| pods.iter().map(|pod| (*pod).to_owned()).collect());
        let mut knowledge = Knowledge::default();
        knowledge.learn(&[worker(1, false), worker(2, false)], Some(&both));
        assert!(knowledge.knows("b") && !knowledge.knows("c"));
        knowledge.learn(&[worker(1, true), worker(2, true), worker(3, false)], Some(&one));
        assert!(knowledge.knows("b"), "old workers finish");
        knowledge.learn(&[worker(2, true), worker(3, false)], Some(&one));
        assert!(knowledge.knows("b"), "one of them still runs");
        knowledge.learn(&[worker(3, false)], Some(&one));
        assert!(!knowledge.knows("b") && knowledge.knows("a"));
    }

    #[test]
    fn a_worker_with_unknown_pods_may_know_every_pod() {
        let mut knowledge = Knowledge::default();
        let pods = BTreeSet::from(["a".to_owned()]);
        knowledge.learn(&[worker(1, true), worker(2, false)], Some(&pods));
        assert!(knowledge.knows("never-heard-of"));
        knowledge.learn(&[worker(2, false)], Some(&pods));
        assert!(!knowledge.knows("never-heard-of"));
        let again = Worker { epoch: Epoch { pid: 2, start: 9 }, leaving: false };
        knowledge.learn(&[again], None);
        assert!(knowledge.knows("never-heard-of"), "a reused ID is another worker");
    }
}
