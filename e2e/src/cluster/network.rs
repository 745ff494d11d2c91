//! Addresses and links: the nodes' bridge, the second node's network namespace, the pods' CNI plug-in.
//!
//! No real interface is touched, and nothing leaves the machine.

use super::{state::State, sysctl};
use crate::{
    prelude::*,
    process::{find_program, run, run_with_input},
};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

pub const NODE_COUNT: u8 = 2;
/// Node 1 is the host itself, with an address on our bridge.
pub const API_SERVER_ADDRESS: &str = "10.250.0.1";
pub const API_SERVER_PORT: u16 = 6443;
pub const POD_RANGE: &str = "10.244.0.0/16";
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
pub const CNI_PLUGINS: &str = "/usr/lib/cni";
const OUR_PREFIX: &str = "plimsoll";
const BRIDGE: &str = "plimsoll0";
const NODE_RANGE: &str = "10.250.0.0/24";
/// Comment of our own iptables rules, so that they are found without the state folder.
const RULE_MARK: &str = "plimsoll-dev";

const KUBERNETES_MARKS: [&str; 2] = ["KUBE-", "CNI-"];

/// `plimsoll-1`, `plimsoll-2`: the node, its network namespace (of the second) and its folder.
pub fn node_name(number: u8) -> String {
    format!("{OUR_PREFIX}-{number}")
}

pub fn node_address(number: u8) -> String {
    format!("10.250.0.{number}")
}

/// The network namespace of a node; the first is the host.
pub fn node_namespace(number: u8) -> Option<String> {
    (number > 1).then(|| node_name(number))
}

pub fn network_name(number: u8) -> String {
    format!("{OUR_PREFIX}-pods{number}")
}

pub fn create(state: &State) -> Result<()> {
    check_ranges(&run("ip", &["-json", "route", "show", "table", "all"])?)?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("address add {API_SERVER_ADDRESS}/24 dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))?;
    sysctl::prepare(state)?;
    // A host whose policy is DROP (Docker sets it) would not forward between pods and nodes.
    for direction in ["--source", "--destination"] {
        let rule = ["--insert", "FORWARD", direction, POD_RANGE, "--jump", "ACCEPT"];
        let mark = ["--match", "comment", "--comment", RULE_MARK];
        run("iptables", &[&["--wait"][..], &rule, &mark].concat())?;
    }
    Ok(())
}

pub fn connect_node(state: &State, number: u8) -> Result<()> {
    if let Some(namespace) = node_namespace(number) {
        let (outside, name) = (format!("{OUR_PREFIX}-n{number}"), &namespace);
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {outside} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {outside} master {BRIDGE} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} address add {}/24 dev eth0", node_address(number)))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} route add default via {API_SERVER_ADDRESS}"))?;
        ip(&format!("route add {} via {}", pod_range(number), node_address(number)))?;
        sysctl::prepare_namespace(name)?;
    }
    let folder = state.path(&node_name(number)).join("cni");
    fs::create_dir_all(&folder)?;
    let configuration = cni_configuration(number, &state.text(&format!("{}/ipam", node_name(number))));
    Ok(fs::write(folder.join("10-pods.conflist"), serde_json::to_string_pretty(&configuration)?)?)
}

/// Removes a node's links, if they exist.
pub fn disconnect_node(number: u8) -> Result<()> {
    if let Some(namespace) = node_namespace(number) {
        // The route is on the common bridge, so it is not deleted with the link.
        ip(&format!("route flush {}", pod_range(number)))?;
        remove_link(&format!("{OUR_PREFIX}-n{number}"))?;
        if Path::new("/var/run/netns").join(&namespace).exists() {
            ip(&format!("netns delete {namespace}"))?;
        }
    }
    remove_link(&network_name(number))
}

/// Removes the bridge and all Kubernetes rules, if they exist.
pub fn remove() -> Result<()> {
    remove_link(BRIDGE)?;
    for family in ["iptables", "ip6tables"] {
        let saved = saved_rules(family)?;
        let kept = without_our_rules(&saved);
        if kept.len() != saved.len() {
            run_with_input(format!("{family}-restore"), &["--wait"], &kept)?;
        }
    }
    Ok(())
}

pub fn exists() -> Result<bool> {
    let bridge = Path::new("/sys/class/net").join(BRIDGE).exists();
    Ok(bridge || saved_rules("iptables")?.contains(RULE_MARK))
}

/// Refuses to work beside another Kubernetes, because our clean-up would delete its rules.
pub fn refuse_foreign_rules() -> Result<()> {
    if !exists()? && saved_rules("iptables")?.contains(":KUBE-SERVICES") {
        bail!(
            "another Kubernetes uses this machine (iptables has the chain KUBE-SERVICES); stop it and remove its \
             rules, or use another machine: `cluster down` removes all chains named KUBE- and CNI-"
        );
    }
    Ok(())
}

/// All rules of a family; empty if its tools are not installed, since then there are no rules of ours.
fn saved_rules(family: &str) -> Result<String> {
    let program = format!("{family}-save");
    if find_program(&program).is_none() {
        return Ok(String::new());
    }
    run(program, &[] as &[&str])
}

fn pod_range(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

fn cni_configuration(number: u8, ipam_folder: &str) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": network_name(number),
        "plugins": [
            {
                "type": "bridge",
                "bridge": network_name(number),
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": ipam_folder,
                    "ranges": [[{ "subnet": pod_range(number) }]],
                    "routes": [{ "dst": "0.0.0.0/0" }]
                }
            },
            { "type": "portmap", "capabilities": { "portMappings": true } }
        ]
    })
}

fn ip(words: &str) -> Result<String> {
    run("ip", &words.split(' ').collect::<Vec<_>>())
}

fn remove_link(name: &str) -> Result<()> {
    if Path::new("/sys/class/net").join(name).exists() {
        ip(&format!("link delete {name}"))?;
    }
    Ok(())
}

fn without_our_rules(saved: &str) -> String {
    let ours =
        |line: &&str| line.contains(RULE_MARK) || KUBERNETES_MARKS.iter().any(|mark| line.contains(mark));
    saved.lines().filter(|line| !ours(line)).map(|line| format!("{line}\n")).collect()
}

/// Fails if a foreign route of the machine overlaps one of our ranges.
fn check_ranges(routes: &str) -> Result<()> {
    let routes: Vec<Value> = serde_json::from_str(routes).context("cannot parse the routes of `ip`")?;
    for route in &routes {
        let (target, device) =
            (route["dst"].as_str().unwrap_or_default(), route["dev"].as_str().unwrap_or_default());
        let taken = [NODE_RANGE, POD_RANGE, SERVICE_RANGE].into_iter().find(|range| overlap(range, target));
        if let Some(range) = taken.filter(|_| !device.starts_with(OUR_PREFIX)) {
            bail!(
                "the address range {range} is in use: this machine has a route to {target} over {device:?}; \
                 remove that interface (`ip link delete {device}` for the bridge of another CNI)"
            );
        }
    }
    Ok(())
}

/// Whether two IPv4 ranges overlap; the default route does not count.
fn overlap(left: &str, right: &str) -> bool {
    let range = |text: &str| text.parse().or_else(|_| text.parse::<Ipv4Addr>().map(Ipv4Net::from)).ok();
    let (left, right): (Option<Ipv4Net>, Option<Ipv4Net>) = (range(left), range(right));
    left.zip(right).is_some_and(|(left, right)| {
        let everything = left.prefix_len() == 0 || right.prefix_len() == 0;
        !everything && (left.contains(&right) || right.contains(&left))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        assert!(overlap("10.244.0.0/16", "10.244.1.0/24"));
        assert!(overlap("10.96.0.0/16", "10.0.0.0/8"));
        assert!(overlap("10.250.0.0/24", "10.250.0.7"));
        assert!(!overlap("10.244.0.0/16", "10.245.0.0/16"));
        assert!(!overlap("10.244.0.0/16", "default") && !overlap("10.244.0.0/16", "0.0.0.0/0"));
        assert!(!overlap("10.244.0.0/16", "fe80::/64"));
    }

    #[test]
    fn a_foreign_bridge_in_our_range_is_named() {
        let error = check_ranges(r#"[{"dst":"10.244.0.0/24","dev":"cni0"}]"#).unwrap_err().to_string();
        assert!(error.contains("cni0") && error.contains("10.244.0.0/16"), "{error}");
        check_ranges(r#"[{"dst":"default","dev":"eth0"},{"dst":"10.244.1.0/24","dev":"plimsoll-pods1"}]"#)
            .unwrap();
    }

    #[test]
    fn only_kubernetes_rules_and_ours_are_removed() {
        let saved = "*filter\n:KUBE-FORWARD - [0:0]\n-A FORWARD -m comment --comment plimsoll-dev -j ACCEPT\n\
                     -A INPUT -p tcp --dport 22 -j ACCEPT\n-A CNI-HOSTPORT -j RETURN\nCOMMIT\n";
        assert_eq!(without_our_rules(saved), "*filter\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n");
    }

    #[test]
    fn names_of_interfaces_fit_the_kernel() {
        assert!((1..=NODE_COUNT).all(|number| network_name(number).len() < 16));
    }
}
