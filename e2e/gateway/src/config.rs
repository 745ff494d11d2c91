//! Renders HAProxy's configuration for the routes.

use std::{
    collections::BTreeMap,
    fmt::{Error, Write as _},
    net::IpAddr,
};

use crate::world::{Route, Rule, World};

/// A rule with its place, which names its variables and backends in the configuration.
type Placed<'a> = (String, &'a Route, &'a Rule);

/// Renders the configuration; the same world always gives the same text.
pub fn render(world: &World, address: IpAddr) -> String {
    let mut text = String::new();
    // Writing into a String can't fail.
    let _ = write(&mut text, world, address);
    text
}

fn write(text: &mut String, world: &World, address: IpAddr) -> Result<(), Error> {
    text.push_str(
        "global\n  maxconn 4000\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n  \
         retries 0\n  option idle-close-on-response\n",
    );
    let mut ports: BTreeMap<u16, Vec<Placed<'_>>> = BTreeMap::new();
    for gateway in &world.gateways {
        for port in &gateway.ports {
            ports.entry(*port).or_default();
        }
    }
    let mut placed = Vec::new();
    for (route_at, route) in world.routes.iter().enumerate() {
        for (rule_at, rule) in route.rules.iter().enumerate() {
            placed.push((format!("{route_at}_{rule_at}"), route, rule));
        }
    }
    for (place, route, rule) in &placed {
        for port in &route.ports {
            ports.entry(*port).or_default().push((place.clone(), route, rule));
        }
    }
    for (port, mut rules) in ports {
        // The longest matching path wins.
        let longest = |rule: &Rule| rule.paths.iter().map(String::len).max().unwrap_or_default();
        rules.sort_by_key(|(_, _, rule)| std::cmp::Reverse(longest(rule)));
        writeln!(text, "frontend port{port}\n  bind {address}:{port}")?;
        for (place, route, rule) in &rules {
            front(text, place, route, rule, world.lies().empty)?;
        }
        for (place, _, rule) in &rules {
            choose(text, place, rule, world.lies().empty)?;
        }
        writeln!(text, "  default_backend unmatched")?;
    }
    for (place, _, rule) in &placed {
        for (at, (_, endpoints)) in rule.backends.iter().enumerate() {
            writeln!(text, "backend b{place}_{at}")?;
            for (server_at, (ip, port)) in endpoints.iter().enumerate() {
                writeln!(text, "  server s{server_at} {ip}:{port}")?;
            }
        }
    }
    writeln!(text, "backend empty\nbackend unmatched\n  http-request return status 404")
}

/// Sets the rule that a request matches, and a random number that selects its backend.
fn front(text: &mut String, place: &str, route: &Route, rule: &Rule, empty: bool) -> Result<(), Error> {
    let paths = rule.paths.join(" ");
    let host = match route.hostnames.as_slice() {
        [] => String::new(),
        names => format!("{{ req.hdr(host),field(1,:) -i -m str {} }} ", names.join(" ")),
    };
    writeln!(
        text,
        "  http-request set-var(txn.rule) str({place}) if !{{ var(txn.rule) -m found }} {host}{{ path_beg {paths} }}"
    )?;
    let total = total(rule, empty).max(1);
    writeln!(text, "  http-request set-var(txn.pick) rand({total}) if {{ var(txn.rule) -m str {place} }}")
}

fn choose(text: &mut String, place: &str, rule: &Rule, empty: bool) -> Result<(), Error> {
    let mut below = 0;
    for (at, (weight, _)) in rule.backends.iter().enumerate().filter(|(_, backend)| counts(backend, empty)) {
        below += weight;
        writeln!(
            text,
            "  use_backend b{place}_{at} if {{ var(txn.rule) -m str {place} }} {{ var(txn.pick) -m int lt {below} }}"
        )?;
    }
    writeln!(text, "  use_backend empty if {{ var(txn.rule) -m str {place} }}")
}

fn total(rule: &Rule, empty: bool) -> i64 {
    rule.backends.iter().filter(|backend| counts(backend, empty)).map(|(weight, _)| weight).sum()
}

/// Whether a backend gets requests.
fn counts((weight, endpoints): &(i64, Vec<(IpAddr, u16)>), empty: bool) -> bool {
    *weight > 0 && (empty || !endpoints.is_empty())
}
