//! The local cluster itself: it survives the faults that other tests put into it.
//!
//! Needs root and changes the machine's network, so it runs only when asked for:
//! `cargo test -p plimsoll-e2e --test cluster -- --ignored`.

use anyhow::{Result, ensure};
use plimsoll_e2e::cluster::{Cluster, Component, Options, PAUSE_IMAGE};
use plimsoll_e2e::process::wait_for;
use std::time::Duration;

const NAMESPACE: &str = "cluster-faults";

fn pod_on_node_2() -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: idle, namespace: {NAMESPACE}}}\n\
         spec:\n  selector: {{matchLabels: {{app: idle}}}}\n  template:\n    metadata: {{labels: {{app: idle}}}}\n    \
         spec:\n      nodeSelector: {{topology.kubernetes.io/zone: zone-b}}\n      \
         containers: [{{name: idle, image: \"{PAUSE_IMAGE}\", imagePullPolicy: Never}}]\n"
    )
}

fn node_2_ready(cluster: &Cluster) -> Result<String> {
    let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    cluster.kubectl(&["get", "node", "plimsoll-2", "--output", path])
}

fn wait_for_pod(cluster: &Cluster) -> Result<()> {
    let wait = ["rollout", "status", "deployment/idle", "--namespace", NAMESPACE, "--timeout=60s"];
    cluster.kubectl(&wait).map(drop)
}

#[test]
#[ignore = "needs root and changes the machine's network"]
fn a_failed_node_is_noticed_and_comes_back_and_every_program_can_be_killed() -> Result<()> {
    let before = Options::of_running_cluster().unwrap_or_default();
    let cluster = Cluster::up(&Options { nodes: 2, ..before })?;
    cluster.apply(&pod_on_node_2())?;
    wait_for_pod(&cluster)?;

    cluster.stop_node(2)?;
    wait_for("node 2 is seen as failed", Duration::from_secs(40), || {
        Ok(node_2_ready(&cluster)? == "Unknown")
    })?;
    cluster.start_node(2)?;
    wait_for("node 2 is ready again", Duration::from_secs(40), || Ok(node_2_ready(&cluster)? == "True"))?;
    wait_for_pod(&cluster)?;

    cluster.kill9(Component::ApiServer)?;
    ensure!(cluster.kubectl(&["get", "nodes"]).is_err(), "a killed API server must not answer");
    cluster.start(Component::ApiServer)?;
    cluster.stop(Component::ApiServer)?;
    ensure!(
        cluster.status()?.parts.iter().any(|part| part.pid.is_none()),
        "a stopped program must be seen as dead"
    );
    cluster.start(Component::ApiServer)?;

    let others =
        [Component::Etcd, Component::ControllerManager, Component::Scheduler, Component::Containerd(2)];
    for component in others.into_iter().chain([Component::Kubelet(2), Component::KubeProxy(2)]) {
        cluster.kill9(component)?;
        cluster.start(component)?;
    }
    // Controllers, scheduler and node work on: a new pod runs.
    cluster.kubectl(&["rollout", "restart", "deployment/idle", "--namespace", NAMESPACE])?;
    wait_for_pod(&cluster)?;
    ensure!(cluster.status()?.is_complete(), "every program runs again");

    cluster.kubectl(&["delete", "namespace", NAMESPACE])?;
    Cluster::up(&before)?;
    ensure!(
        Cluster::attach()?.stop_node(2).is_err() || before.nodes == 2,
        "a removed node is not there any more"
    );
    Ok(())
}
