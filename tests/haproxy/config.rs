//! HAProxy's own check accepts every configuration that the CRD allows.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use plimsoll::balancer::{ConfigError, Listen, Server, ServerState, Standby, Wanted, haproxy::Config};
use plimsoll_api::{Algorithm, Percent, RetryOn, StandbyTls, Traffic};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::support::{Balancer, forwarded, traffic, wanted};

const PATH: &str = "/[A-Za-z0-9._~!$&()*+,;=:@%/-]{0,60}";

fn seconds(from: u64, to: u64) -> impl Strategy<Value = String> {
    (from..=to).prop_map(|seconds| format!("{seconds}s"))
}

fn checks() -> impl Strategy<Value = Value> {
    let passive = prop::option::of((1..1000).prop_map(|errors| json!({"consecutiveErrors": errors})));
    (prop::option::of(PATH), 100..60_000u32, 1..=10, 1..=10, passive).prop_map(
        |(path, interval, rise, fall, passive)| {
            let mut check = json!({"interval": format!("{interval}ms"), "rise": rise, "fall": fall});
            let fields = check.as_object_mut().unwrap();
            path.map(|path| fields.insert("path".to_owned(), json!(path)));
            passive.map(|passive| fields.insert("passive".to_owned(), passive));
            check
        },
    )
}

fn priority() -> impl Strategy<Value = Value> {
    let criticality = prop::sample::select(vec!["CriticalPlus", "Critical", "SheddablePlus", "Sheddable"]);
    (PATH, "[A-Za-z0-9-]{1,64}", "[ -~]{1,256}", any::<bool>(), criticality).prop_map(
        |(path, name, value, both, criticality)| {
            let header = json!({"name": name, "value": value});
            let request =
                if both { json!({"pathPrefix": path, "header": header}) } else { json!({"header": header}) };
            json!({"match": request, "criticality": criticality})
        },
    )
}

fn specs() -> impl Strategy<Value = Traffic> {
    let algorithm = prop::sample::select(vec!["RoundRobin", "LeastConnections", "RandomOfTwo", "SourceHash"]);
    let on = prop::sample::subsequence(vec!["ConnectFailure", "EmptyResponse", "Http503"], 1..=3);
    let cookie = prop::option::of("[A-Za-z0-9_-]{1,64}");
    let priorities = prop::collection::vec(priority(), 0..16);
    (
        (algorithm, prop::option::of(checks()), cookie, priorities),
        (seconds(0, 600), seconds(0, 3600), seconds(1, 600), seconds(1, 3600)),
        (0..=10, on, prop::option::of(1..100_000), forwarded::fields()),
    )
        .prop_map(|((algorithm, check, cookie, priorities), (slow, drain, queue, answer), (attempts, on, most, front))| {
            let mut spec = json!({
                "algorithm": algorithm, "priorities": priorities, "slowStart": slow, "drain": {"timeout": drain},
                "retries": {"attempts": attempts, "retryOn": on}, "timeouts": {"backendRequest": answer},
                "limits": {"queueTimeout": queue},
            });
            let fields = spec.as_object_mut().unwrap();
            fields.extend(front.as_object().unwrap().clone());
            check.map(|check| fields.insert("healthCheck".to_owned(), check));
            cookie.map(|cookie| fields.insert("sessionPersistence".to_owned(), json!({"cookie": cookie})));
            if let Some(most) = most {
                fields["limits"]["connectionsPerReplica"] = json!(most);
            }
            traffic(spec)
        })
}

#[test]
fn haproxy_accepts_every_configuration_that_the_crd_allows() {
    let balancer = Balancer::new();
    let mut runner = TestRunner::deterministic();
    for round in 0..60 {
        let traffic = specs().new_tree(&mut runner).unwrap().current();
        let mut wanted = Wanted { traffic, ..wanted(json!({})) };
        if round % 2 == 0 {
            wanted.gate = Some(SocketAddr::from(([127, 0, 0, 1], 9)));
        }
        for (number, address) in ["10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.2:8080"].into_iter().enumerate()
        {
            let state = if number == 2 { ServerState::Drain } else { ServerState::Ready };
            let server = Server { address: address.parse().unwrap(), state };
            wanted.servers.insert(format!("checkout-7d9c6b-{number}.x"), server);
        }
        for number in 0..round % 4 {
            let addresses = (0..number).map(|last| SocketAddr::from(([10, 1, number, last], 80))).collect();
            let name = format!("standby-{number}");
            wanted.standbys.push(Standby {
                name,
                addresses,
                weight: Percent::clamped(i64::from(10 + 45 * number)),
                replicas: 2,
                tls: None,
            });
        }
        let config = Config::of(&wanted, balancer.driver.paths()).unwrap();
        std::fs::write(&balancer.driver.paths().shares, &config.shares).unwrap();
        let file = balancer.folder.join("fuzz.cfg");
        std::fs::write(&file, &config.text).unwrap();
        let checked = Command::new("haproxy").arg("-c").arg("-f").arg(&file).output().unwrap();
        let stderr = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{stderr}\n{}", config.text);
        assert!(!stderr.contains("[WARNING]"), "{stderr}\n{}", config.text);
    }
}

/// Names are from the API server, which has its own rules; this is the last defense if it ever accepts others.
#[test]
fn a_hostile_name_is_refused_or_used_literally() {
    let balancer = Balancer::new();
    let mut runner = TestRunner::deterministic();
    let hostile = prop::sample::select(vec![
        "a b",
        "a\nserver x 1.2.3.4:80",
        "a#",
        "$host",
        "\"a",
        "'a",
        "a\\",
        "a\\ b",
        "{a}",
        "%[env(HOME)]",
        "ä",
        "",
        "a`b",
        "metrics",
        "listeners",
        "_gate",
        "a:b",
    ]);
    let texts = prop_oneof![hostile.prop_map(str::to_owned), "[ -~]{0,20}", "[a-z0-9.-]{1,20}", "\\PC{0,8}"];
    let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let (mut refused, mut taken) = (0, 0);
    for round in 0..280 {
        let text = texts.new_tree(&mut runner).unwrap().current();
        let mut wanted = wanted(json!({"sessionPersistence": {"cookie": "SID"}}));
        wanted.servers.insert("checkout-0".to_owned(), Server { address, state: ServerState::Ready });
        let mut standby = Standby { name: "east".to_owned(), addresses: vec![address], ..Standby::default() };
        let folder = PathBuf::from("/nowhere");
        match round % 7 {
            0 => wanted.service.0.clone_from(&text),
            1 => wanted.service.1.clone_from(&text),
            2 => {
                let server = wanted.servers.pop_first().unwrap().1;
                wanted.servers.insert(text.clone(), server);
            }
            3 => standby.name.clone_from(&text),
            4 => wanted.traffic.session_persistence.as_mut().unwrap().cookie.clone_from(&text),
            // The file does not exist, which is the only allowed error of HAProxy.
            5 => {
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
        match Config::of(&wanted, balancer.driver.paths()) {
            Ok(config) => {
                taken += 1;
                std::fs::write(&balancer.driver.paths().shares, &config.shares).unwrap();
                let file = balancer.folder.join("hostile.cfg");
                std::fs::write(&file, &config.text).unwrap();
                let checked = Command::new("haproxy").arg("-c").arg("-f").arg(&file).output().unwrap();
                let stderr = String::from_utf8_lossy(&checked.stderr);
                let missing = round % 7 >= 5 && stderr.contains(&format!("/nowhere/{text}.pem"));
                assert!(checked.status.success() || missing, "{text:?}: {stderr}\n{}", config.text);
            }
            Err(error) => {
                refused += 1;
                let expected = matches!(error, ConfigError::Name { .. } | ConfigError::Text { .. });
                assert!(expected, "{text:?}: {error}");
            }
        }
    }
    assert!(refused > 100 && taken > 60, "{refused} refused, {taken} accepted");
}

/// The default of each field, so that the strategy above cannot silently omit one.
#[test]
fn defaults_are_those_of_the_crd() {
    let traffic = traffic(json!({}));
    assert_eq!(traffic.algorithm, Algorithm::LeastConnections);
    assert_eq!(traffic.retry_on(), [RetryOn::ConnectFailure]);
    assert_eq!(Duration::from(traffic.limits.queue_timeout), Duration::from_secs(30));
}
