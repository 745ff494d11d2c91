//! How containerd, kubelet and kube-proxy of a node are configured.

use super::{
    network::{CNI_PLUGINS, POD_RANGE, node_address, node_name},
    node::{PAUSE_IMAGE, cgroup_of, socket_of},
    pki,
    state::State,
};
use crate::prelude::*;

/// The kubelet's command line: options without a field in its configuration file.
pub fn kubelet_args(state: &State, number: u8) -> Vec<String> {
    let name = node_name(number);
    vec![
        format!("--config={}", state.text(&format!("{name}/kubelet.json"))),
        format!("--kubeconfig={}", pki::kubeconfig(state, &name)),
        format!("--root-dir={}", state.text(&format!("{name}/kubelet"))),
        format!("--cert-dir={}", state.text(&format!("{name}/kubelet/pki"))),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", node_address(number)),
        format!("--node-labels=topology.kubernetes.io/zone={}", zone_of(number)),
    ]
}

/// containerd's configuration, for its version 1.6.
pub fn containerd_configuration(folder: &str) -> String {
    let socket = socket_of(folder);
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
disable_tcp_service = true
# Without CAP_SYS_RESOURCE a score below our own is refused, and every pod with it.
restrict_oom_score_adj = true
# Below our folder, where they are found after a crash and hidden by no `ip netns add`.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{folder}/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folder}/cni"
"#
    )
}

pub fn kubelet_configuration(state: &State, number: u8) -> Value {
    let folder = state.text(&node_name(number));
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node_address(number),
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": state.text("pki/ca.crt") }
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{}", socket_of(&folder)),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_of(number),
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        // External names are not resolved.
        "resolvConf": "",
        "podLogsDir": format!("{folder}/logs"),
        "volumePluginDir": format!("{folder}/volume-plugins"),
        "maxPods": 250,
        // The kubelet renews the node's Lease every quarter of this time, and reports the node's status only rarely.
        "nodeLeaseDurationSeconds": 20,
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "5m",
        // No registry could provide a garbage-collected image again, and a developer's disk is often nearly full.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%"
        }
    })
}

pub fn kube_proxy_configuration(kubeconfig: &str, number: u8, name: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig },
        "mode": "iptables",
        "hostnameOverride": name,
        "bindAddress": node_address(number),
        "healthzBindAddress": format!("{}:10256", node_address(number)),
        "metricsBindAddress": "127.0.0.1:10249",
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": POD_RANGE,
        "oomScoreAdj": 0,
        // Zero keeps the host's settings of connection tracking.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        // A removed endpoint must leave the rules immediately: tests measure that.
        "iptables": { "minSyncPeriod": "100ms" }
    })
}

fn zone_of(number: u8) -> &'static str {
    if number == 1 { "zone-a" } else { "zone-b" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_share_no_file_port_or_cgroup() {
        let state = State::default();
        let (first, second) = (kubelet_configuration(&state, 1), kubelet_configuration(&state, 2));
        for field in ["address", "cgroupRoot", "containerRuntimeEndpoint", "podLogsDir"] {
            assert_ne!(first[field], second[field], "{field}");
        }
        assert_ne!(zone_of(1), zone_of(2));
    }
}
