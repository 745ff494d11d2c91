//! Kernel settings that the cluster changes: remembered before, put back after.

use super::state::State;
use crate::{
    prelude::*,
    process::{find_program, run, write_private},
};

/// Lets the rules of kube-proxy see traffic between pods on one bridge.
const BRIDGE_CALLS: &str = "net/bridge/bridge-nf-call-iptables";

const NEEDED: [(&str, &str); 2] = [("net/ipv4/ip_forward", "1"), (BRIDGE_CALLS, "1")];

/// What kubelet and kube-proxy set by themselves.
const CHANGED_BY_KUBERNETES: [&str; 7] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Remembers all that the cluster changes and sets what it needs.
pub fn prepare(state: &State) -> Result<()> {
    if read(BRIDGE_CALLS).is_none() && find_program("modprobe").is_some() {
        run("modprobe", &["br_netfilter"]).context(
            "the kernel module br_netfilter is missing; without it Services are not reached from pods",
        )?;
    }
    let names = NEEDED.iter().map(|(name, _)| *name).chain(CHANGED_BY_KUBERNETES);
    let before: BTreeMap<&str, String> = names.filter_map(|name| Some((name, read(name)?))).collect();
    write_private(&state.path("sysctls.json"), &serde_json::to_string_pretty(&before)?)?;
    NEEDED.iter().try_for_each(|(name, value)| write(name, value))
}

/// Sets what a node in a network namespace of its own needs.
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
