//! The proxies of the environment, as the built kubectl plugin reads them.

use std::{fs, net::TcpListener, process::Command};

use serde_json::json;

/// A loopback port without a listener: connections are refused at once.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the plugin says of a cluster that does not answer, with these variables in its environment.
///
/// The address 0.0.0.0 leads to this machine, and unlike the loopback's it is one that is asked through a proxy.
fn said(server: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
    });
    fs::write(&file, kubeconfig.to_string()).unwrap();
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_kubectl-plimsoll"));
    plugin.args(["status", "--kubeconfig"]).arg(&file);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        plugin.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = plugin.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("error: can't reach the cluster at {server}")), "{said}");
    said
}

#[test]
fn the_proxy_of_the_environment_is_named_in_either_case_unless_the_server_is_an_exception() {
    let server = format!("https://0.0.0.0:{}", closed_port());
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    let through = format!(" (through the proxy {proxy}): ");
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let asked = said(&server, &[(name, &proxy)]);
        assert!(asked.contains(&through), "{name}: {asked}");
        for exception in ["NO_PROXY", "no_proxy"] {
            let directly = said(&server, &[(name, &proxy), (exception, "example.com,0.0.0.0")]);
            assert!(!directly.contains("proxy"), "{name} and {exception}: {directly}");
            let other = said(&server, &[(name, &proxy), (exception, "example.com")]);
            assert!(other.contains(&through), "{name} and {exception}: {other}");
        }
    }
    let plain = said(&server, &[("HTTP_PROXY", &proxy)]);
    assert!(!plain.contains("proxy"), "HTTP_PROXY is not for https: {plain}");
}
