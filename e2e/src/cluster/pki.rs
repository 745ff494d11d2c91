//! Who may talk to whom: certificates by openssl, tokens, and the kubeconfigs that hold them.

use super::network::{API_SERVER_ADDRESS, API_SERVER_PORT, NODE_COUNT, node_name};
use super::state::State;
use crate::process::{run, write_private};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Read;

/// Name of the cluster, the administrator and the context in the kubeconfigs.
const CLUSTER_NAME: &str = "plimsoll-dev";

/// First address of the Service range: the API server as pods see it.
const KUBERNETES_SERVICE_ADDRESS: &str = "10.96.0.1";

/// Days that certificates are good for: longer than any cluster of this kind lives.
const VALID_DAYS: &str = "365";

/// Makes every certificate, key, token and kubeconfig.
///
/// # Errors
/// openssl fails, or a file cannot be written.
pub fn create(state: &State) -> Result<()> {
    // No section for extensions, so that a certificate has exactly those of its command line.
    write_private(&state.path("pki/openssl.cnf"), "[req]\ndistinguished_name=subject\n[subject]\n")?;
    let authority = Authority::create(state, "ca")?;
    let names = format!(
        "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
         DNS:kubernetes.default.svc.cluster.local,IP:{KUBERNETES_SERVICE_ADDRESS},IP:{API_SERVER_ADDRESS}"
    );
    authority.sign("apiserver", "/CN=kube-apiserver", &["extendedKeyUsage=serverAuth", &names])?;
    let client = "extendedKeyUsage=clientAuth";
    authority.sign("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver", &[client])?;
    // The aggregator trusts whom this authority signs to name any user, so it must be one of its own.
    Authority::create(state, "front-proxy-ca")?.sign(
        "front-proxy-client",
        "/CN=front-proxy-client",
        &[client],
    )?;
    let (key, public) = (state.text("pki/sa.key"), state.text("pki/sa.pub"));
    run("openssl", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key])?;
    run("openssl", &["pkey", "-in", &key, "-pubout", "-out", &public])?;
    create_kubeconfigs(state)
}

/// The kubeconfig of one of the cluster's own programs.
#[must_use]
pub fn kubeconfig(state: &State, name: &str) -> String {
    state.text(&format!("kubeconfigs/{name}"))
}

struct Authority<'a> {
    state: &'a State,
    name: &'static str,
}

impl<'a> Authority<'a> {
    fn create(state: &'a State, name: &'static str) -> Result<Self> {
        let authority = Self { state, name };
        let usage =
            ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"];
        authority.certificate(name, &format!("/CN=plimsoll-dev-{name}"), &usage, &[])?;
        Ok(authority)
    }

    fn sign(&self, name: &str, subject: &str, extensions: &[&str]) -> Result<()> {
        let (certificate, key) = (self.file(self.name, "crt"), self.file(self.name, "key"));
        self.certificate(name, subject, extensions, &["-CA", &certificate, "-CAkey", &key])
    }

    fn certificate(&self, name: &str, subject: &str, extensions: &[&str], signer: &[&str]) -> Result<()> {
        let (certificate, key) = (self.file(name, "crt"), self.file(name, "key"));
        let config = self.file("openssl", "cnf");
        let mut args = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        args.extend([
            "-config",
            &config,
            "-days",
            VALID_DAYS,
            "-subj",
            subject,
            "-out",
            &certificate,
            "-keyout",
            &key,
        ]);
        args.extend(signer);
        args.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
        run("openssl", &args).map(drop)
    }

    fn file(&self, name: &str, kind: &str) -> String {
        self.state.text(&format!("pki/{name}.{kind}"))
    }
}

/// One who has a token: the file's name, the user's name, and the group, if any.
type Identity = (String, String, &'static str);

fn identities() -> Vec<Identity> {
    let mut all = vec![(String::from("admin"), CLUSTER_NAME.to_owned(), "system:masters")];
    for program in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        all.push((program.to_owned(), format!("system:{program}"), ""));
    }
    for node in (1..=NODE_COUNT).map(node_name) {
        all.push((node.clone(), format!("system:node:{node}"), "system:nodes"));
    }
    all
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
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
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
