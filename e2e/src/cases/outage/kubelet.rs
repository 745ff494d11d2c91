//! A node's agent stops: its pods run on, but nobody can tell.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{
    super::{Case, Lane, Theatre},
    film::{condition, number},
    scene::{NAMESPACE, SHOP, play},
    table::Row,
};
use crate::cluster::{Cluster, Component};

/// The grace period of a node (20 s), its last lease (5 s), and a look.
const UNREADY: Duration = Duration::from_secs(45);

/// The case.
pub const KUBELET: Case = Case {
    name: "outage-kubelet",
    must: "the kubelet of node 2 stops and its pods count as unready: replicas hold, the status counts what is ready",
    lane: Lane::Alone,
    run: |theatre| {
        let there = pods_of_node_2(theatre)?;
        ensure!(there > 0, "no pod of the shop is on node 2");
        play(theatre, |scene| {
            let (before, began) = (scene.replicas()?, Instant::now());
            let stopped = Stopped::kubelet_2(&theatre.stage.cluster)?;
            let fewer = |service: &Value| {
                let ready = number(service, "/status/readyReplicas");
                ready < before && condition(service, "Reconciling").status == "True"
            };
            let told = scene.service.wait("fewer ready replicas", began, UNREADY, fewer)?;
            // It has lasted for longer than LASTS by now; a look at what comes of unready pods.
            sleep(Duration::from_secs(5));
            let service = scene.service.last()?;
            let progress = condition(&service, "Reconciling");
            ensure!(progress.status == "True", "Reconciling is {} while pods are unready", progress.status);
            theatre.explain(NAMESPACE, SHOP, &["throughput", "replicas are ready"])?;
            stopped.start()?;
            let healed = Instant::now();
            let all = |service: &Value| {
                number(service, "/status/readyReplicas") >= before
                    && condition(service, "Ready").status == "True"
            };
            let recovered = scene.service.wait("all ready again", healed, Duration::from_secs(30), all)?;
            let row = Row {
                fault: "kubelet".into(),
                states: scene.states(began),
                before,
                lowest: scene.lowest(&theatre.stage, began)?,
                condition: format!("Reconciling {}", progress.reason),
                told: Some(told),
                recovered: Some(recovered),
            };
            scene.rows.push(row.clone());
            ensure!(row.lowest >= before, "{before} replicas fell to {}: {}", row.lowest, scene.decisions());
            Ok(format!("{there} pods on node 2: {:?}; {}", progress.message, row.line()))
        })
    },
};

fn pods_of_node_2(theatre: &Theatre) -> Result<usize> {
    play(theatre, |_| {
        let arguments = [
            "--namespace",
            NAMESPACE,
            "get",
            "pods",
            "--selector=app=shop",
            "--field-selector=spec.nodeName=plimsoll-2",
            "--output=name",
        ];
        Ok(theatre.stage.cluster.kubectl(&arguments)?.lines().count())
    })
}

/// A kubelet that is stopped until it is started, or this value dropped.
struct Stopped<'a>(&'a Cluster);

impl<'a> Stopped<'a> {
    fn kubelet_2(cluster: &'a Cluster) -> Result<Self> {
        cluster.stop(Component::Kubelet(2))?;
        Ok(Self(cluster))
    }

    fn start(self) -> Result<()> {
        self.0.start(Component::Kubelet(2))
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // Starting what runs does nothing.
        let _ = self.0.start(Component::Kubelet(2));
    }
}
