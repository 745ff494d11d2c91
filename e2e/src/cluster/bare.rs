//! An API server and its etcd on loopback, for tests that need real schemas and watches, but no nodes.

use super::{pki::create_service_account_key, programs::Programs};
use crate::{prelude::*, process::finish};
use std::net::TcpListener;

const READY_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct BareApiServer {
    folder: PathBuf,
    kubectl: PathBuf,
    children: Vec<Child>,
}

impl BareApiServer {
    pub fn start(folder: &Path) -> Result<Self> {
        let program = Programs::ensure_one;
        let [etcd, peers, api] = free_ports()?;
        let file = |name: &str| folder.join(name).display().to_string();
        create_service_account_key(folder)?;
        fs::write(file("tokens.csv"), "admin,admin,admin,system:masters\n")?;
        fs::write(file("kubeconfig"), kubeconfig(api))?;
        let mut server =
            Self { folder: folder.to_owned(), kubectl: program("kubectl")?, children: Vec::new() };
        server.spawn(
            "etcd",
            &program("etcd")?,
            &[
                format!("--data-dir={}", file("etcd")),
                format!("--listen-client-urls=http://127.0.0.1:{etcd}"),
                format!("--advertise-client-urls=http://127.0.0.1:{etcd}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
                "--unsafe-no-fsync".to_owned(),
            ],
        )?;
        server.spawn(
            "kube-apiserver",
            &program("kube-apiserver")?,
            &[
                format!("--etcd-servers=http://127.0.0.1:{etcd}"),
                format!("--secure-port={api}"),
                "--bind-address=127.0.0.1".to_owned(),
                // No client uses this address, and a loopback address is refused.
                "--advertise-address=192.0.2.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                format!("--cert-dir={}", file("certificates")),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", file("sa.pub")),
                format!("--service-account-signing-key-file={}", file("sa.key")),
                format!("--token-auth-file={}", file("tokens.csv")),
                "--authorization-mode=RBAC".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        )?;
        wait_for("readiness of kube-apiserver", READY_DEADLINE, || {
            server.all_run()?;
            Ok(server.kubectl(&["get", "--raw", "/readyz"], "").is_ok_and(|text| text == "ok"))
        })?;
        Ok(server)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.kubectl);
        command.arg(format!("--kubeconfig={}", self.kubeconfig().display())).args(arguments);
        finish(command, input)
    }

    fn spawn(&mut self, name: &str, program: &Path, arguments: &[String]) -> Result<()> {
        let log = fs::File::create(self.folder.join(format!("{name}.log")))?.into_file();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.children.push(command.spawn().with_context(|| format!("cannot start {name}"))?);
        Ok(())
    }

    fn all_run(&mut self) -> Result<()> {
        for child in &mut self.children {
            let status = child.try_wait()?;
            ensure!(
                status.is_none(),
                "a program ended ({status:?}); see its log in {}",
                self.folder.display()
            );
        }
        Ok(())
    }
}

impl Drop for BareApiServer {
    fn drop(&mut self) {
        // The API server first: without etcd it would only log errors.
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are bound at the same time, so that they differ.
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn kubeconfig(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bare\n\
         clusters: [{{name: bare, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: admin, user: {{token: admin}}}}]\n\
         contexts: [{{name: bare, context: {{cluster: bare, user: admin}}}}]\n"
    )
}
