//! A kubelet stops: its pods keep running, but count as unready.

use super::state::{NAMESPACE, play};
use crate::cases::{broken::Broken, prelude::*};

/// The grace period of a node (20 s), its lease interval (5 s), and an evaluation.
const UNREADY: Duration = Duration::from_secs(45);

pub const KUBELET: Case = Case {
    name: "outage-kubelet",
    must: "kubelet of node 2 stops and its pods count as unready: replicas stay, status has the number of ready ones",
    lane: Lane::Alone,
    run: |fixture| {
        play(fixture, |outage| {
            let (stage, cluster) = (&fixture.stage, &fixture.stage.cluster);
            let there = "pods --selector=app=shop --field-selector=spec.nodeName=plimsoll-2";
            let there = cluster.list(NAMESPACE, there)?.len();
            ensure!(there > 0, "no pod of the shop is on node 2");
            let (before, began) = (outage.replicas()?, SystemTime::now());
            let stopped = Broken::kubelet_2(cluster)?;
            let reported = outage.service.wait_since("with fewer ready", began, UNREADY, |service| {
                service.number("/status/readyReplicas") < before && service.is("Reconciling")
            })?;
            // The outage is already longer than any other; leave time for an evaluation of the unready pods.
            sleep(Duration::from_secs(5));
            let progress = outage.service.last()?.says("Reconciling");
            ensure!(progress.starts_with("True"), "Reconciling is {progress} while pods are unready");
            fixture.explain(NAMESPACE, SHOP, &["throughput", "replicas are ready"])?;
            stopped.heal()?;
            let healed = SystemTime::now();
            let within = Duration::from_secs(30);
            let recovered = outage.service.wait_since("all ready again", healed, within, |service| {
                service.number("/status/readyReplicas") >= before && service.is("Ready")
            })?;
            let reported = format!("Reconciling {progress} after {reported:.1} s");
            let (lowest, line) = outage.outcome(stage, (before, began), &reported, recovered)?;
            ensure!(lowest >= before, "{before} replicas fell to {lowest}: {}", outage.decisions());
            Ok(format!("{there} pods on node 2; {line}"))
        })
    },
};
