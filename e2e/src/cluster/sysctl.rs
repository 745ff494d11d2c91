//! Kernel settings that the cluster changes: saved before, restored after.

use super::state::State;
use crate::{
    prelude::*,
    process::{find_program, run, write_private},
};

/// Applies kube-proxy's rules to traffic between pods on one bridge.
const BRIDGE_CALLS: &str = "net/bridge/bridge-nf-call-iptables";

const NEEDED: [(&str, &str); 2] = [("net/ipv4/ip_forward", "1"), (BRIDGE_CALLS, "1")];

/// Settings that kubelet and kube-proxy change.
const CHANGED_BY_KUBERNETES: [&str; 7] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Saves all settings that the cluster changes, and sets those that it needs.
pub fn prepare(state: &State) -> Result<()> {
    if read(BRIDGE_CALLS).is_none() && find_program("modprobe").is_some() {
        run("modprobe", &["br_netfilter"])
            .context("the kernel module br_netfilter is missing; without it pods cannot reach Services")?;
    }
    let names = NEEDED.iter().map(|(name, _)| *name).chain(CHANGED_BY_KUBERNETES);
    let before: BTreeMap<&str, String> = names.filter_map(|name| Some((name, read(name)?))).collect();
    write_private(&state.path("sysctls.json"), &serde_json::to_string_pretty(&before)?)?;
    NEEDED.iter().try_for_each(|(name, value)| write(name, value))
}

/// Sets the needed settings in a node's network namespace.
pub fn prepare_namespace(namespace: &str) -> Result<()> {
    let script: Vec<String> =
        NEEDED.iter().map(|(name, value)| format!("echo {value} > /proc/sys/{name}")).collect();
    let inside = format!("--net=/var/run/netns/{namespace}");
    run("nsenter", &[inside.as_str(), "sh", "-ec", &script.join("\n")]).map(drop)
}

pub fn restore(state: &State) -> Result<()> {
    let text = fs::read_to_string(state.path("sysctls.json")).unwrap_or_default();
    let before: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
    let changed = before.iter().filter(|(name, value)| read(name).as_ref() != Some(value));
    changed.into_iter().try_for_each(|(name, value)| write(name, value))
}

fn read(name: &str) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().to_owned())
}

fn write(name: &str, value: &str) -> Result<()> {
    Ok(fs::write(format!("/proc/sys/{name}"), value)?)
}
