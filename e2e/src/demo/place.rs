//! A cluster with Plimsoll and Prometheus, and how the load reaches its shop.

use crate::{
    cluster::{Client, Image, Options},
    prelude::*,
    stage::{Install, Load, Profile, Shop, Stage},
};

/// The name of the shop's image in `examples/`.
const EXAMPLES_IMAGE: &str = "plimsoll.local/shop:dev";

pub struct Place {
    pub client: Client,
    pub namespace: &'static str,
    pub image: String,
    pub pull_policy: &'static str,
    pub generator: Generator,
    /// Commands that set up a shell for the next ones.
    pub exports: Vec<String>,
    /// The kubectl command that the user types.
    pub kubectl: String,
    pub removal: Vec<String>,
}

pub enum Generator {
    /// A program on this machine, which reaches Services by kube-proxy's rules.
    Program(PathBuf),
    /// A pod in the shop's namespace; its log is its output.
    Pod,
}

impl Place {
    pub fn machine(nodes: u8) -> Result<Self> {
        let stage =
            Stage::set(&Options { nodes, ..Options::default() }, &Install::default(), Profile::Image)?;
        stage.fresh_namespace("shop")?;
        stage.cluster.load_image(EXAMPLES_IMAGE, &Image::of_program(&stage.built.shop))?;
        let folder = stage.built.plugin.parent().unwrap_or(&stage.built.plugin);
        let exports = [
            format!("export KUBECONFIG={}", stage.cluster.kubeconfig().display()),
            format!("export PATH={}:$PATH", folder.display()),
        ];
        Ok(Self {
            client: stage.cluster.client().clone(),
            namespace: "shop",
            image: stage.built.shop_image,
            pull_policy: "Never",
            generator: Generator::Program(stage.built.shop),
            exports: exports.to_vec(),
            kubectl: "kubectl".to_owned(),
            removal: vec!["cargo xtask cluster down".to_owned()],
        })
    }

    pub fn deploy(&self, shop: &Shop<'_>) -> Result<()> {
        let manifest = shop.manifest(&self.image);
        let policy = format!("imagePullPolicy: {}", self.pull_policy);
        self.client.apply(&manifest.replace("imagePullPolicy: Never", &policy))?;
        self.client.rolled_out(self.namespace, shop.name, Duration::from_secs(90))
    }

    pub fn load(&self, shop: &str, shape: &str, flags: &[&str]) -> Result<Load> {
        match &self.generator {
            Generator::Program(program) => {
                let service = self.client.get(self.namespace, "service", shop)?;
                let target = format!("--target=http://{}:8080", service.text("/spec/clusterIP"));
                let mut command = Command::new(program);
                command.args(["load", &target, "--shape", shape]).args(flags);
                Load::of(command)
            }
            Generator::Pod => {
                let target = format!("--target=http://{shop}:8080");
                let arguments = [&["load", &target, "--shape", shape], flags].concat();
                self.client.apply(&self.load_pod(&serde_json::to_string(&arguments)?))?;
                self.kubectl("wait --for=condition=Ready pod/load --timeout=60s")?;
                let arguments = ["--namespace", self.namespace, "logs", "--follow", "pod/load"];
                Load::of(self.client.kubectl_command(&arguments))
            }
        }
    }

    pub fn kubectl(&self, words: &str) -> Result<String> {
        self.client.kubectl_in(self.namespace, words)
    }

    fn load_pod(&self, arguments: &str) -> String {
        let Self { namespace, image, pull_policy, .. } = self;
        format!(
            r"
apiVersion: v1
kind: Pod
metadata: {{name: load, namespace: {namespace}, labels: {{app: load}}}}
spec:
  restartPolicy: Never
  containers:
  - {{name: load, image: '{image}', imagePullPolicy: {pull_policy}, args: {arguments}}}
"
        )
    }
}
