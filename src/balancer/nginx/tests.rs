//! The rendered nginx.conf.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};

use super::{
    Config, Paths,
    config::{pods_of, ports_of, structure_of},
};
use crate::balancer::{
    ConfigError, Listen,
    ServerState::{Drain, Ready},
    Standby, Wanted,
    sample::{self, server},
};
use plimsoll_api::{Percent, StandbyTls};

fn paths() -> Paths {
    Paths::in_folder(Path::new("/run/plimsoll"))
}

fn wanted(more: &Value) -> Wanted {
    sample::wanted("NGINX", more)
}

fn config(wanted: &Wanted) -> Config {
    Config::of(wanted, &paths(), "").unwrap()
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
        "algorithm": "SourceHash",
        "listeners": [{"port": 80}, {"port": 443, "tls": {"secretName": "checkout-tls"}}],
        "healthCheck": {"passive": {"consecutiveErrors": 5}},
        "drain": {"timeout": "5m"},
        "retries": {"attempts": 3, "retryOn": ["ConnectFailure", "EmptyResponse", "Http503"]},
        "timeouts": {"backendRequest": "10m"},
    }));
    let certificate = Some("/run/plimsoll/checkout-tls.pem".into());
    wanted.listeners.push(Listen { port: 10_443, certificate });
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    wanted.servers.insert("checkout-1".to_owned(), server("[2001:db8::1]:8080", Ready));
    wanted.servers.insert("checkout-2".to_owned(), server("10.0.0.3:8080", Drain));
    let config = config(&wanted);
    assert_eq!(pods_of(&config.text), wanted.ready_pods());
    assert_eq!(ports_of(&config.text), BTreeSet::from([10_080, 10_443]));
    insta::assert_snapshot!(config.text);
}

#[test]
fn only_a_change_that_needs_a_reload_changes_the_structure() {
    let mut wanted = wanted(&json!({}));
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    wanted.servers.insert("checkout-1".to_owned(), server("10.0.0.2:8080", Drain));
    let before = config(&wanted);
    assert_eq!(structure_of(&before.text), Some(before.structure.as_str()));
    wanted.generation = 8;
    wanted.balancers = 5;
    // A draining replica may disappear at any time.
    wanted.servers.remove("checkout-1");
    let same = config(&wanted);
    assert_eq!(same.structure, before.structure);
    assert_ne!(same.text, before.text);
    assert_ne!(Config::of(&wanted, &paths(), "another certificate").unwrap().structure, before.structure);
    wanted.servers.insert("checkout-1".to_owned(), server("10.0.0.2:8080", Ready));
    assert_ne!(config(&wanted).structure, before.structure);
    assert_eq!(structure_of("daemon off;\npid x;\n"), None);
}

#[test]
fn without_replicas_requests_get_503_and_ipv6_is_listened_on() {
    let mut wanted = wanted(&json!({}));
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Drain));
    let paths = Paths { listen: "::".parse().unwrap(), ..paths() };
    let text = Config::of(&wanted, &paths, "").unwrap().text;
    assert!(
        text.contains("return 503;") && !text.contains("upstream checkout") && !text.contains("proxy_pass"),
        "{text}"
    );
    let sockets = "        listen 0.0.0.0:10080;\n        listen [::]:10080 ipv6only=on;\n";
    assert!(text.contains(sockets), "{text}");
    assert_eq!((ports_of(&text), pods_of(&text)), (BTreeSet::from([10_080]), BTreeSet::new()));
}

fn standby(name: &str, address: &str, weight: u8) -> Standby {
    Standby {
        name: name.to_owned(),
        addresses: address.parse().ok().into_iter().collect(),
        weight: Percent::clamped(weight.into()),
        replicas: 0,
        tls: None,
    }
}

#[test]
fn standbys_get_their_shares_and_are_left_out_without_one() {
    let mut wanted = wanted(&json!({}));
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    let before = config(&wanted);
    wanted.standbys = vec![standby("east", "10.1.0.1:80", 0), standby("west", "unknown", 50)];
    assert_eq!(config(&wanted).structure, before.structure);
    let part = |text: &str| {
        let from = text.find("    upstream checkout_").unwrap();
        text[from..text.find("\n    server {").unwrap()].to_owned()
    };
    wanted.standbys[0].weight = Percent::clamped(30);
    let split = config(&wanted);
    assert_eq!(pods_of(&split.text), wanted.ready_pods(), "a standby is no pod");
    insta::assert_snapshot!(part(&split.text), @r"
    upstream checkout_east {
        server 10.1.0.1:80 max_fails=0;
    }

    # Percentage of requests that each standby gets, at random.
    split_clients $request_id $drawn {
        30% checkout_east;
        * checkout;
    }
    # A request that another balancer sent to a standby is not sent to a standby again.
    map $http_plimsoll_server $backend {
        ~^_ checkout;
        default $drawn;
    }
    map $backend $server_name_to_standby {
        checkout_east _standby_east;
        default '';
    }
    proxy_set_header Plimsoll-Server $server_name_to_standby;
    ");
    assert_eq!(split.text.matches("proxy_pass http://$backend;").count(), 3, "{}", split.text);
    wanted.standbys = vec![standby("east", "10.1.0.1:80", 40), standby("west", "[2001:db8::1]:80", 60)];
    wanted.servers.clear();
    let all = config(&wanted);
    assert!(all.text.contains("        40% checkout_east;\n        * checkout_west;\n"), "{}", all.text);
    assert!(all.text.contains("        ~^_ _loop;\n"), "{}", all.text);
    assert!(all.text.contains("if ($backend = _loop) { return 508; }"), "{}", all.text);
    assert!(!all.text.contains("return 503"), "{}", all.text);
    wanted.standbys[1].weight = Percent::clamped(50);
    let rest = config(&wanted).text;
    assert!(
        rest.contains("        * none;\n") && rest.contains("if ($backend = none) { return 503; }"),
        "{rest}"
    );
    wanted.standbys[0].name = "a b".to_owned();
    assert!(matches!(Config::of(&wanted, &paths(), ""), Err(ConfigError::Name { .. })));
}

#[test]
fn the_certificate_is_verified_only_for_a_standby_over_tls() {
    let mut wanted = wanted(&json!({}));
    wanted.servers.insert("checkout-0".to_owned(), server("10.0.0.1:8080", Ready));
    let tls = StandbyTls { hostname: "east.example".to_owned(), ca_secret_name: "east-ca".to_owned() };
    let east = Standby { tls: Some(tls), ..standby("east", "10.1.0.1:443", 30) };
    let files = BTreeMap::from([("east-ca".to_owned(), "/run/plimsoll/authorities-1.pem".into())]);
    let text = config(&wanted.and_standbys(vec![east, standby("west", "10.1.0.2:80", 20)], files)).text;
    let from = text.find("    # Over TLS").unwrap();
    insta::assert_snapshot!(text[from..text.find("\n    server {").unwrap()], @r"
    # Over TLS, and only to a server whose certificate is valid for the standby.
    map $backend $backend_scheme {
        checkout_east https;
        default http;
    }
    map $backend $backend_name {
        checkout_east east.example;
        default '';
    }
    proxy_ssl_verify on;
    proxy_ssl_verify_depth 9;
    proxy_ssl_trusted_certificate /run/plimsoll/authorities-1.pem;
    proxy_ssl_server_name on;
    proxy_ssl_name $backend_name;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    ");
    assert_eq!(text.matches("proxy_pass $backend_scheme://$backend;").count(), 3, "{text}");
}

#[test]
fn retries_follow_attempts_and_retry_on() {
    let text = config(&wanted(&json!({"retries": {"attempts": 0}}))).text;
    assert!(text.contains("proxy_next_upstream off;"), "{text}");
    let text = config(&wanted(&json!({"retries": {"attempts": 2, "retryOn": ["Http503"]}}))).text;
    assert!(text.contains("proxy_next_upstream http_503;\n    proxy_next_upstream_tries 3;"), "{text}");
}

#[test]
fn two_listeners_with_the_same_port_are_refused() {
    for port in [10_080, 9101, 9104] {
        let mut twice = wanted(&json!({}));
        twice.listeners.push(Listen { port, certificate: None });
        assert_eq!(Config::of(&twice, &paths(), ""), Err(ConfigError::SamePort(port)));
    }
}
