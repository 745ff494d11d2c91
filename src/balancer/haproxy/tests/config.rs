//! The content of haproxy.cfg.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    super::{Config, Paths, config::structure_of},
    paths, server, standby, wanted,
};
use crate::balancer::{
    ConfigError, Listen, Resources,
    ServerState::{Drain, Ready},
    Standby, Wanted,
};
use plimsoll_api::StandbyTls;

fn config(wanted: &Wanted) -> Config {
    Config::of(wanted, &paths()).unwrap()
}

#[test]
fn the_defaults() {
    let mut wanted = wanted(&json!({}));
    wanted.servers.insert("checkout-7d9c6b-x2x4z".to_owned(), server("10.0.0.1:8080", Ready));
    insta::assert_snapshot!(config(&wanted).text);
}

#[test]
fn everything_at_once() {
    let mut wanted = wanted(&json!({
        "algorithm": "RoundRobin",
        "healthCheck": {"path": "/healthz?deep=1", "passive": {"consecutiveErrors": 5}},
        "sessionPersistence": {"cookie": "SID"},
        "slowStart": "10s",
        "drain": {"timeout": "5m"},
        "retries": {"attempts": 3, "retryOn": ["ConnectFailure", "EmptyResponse", "Http503"]},
        "limits": {"connectionsPerReplica": 65, "queueTimeout": "90s"},
        "priorities": [
            {"match": {"pathPrefix": "/pay", "header": {"name": "x-tier", "value": "it's \"gold\""}},
             "criticality": "CriticalPlus"},
            {"match": {"pathPrefix": "/search"}, "criticality": "Sheddable"},
        ],
    }));
    let certificate = Some("/run/plimsoll/checkout-tls.pem".into());
    wanted.listeners.push(Listen { port: 10_443, certificate });
    wanted.gate = Some("127.0.0.1:9103".parse().unwrap());
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    wanted.servers.insert("checkout-1".to_owned(), server("[2001:db8::1]:8080", Drain));
    wanted.standbys = vec![standby("east", Some("10.1.0.1:8080"), 100), standby("west", None, 10)];
    insta::assert_snapshot!(config(&wanted).text);
}

#[test]
fn limits_of_clients_follow_the_resources_of_the_pod() {
    let mut wanted = wanted(&json!({}));
    wanted.standbys = vec![standby("east", None, 0)];
    let text = config(&wanted).text;
    for line in [
        "    nbthread 2\n    maxconn 3612\n",
        "    tune.h2.max-concurrent-streams 26\n",
        "    maxconn 3356\n",
        "set-var(txn.requests) be_conn(checkout_east),add(txn.requests)\n",
        "return status 503 hdr Retry-After 1 if { var(txn.requests) -m int ge 3356 }\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    wanted.resources = Resources { memory: 64 << 20, ..wanted.resources };
    assert!(config(&wanted).text.contains("    maxconn 426\n"));
}

#[test]
fn only_trusted_proxies_may_use_the_proxy_protocol_and_a_bad_network_is_refused() {
    let more = json!({"trustedProxies": ["10.0.0.0/8", "2001:db8::/32"], "proxyProtocol": true});
    let text = config(&wanted(&more)).text;
    let rules = "    acl trusted_proxy src 10.0.0.0/8
    acl trusted_proxy src 2001:db8::/32
    tcp-request connection expect-proxy layer4 if trusted_proxy
";
    assert!(text.contains(rules), "{text}");
    let hostile = wanted(&json!({"trustedProxies": ["10.0.0.0/8\n    bind :1"]}));
    assert!(matches!(Config::of(&hostile, &paths()), Err(ConfigError::Name { .. })));
}

#[test]
fn standbys_and_their_shares() {
    let mut wanted = wanted(&json!({"limits": {"connectionsPerReplica": 10}}));
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    wanted.standbys = vec![
        standby("east", Some("10.1.0.1:8080"), 30),
        standby("west", Some("[2001:db8::1]:8080"), 20),
        standby("north", None, 50),
    ];
    insta::assert_snapshot!(config(&wanted).text);
    insta::assert_snapshot!(config(&wanted).shares, @r"
    # A number from 0 to 99 is drawn for each request. The first standby with a greater number gets it.
    east 30
    west 50
    north 50
    ");
    let before = config(&wanted);
    wanted.standbys[0] = standby("east", Some("10.1.0.2:8080"), 100);
    let after = config(&wanted);
    assert_eq!(after.structure, before.structure, "shares and addresses change at runtime");
    assert!(after.text != before.text && after.shares != before.shares);
    wanted.standbys.swap(0, 1);
    assert_ne!(config(&wanted).structure, before.structure);
    for bad in ["a b", "a)", "a,0", "a\n", ""] {
        wanted.standbys[0].name = bad.to_owned();
        assert!(matches!(Config::of(&wanted, &paths()), Err(ConfigError::Name { .. })), "{bad:?}");
    }
}

#[test]
fn a_standby_has_a_server_for_each_address_and_a_new_address_rarely_needs_a_reload() {
    let mut wanted = wanted(&json!({"limits": {"connectionsPerReplica": 10}}));
    let mut of = |count: u8| {
        let addresses = (1..=count).map(|last| ([10, 1, 0, last], 80).into()).collect();
        wanted.standbys = vec![Standby { addresses, ..standby("east", None, 100) }];
        config(&wanted)
    };
    let three = of(3);
    let servers: Vec<&str> =
        three.text.lines().filter(|line| line.contains("server _")).map(str::trim).collect();
    assert_eq!(
        servers,
        [
            "server _instead_east 10.1.0.1:80 maxconn 5 pool-max-conn 0",
            "server _instead_east_2 10.1.0.2:80 maxconn 5 pool-max-conn 0",
            "server _instead_east_3 10.1.0.3:80 maxconn 5 pool-max-conn 0",
            "server _instead_east_4 127.0.0.1:1 maxconn 5 pool-max-conn 0 disabled",
            "server _standby_east 10.1.0.1:80 maxconn 5",
            "server _standby_east_2 10.1.0.2:80 maxconn 5",
            "server _standby_east_3 10.1.0.3:80 maxconn 5",
            "server _standby_east_4 127.0.0.1:1 maxconn 5 disabled",
        ]
    );
    assert_eq!(of(4).structure, three.structure);
    assert_eq!(of(0).structure, of(1).structure);
    assert_ne!(of(2).structure, three.structure);
}

#[test]
fn every_server_of_a_standby_over_tls_verifies_its_certificate() {
    let tls = StandbyTls { hostname: "east.example".to_owned(), ca_secret_name: "east-ca".to_owned() };
    let east = Standby { tls: Some(tls), ..standby("east", Some("10.1.0.1:443"), 100) };
    let trusting = |file: &str| {
        let files = BTreeMap::from([("east-ca".to_owned(), file.into())]);
        config(&wanted(&json!({})).and_standbys(vec![east.clone()], files))
    };
    let before = trusting("/run/plimsoll/authorities-1.pem");
    let proof = "ssl verify required ca-file /run/plimsoll/authorities-1.pem sni str(east.example) verifyhost east.example \
                 check-sni east.example";
    let proven: Vec<&str> = before.text.lines().filter(|line| line.contains(proof)).collect();
    let words = |line: &&str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let of: Vec<String> = proven.iter().map(words).collect();
    assert_eq!(of, ["server _instead_east", "default-server pool-purge-delay"], "{}", before.text);
    assert_ne!(trusting("/run/plimsoll/authorities-2.pem").structure, before.structure, "it needs a reload");
    let unproven = config(&wanted(&json!({})).and_standbys(vec![east.clone()], BTreeMap::new()));
    assert!(unproven.text.contains("server _standby_east 127.0.0.1:1 disabled"), "{}", unproven.text);
    for bad in ["a b", "a)", "a\n", ""] {
        let tls = StandbyTls { hostname: bad.to_owned(), ca_secret_name: "east-ca".to_owned() };
        let files = BTreeMap::from([("east-ca".to_owned(), "/run/a.pem".into())]);
        let wanted = wanted(&json!({})).and_standbys(vec![Standby { tls: Some(tls), ..east.clone() }], files);
        assert!(matches!(Config::of(&wanted, &paths()), Err(ConfigError::Name { .. })), "{bad:?}");
    }
}

#[test]
fn the_structure_is_everything_but_the_servers() {
    let mut wanted = wanted(&json!({"limits": {"connectionsPerReplica": 64}}));
    let before = config(&wanted);
    assert_eq!(structure_of(&before.text), Some(before.structure.as_str()));
    wanted.generation = 8;
    wanted.balancers = 5;
    wanted.traffic.limits.connections_per_replica = Some(63);
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    let after = config(&wanted);
    assert_eq!(after.structure, before.structure);
    assert_ne!(after.text, before.text);
    wanted.gate = Some("127.0.0.1:9103".parse().unwrap());
    assert_ne!(config(&wanted).structure, before.structure);
    assert_eq!(structure_of("global\n    maxconn 1\n"), None);
}

#[test]
fn ipv4_and_ipv6_have_separate_sockets() {
    let paths = Paths { listen: "::".parse().unwrap(), ..paths() };
    let text = Config::of(&wanted(&json!({})), &paths).unwrap().text;
    for port in [10_080, 9101] {
        let sockets = format!("    bind 0.0.0.0:{port}\n    bind [::]:{port} v6only\n");
        assert!(text.contains(&sockets), "{text}");
    }
}

#[test]
fn invalid_text_is_refused_with_its_field() {
    let mut twice = wanted(&json!({}));
    twice.listeners.push(Listen { port: 10_080, certificate: None });
    assert_eq!(Config::of(&twice, &paths()), Err(ConfigError::SamePort(10_080)));
    let rule = |value: &str| {
        wanted(&json!({"priorities": [
            {"match": {"header": {"name": "x", "value": value}}, "criticality": "Critical"},
        ]}))
    };
    let error = Config::of(&rule("a\n    server evil 6.6.6.6:80"), &paths()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "traffic.priorities[0].match.header.value is \"a\\n    server evil 6.6.6.6:80\", which can't be written into a \
         configuration: only printable ASCII of at most 512 bytes can"
    );
    let mut pod = wanted(&json!({}));
    pod.servers.insert("a b".to_owned(), server("10.0.0.1:8080", Ready));
    assert!(matches!(Config::of(&pod, &paths()), Err(ConfigError::Name { .. })));
}

#[test]
fn the_shares_of_a_limit_are_never_less_than_the_limit() {
    for (limit, balancers, share) in [(64, 2, 32), (65, 2, 33), (1, 20, 1), (100, 3, 34)] {
        let mut wanted = wanted(&json!({"limits": {"connectionsPerReplica": limit}}));
        wanted.balancers = balancers;
        assert_eq!(wanted.connections_per_server(), Some(share));
    }
    assert_eq!(wanted(&json!({})).connections_per_server(), None);
}
