//! The plugin's client against literal responses of an API server over real HTTP.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::{
    Router,
    http::{StatusCode, Uri},
};
use clap::Parser;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{args::Args, args::Output, connect::Cluster, failure::Failure, output::Form};
use crate::cli::style::Style;

fn service(name: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalableService",
        "metadata": {"name": name, "namespace": "shop", "managedFields": [{"manager": "kubectl"}]},
        "spec": {"mode": mode, "scaleTargetRef": {"kind": "Deployment", "name": name}, "maxReplicas": 60},
    })
}

fn refusal(code: u16, reason: &str, name: &str) -> (StatusCode, String) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "reason": reason,
        "details": {"name": name, "group": "plimsoll.dev", "kind": "scalableservices"}, "code": code,
    });
    (StatusCode::from_u16(code).unwrap(), status.to_string())
}

/// Each namespace stands for a cluster in a different state.
async fn answer(uri: Uri) -> (StatusCode, String) {
    let second = uri.query().is_some_and(|query| query.contains("continue=next"));
    let list = |items: Value, next: &str| {
        let list = json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalableServiceList",
                          "metadata": {"resourceVersion": "7", "continue": next}, "items": items});
        (StatusCode::OK, list.to_string())
    };
    let path = uri.path().trim_start_matches("/apis/plimsoll.dev/v1alpha1/namespaces/");
    match path {
        "shop/scalableservices" if second => {
            list(json!([service("basket", "Auto"), service("odd", "Turbo")]), "")
        }
        "shop/scalableservices" => list(json!([service("checkout", "Auto")]), "next"),
        "shop/scalableservices/checkout" => (StatusCode::OK, service("checkout", "Auto").to_string()),
        "shop/scalableservices/nope" => refusal(404, "NotFound", "nope"),
        "locked/scalableservices" => refusal(403, "Forbidden", ""),
        "strange/scalableservices" => (StatusCode::OK, "<html>".to_owned()),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    }
}

/// Serves the responses above. Returns the address.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    address
}

/// A [`Cluster`] of the server above, connected by the plugin's arguments.
async fn cluster(namespace: &str) -> Cluster {
    connect(&format!("http://{}", serve().await), namespace).await
}

async fn connect(server: &str, namespace: &str) -> Cluster {
    connect_by(json!({"server": server}), namespace).await.unwrap()
}

/// Connects with this entry of `clusters` in the kubeconfig.
async fn connect_by(cluster: Value, namespace: &str) -> Result<Cluster, Failure> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
    });
    // Concurrent tests must not share a file.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("plimsoll-{}-{number}.kubeconfig", std::process::id()));
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let args = Args::parse_from(["kubectl-plimsoll", "status", "--kubeconfig", file.to_str().unwrap()]);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = Cluster::connect(&args, false).await;
    std::fs::remove_file(&file).unwrap();
    cluster
}

/// A proxy that leads each CONNECT to `server`, whatever its target. Returns its address and the requests.
async fn proxy_to(server: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            sender.send(String::from_utf8(head).unwrap()).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (address, requests)
}

#[tokio::test]
async fn paged_list_is_complete_and_an_unreadable_object_hides_no_other() {
    let objects = cluster("shop").await.list().await.unwrap();
    let table =
        Form { output: Output::Table, single: false }.render(&objects, Timestamp::now(), &Style::default());
    let table = table.unwrap();
    let names: Vec<&str> = table.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["NAME", "basket", "checkout", "odd"], "{table}");
    assert!(table.contains("✖ unreadable"), "{table}");
}

#[tokio::test]
async fn yaml_and_json_are_equal_and_omit_managed_fields() {
    let objects = [cluster("shop").await.get("checkout").await.unwrap()];
    let render = |output| {
        let form = Form { output, single: true };
        form.render(&objects, Timestamp::now(), &Style::default()).unwrap()
    };
    let json: Value = serde_json::from_str(&render(Output::Json)).unwrap();
    let yaml: Value = serde_saphyr::from_str(&render(Output::Yaml)).unwrap();
    let mut wanted = service("checkout", "Auto");
    wanted["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!((&json, &yaml), (&wanted, &wanted));
}

#[tokio::test]
async fn each_refusal_has_its_own_failure() {
    let nope = cluster("shop").await.get("nope").await.unwrap_err();
    assert!(matches!(&nope, Failure::NotFound { name, .. } if name == "nope"), "{nope}");
    let locked = cluster("locked").await.list().await.unwrap_err();
    assert!(matches!(locked, Failure::Forbidden { verb: "list", .. }), "{locked}");
    let absent = cluster("absent").await;
    for failure in [absent.list().await.unwrap_err(), absent.get("checkout").await.unwrap_err()] {
        assert!(matches!(failure, Failure::NotInstalled { .. }), "{failure}");
    }
    let strange = cluster("strange").await.list().await.unwrap_err();
    assert!(matches!(strange, Failure::Refused { .. }), "{strange}");
    let message = strange.to_string();
    assert!(message.contains("is not a Kubernetes object") && !message.contains("column"), "{message}");
}

#[tokio::test]
async fn kubeconfig_proxy_connects_to_the_cluster() {
    let (proxy, mut requests) = proxy_to(serve().await).await;
    let cluster =
        json!({"server": "http://cluster.invalid:6443", "proxy-url": format!("http://me:secret@{proxy}")});
    let objects = connect_by(cluster, "shop").await.unwrap().list().await.unwrap();
    assert_eq!(objects.len(), 3);
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("CONNECT cluster.invalid:6443 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("proxy-authorization: basic "), "{request}");
}

#[tokio::test]
async fn proxy_failure_names_the_proxy_and_not_the_kubeconfig() {
    let server = "https://cluster.invalid:6443";
    let unknown =
        connect_by(json!({"server": server, "proxy-url": "ftp://proxy:21"}), "shop").await.err().unwrap();
    let expected =
        "proxy-url of the kubeconfig is \"ftp://proxy:21\"; it must be an http, https or socks5 URL";
    assert_eq!(unknown.to_string(), expected);
    // Bound and dropped: a port without a listener.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = json!({"server": server, "proxy-url": format!("http://me:secret@{free}")});
    let failure = connect_by(silent, "shop").await.unwrap().list().await.unwrap_err().to_string();
    let place = format!("can't reach the cluster at {server} (through the proxy http://{free}): ");
    assert!(failure.starts_with(&place) && !failure.contains("secret"), "{failure}");
}

#[tokio::test]
async fn unreachable_cluster_is_named() {
    // Bound and dropped: a port without a listener.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = connect(&format!("http://{free}"), "gone").await.list().await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Unreachable { url, .. } if url.contains(&free.to_string())),
        "{failure}"
    );
    assert!(failure.to_string().contains("refused"), "{failure}");
}
