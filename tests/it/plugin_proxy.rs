//! Proxy environment variables, as the built kubectl plugin reads them.

use std::{fs, net::TcpListener, process::Command};

use serde_json::json;

/// A loopback port without a listener: connections are refused immediately.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The plugin's error for a cluster that does not answer, with these environment variables.
///
/// The address 0.0.0.0 leads to this machine, and unlike the loopback address it is requested through a proxy.
fn message(server: &str, variables: &[(&str, &str)]) -> String {
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
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with(&format!("error: can't reach the cluster at {server}")), "{message}");
    message
}

#[test]
fn the_error_names_the_proxy_unless_no_proxy_has_the_server() {
    let server = format!("https://0.0.0.0:{}", closed_port());
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    let through = format!(" (through the proxy {proxy}): ");
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let through_proxy = message(&server, &[(name, &proxy)]);
        assert!(through_proxy.contains(&through), "{name}: {through_proxy}");
        for exception in ["NO_PROXY", "no_proxy"] {
            let directly = message(&server, &[(name, &proxy), (exception, "example.com,0.0.0.0")]);
            assert!(!directly.contains("proxy"), "{name} and {exception}: {directly}");
            let other = message(&server, &[(name, &proxy), (exception, "example.com")]);
            assert!(other.contains(&through), "{name} and {exception}: {other}");
        }
    }
    let plain = message(&server, &[("HTTP_PROXY", &proxy)]);
    assert!(!plain.contains("proxy"), "HTTP_PROXY is not for https: {plain}");
}
