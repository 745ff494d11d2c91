//! Credentials: certificates, tokens, and the kubeconfigs that hold them.

use super::{
    network::{API_SERVER_ADDRESS, API_SERVER_PORT, NODE_COUNT, node_name},
    state::State,
};
use crate::{
    authority::{Authority, Signed},
    prelude::*,
    process::write_private,
};
use rcgen::KeyPair;
use std::{fs::File, io::Read};

/// Name of the cluster, the administrator and the context in the kubeconfigs.
const CLUSTER_NAME: &str = "plimsoll-dev";

/// The API server's names in its certificate; the first address is the first of the Service range, as pods see it.
const API_SERVER_NAMES: [&str; 6] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "10.96.0.1",
    API_SERVER_ADDRESS,
];

pub fn create(state: &State) -> Result<()> {
    let write = |name: &str, Signed { certificate, key }: &Signed| {
        write_private(&state.path(&format!("pki/{name}.crt")), certificate)?;
        write_private(&state.path(&format!("pki/{name}.key")), key)
    };
    let authority = Authority::new("plimsoll-dev-ca")?;
    write("ca", &authority.own())?;
    write("apiserver", &authority.server(&API_SERVER_NAMES)?)?;
    write("apiserver-kubelet-client", &authority.client("kube-apiserver", "system:masters")?)?;
    // A client with a certificate of this authority may impersonate any user, so it must be a separate authority.
    let front_proxy = Authority::new("plimsoll-dev-front-proxy-ca")?;
    write("front-proxy-ca", &front_proxy.own())?;
    write("front-proxy-client", &front_proxy.client("front-proxy-client", CLUSTER_NAME)?)?;
    create_service_account_key(&state.path("pki"))?;
    create_kubeconfigs(state)
}

/// Writes `sa.key` and `sa.pub`, with which an API server signs and verifies tokens of service accounts.
pub fn create_service_account_key(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    write_private(&folder.join("sa.key"), &key.serialize_pem())?;
    write_private(&folder.join("sa.pub"), &key.public_key_pem())
}

pub fn kubeconfig(state: &State, name: &str) -> String {
    state.text(&format!("kubeconfigs/{name}"))
}

/// Holders of a token: file name, user name, and group, if any.
fn identities() -> Vec<(String, String, &'static str)> {
    let programs = ["kube-controller-manager", "kube-scheduler", "kube-proxy"].into_iter();
    let nodes = (1..=NODE_COUNT).map(node_name);
    std::iter::once((String::from("admin"), CLUSTER_NAME.to_owned(), "system:masters"))
        .chain(programs.map(|program| (program.to_owned(), format!("system:{program}"), "")))
        .chain(nodes.map(|node| (node.clone(), format!("system:node:{node}"), "system:nodes")))
        .collect()
}

fn create_kubeconfigs(state: &State) -> Result<()> {
    let mut tokens = String::new();
    for (file, user, group) in identities() {
        let token = random_token()?;
        tokens.push_str(&format!("{token},{user},{user},{group}\n"));
        let content = render_kubeconfig(&state.text("pki/ca.crt"), &token);
        write_private(&state.path("kubeconfigs").join(&file), &content)?;
        if file == "admin" {
            write_private(&state.kubeconfig(), &content)?;
        }
    }
    write_private(&state.path("pki/tokens.csv"), &tokens)
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 24];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn render_kubeconfig(authority: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {CLUSTER_NAME}\n\
         clusters:\n- name: {CLUSTER_NAME}\n  cluster:\n    server: https://{API_SERVER_ADDRESS}:{API_SERVER_PORT}\n    \
         certificate-authority: {authority}\n\
         users:\n- name: {CLUSTER_NAME}\n  user:\n    token: {token}\n\
         contexts:\n- name: {CLUSTER_NAME}\n  context:\n    cluster: {CLUSTER_NAME}\n    user: {CLUSTER_NAME}\n"
    )
}
