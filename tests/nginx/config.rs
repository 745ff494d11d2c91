//! NGINX's own check accepts every configuration that the CRD allows; hostile names are refused before it.

use std::{fs, path::PathBuf, process::Command};

use plimsoll::balancer::{ConfigError, Listen, Server, ServerState, Standby, Wanted, nginx::Config};
use plimsoll_api::{Percent, StandbyTls, Traffic};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, wanted},
    support::{forwarded, traffic},
};

fn seconds(from: u64, to: u64) -> impl Strategy<Value = String> {
    (from..=to).prop_map(|seconds| format!("{seconds}s"))
}

fn specs() -> impl Strategy<Value = Traffic> {
    let algorithm = prop::sample::select(vec!["RoundRobin", "LeastConnections", "RandomOfTwo", "SourceHash"]);
    let both = ["ConnectFailure", "EmptyResponse"];
    let on = prop::sample::select(vec![
        Value::Null,
        json!(both),
        json!(["Http503"]),
        json!([both[0], both[1], "Http503"]),
    ]);
    let passive = prop::option::of(1..1000);
    let front = forwarded::fields();
    (algorithm, on, passive, 0..=10, seconds(0, 3600), seconds(1, 3600), front).prop_map(
        |(algorithm, on, passive, attempts, drain, answer, front)| {
            let mut spec = json!({
                "provider": "NGINX", "algorithm": algorithm, "drain": {"timeout": drain},
                "retries": {"attempts": attempts}, "timeouts": {"backendRequest": answer},
            });
            spec.as_object_mut().unwrap().extend(front.as_object().unwrap().clone());
            if !on.is_null() {
                spec["retries"]["retryOn"] = on;
            }
            if let Some(errors) = passive {
                spec["healthCheck"] = json!({"passive": {"consecutiveErrors": errors}});
            }
            traffic(spec)
        },
    )
}

fn with_servers(wanted: &mut Wanted, count: usize) {
    for number in 0..count {
        let address = match number % 3 {
            0 => format!("10.0.{}.{}:80", number / 200, number % 200 + 1),
            1 => format!("[2001:db8::{number:x}]:8080"),
            _ => format!("10.1.{}.{}:8080", number / 200, number % 200 + 1),
        };
        let state = if number % 5 == 4 { ServerState::Drain } else { ServerState::Ready };
        wanted.servers.insert(
            format!("checkout-7d9c6b-{number}.x"),
            Server { address: address.parse().unwrap(), state },
        );
    }
}

/// Result and output of `nginx -t`.
fn check(proxy: &Proxy, config: &Config) -> (bool, String) {
    let file = proxy.folder.join("fuzz.conf");
    fs::write(&file, &config.text).unwrap();
    let checked = Command::new("nginx").args(["-t", "-e", "stderr", "-c"]).arg(&file).output().unwrap();
    (checked.status.success(), String::from_utf8_lossy(&checked.stderr).into_owned())
}

#[test]
fn nginx_accepts_every_configuration_that_the_crd_allows() {
    let proxy = Proxy::new();
    let mut runner = TestRunner::deterministic();
    for round in 0..60 {
        let traffic = specs().new_tree(&mut runner).unwrap().current();
        let mut wanted = Wanted { traffic, ..wanted(&json!({})) };
        with_servers(&mut wanted, [0, 1, 5, 40][round % 4]);
        for (number, weight) in [0, 35, 65, 100].into_iter().take(round % 5).enumerate() {
            let addresses = [[10, 1, 0, 1], [10, 1, 0, 2]].map(|address| (address, 80).into());
            wanted.standbys.push(Standby {
                name: format!("standby-{number}"),
                addresses: addresses.into_iter().take(round % 3).collect(),
                weight: Percent::clamped(weight),
                replicas: 0,
                tls: None,
            });
        }
        let config = Config::of(&wanted, &proxy.paths, "").unwrap();
        let (taken, output) = check(&proxy, &config);
        assert!(taken, "{output}\n{}", config.text);
        assert!(!output.contains("[warn]"), "{output}\n{}", config.text);
    }
    let mut large = wanted(&json!({}));
    with_servers(&mut large, 1000);
    let (taken, output) = check(&proxy, &Config::of(&large, &proxy.paths, "").unwrap());
    assert!(taken, "{output}");
}

/// Names are from the API server, which has its own rules; this is the last defense if it ever accepts others.
#[test]
fn a_hostile_name_is_refused_or_used_literally() {
    let proxy = Proxy::new();
    let mut runner = TestRunner::deterministic();
    let hostile = prop::sample::select(vec![
        "a;}",
        "a b",
        "a\nserver 1.2.3.4;",
        "a#",
        "$host",
        "\"a",
        "'a",
        "a\\",
        "{a",
        "ä",
        "",
        "a`b",
    ]);
    let texts = prop_oneof![hostile.prop_map(str::to_owned), "[ -~]{0,20}", "[a-z0-9.-]{1,20}", "\\PC{0,8}"];
    let (mut refused, mut taken) = (0, 0);
    for round in 0..240 {
        let text = texts.new_tree(&mut runner).unwrap().current();
        let mut wanted = wanted(&json!({}));
        with_servers(&mut wanted, 1);
        let addresses = vec!["10.0.0.1:80".parse().unwrap()];
        let mut standby = Standby {
            name: "east".to_owned(),
            addresses,
            weight: Percent::clamped(10),
            ..Standby::default()
        };
        let folder = PathBuf::from("/nowhere");
        match round % 6 {
            0 => wanted.service.0.clone_from(&text),
            1 => wanted.service.1.clone_from(&text),
            2 => {
                let server = wanted.servers.pop_first().unwrap().1;
                wanted.servers.insert(text.clone(), server);
            }
            3 => standby.name.clone_from(&text),
            // The file does not exist, which is the only allowed error of NGINX.
            4 => {
                let certificate = Some(folder.join(format!("{text}.pem")));
                wanted.listeners.push(Listen { port: 10_443, certificate });
            }
            _ => {
                let tls = StandbyTls { hostname: text.clone(), ca_secret_name: "east-ca".to_owned() };
                standby.tls = Some(tls);
                wanted.authorities.insert("east-ca".to_owned(), folder.join(format!("{text}.pem")));
            }
        }
        wanted.standbys.push(standby);
        match Config::of(&wanted, &proxy.paths, "") {
            Ok(config) => {
                taken += 1;
                let (good, output) = check(&proxy, &config);
                let certificate = format!("cannot load certificate \"/nowhere/{text}.pem\"");
                let authorities = format!("SSL_CTX_load_verify_locations(\"/nowhere/{text}.pem\") failed");
                let missing = match round % 6 {
                    4 => output.contains(&certificate),
                    // NGINX 1.30 loads both with the same code.
                    5 => output.contains(&certificate) || output.contains(&authorities),
                    _ => false,
                };
                assert!(good || missing, "{text:?}: {output}\n{}", config.text);
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, ConfigError::Name { .. }), "{text:?}: {error}");
            }
        }
    }
    assert!(refused > 50 && taken > 20, "{refused} refused, {taken} accepted");
}
