//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler: how each is started and when it is ready.

use super::{
    network::{API_SERVER_ADDRESS, API_SERVER_PORT, POD_RANGE, SERVICE_RANGE},
    pki,
    programs::Programs,
    state::State,
};
use crate::{
    metrics::fetch,
    prelude::*,
    process::{Daemon, run},
};

/// Non-default ports, so that another etcd can run on the machine.
const ETCD: &str = "127.0.0.1:12379";
const ETCD_PEERS: &str = "127.0.0.1:12380";
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// The store. Nothing is synced to disk: a crash of the machine loses the cluster, which is fine for tests.
pub fn etcd(state: &State, programs: &Programs) -> Result<Daemon> {
    let args = vec![
        "--name=plimsoll-dev".to_owned(),
        format!("--data-dir={}", state.text("etcd")),
        format!("--listen-client-urls=http://{ETCD}"),
        format!("--advertise-client-urls=http://{ETCD}"),
        format!("--listen-peer-urls=http://{ETCD_PEERS}"),
        format!("--initial-advertise-peer-urls=http://{ETCD_PEERS}"),
        format!("--initial-cluster=plimsoll-dev=http://{ETCD_PEERS}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    daemon(state, programs, "etcd", args)
}

/// The API server, with authentication by token and the aggregation layer.
pub fn api_server(state: &State, programs: &Programs) -> Result<Daemon> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", state.text(&format!("pki/{name}")));
    let mut args = vec![
        format!("--etcd-servers=http://{ETCD}"),
        format!("--bind-address={API_SERVER_ADDRESS}"),
        format!("--advertise-address={API_SERVER_ADDRESS}"),
        format!("--secure-port={API_SERVER_PORT}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
    ];
    args.extend(
        [
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            // Requests to extension API servers go to the Service: kube-proxy runs on this host.
            "--enable-aggregator-routing=false",
        ]
        .map(String::from),
    );
    args.extend([
        file("token-auth-file", "tokens.csv"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        file("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        file("kubelet-client-key", "apiserver-kubelet-client.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
    ]);
    daemon(state, programs, "kube-apiserver", args)
}

/// The controllers. The HorizontalPodAutoscaler's period stays at its default of 15 s, since we compare with it.
pub fn controller_manager(state: &State, programs: &Programs) -> Result<Daemon> {
    let name = "kube-controller-manager";
    let pki = |name: &str| state.text(&format!("pki/{name}"));
    let mut args = client_args(state, name);
    args.extend([
        format!("--cluster-cidr={POD_RANGE}"),
        // The CNI configuration of each node fixes its pods' range.
        "--allocate-node-cidrs=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        // A dead node is detected within 20 s instead of 50 s; the kubelets renew their leases every 5 s.
        "--node-monitor-grace-period=20s".to_owned(),
        // The default is a system folder, which the program would create.
        format!("--flex-volume-plugin-dir={}", state.text("volume-plugins")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("sa.key")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
    ]);
    daemon(state, programs, name, args)
}

pub fn scheduler(state: &State, programs: &Programs) -> Result<Daemon> {
    daemon(state, programs, "kube-scheduler", client_args(state, "kube-scheduler"))
}

pub fn wait_for_etcd(etcd: &Daemon) -> Result<()> {
    etcd.wait_until("answer of etcd", READY_DEADLINE, || {
        Ok(fetch(&format!("http://{ETCD}/health"))?.contains("\"health\":\"true\""))
    })
}

pub fn wait_for_api_server(server: &Daemon, state: &State, programs: &Programs) -> Result<()> {
    let kubectl = programs.path("kubectl")?;
    let kubeconfig = format!("--kubeconfig={}", state.kubeconfig().display());
    server.wait_until("readiness of kube-apiserver", READY_DEADLINE, || {
        Ok(run(&kubectl, &[&kubeconfig, "get", "--raw", "/readyz"])? == "ok")
    })
}

fn client_args(state: &State, name: &str) -> Vec<String> {
    let kubeconfig = pki::kubeconfig(state, name);
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--bind-address={API_SERVER_ADDRESS}"),
        // Each program runs once: an election would only delay the start.
        "--leader-elect=false".to_owned(),
    ]
}

fn daemon(state: &State, programs: &Programs, name: &str, args: Vec<String>) -> Result<Daemon> {
    Ok(Daemon {
        name: name.to_owned(),
        program: programs.path(name)?,
        args,
        netns: None,
        log: state.log(name),
        pid_file: state.pid_file(name),
    })
}
