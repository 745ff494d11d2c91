//! The peers: KEDA, or metrics-server, from which the cluster's own HorizontalPodAutoscaler reads the CPU of pods. Both are
//! built here.

use super::system::wait_for_api;
use crate::{
    cluster::{Image, KEDA, METRICS_SERVER},
    prelude::*,
    process::finish,
    stage::Stage,
};

const KEDA_MODULE: &str = "github.com/kedacore/keda/v2@v2.21.0";
const KEDA_API: &str = "v1beta1.external.metrics.k8s.io";
const KEDA_MANIFEST: &str = include_str!("../../programs/keda/keda.yaml");
const METRICS_API: &str = "v1beta1.metrics.k8s.io";
const METRICS_MANIFEST: &str = include_str!("../../programs/metrics-server/metrics-server.yaml");

pub enum Peer {
    Keda { bin: PathBuf, crds: PathBuf },
    MetricsServer { bin: PathBuf },
}

impl Peer {
    /// Builds KEDA unless the cache has it: eight minutes on two idle cores.
    pub fn keda() -> Result<Self> {
        let bin = KEDA.ensure()?;
        let mut download = Command::new("go");
        download.args(["mod", "download", "-json", KEDA_MODULE]);
        let module: Value = serde_json::from_str(&finish(download, "")?)?;
        Ok(Self::Keda { bin, crds: Path::new(module.text("/Dir")).join("config/crd/bases") })
    }

    /// Builds metrics-server unless the cache has it: two minutes on two idle cores.
    pub fn metrics_server() -> Result<Self> {
        Ok(Self::MetricsServer { bin: METRICS_SERVER.ensure()? })
    }

    /// Installs the peer, and waits until the API server can query its metrics.
    pub fn install<'a>(&self, stage: &'a Stage) -> Result<Installed<'a>> {
        let cluster = &stage.cluster;
        let load = |image: &str, program: PathBuf| cluster.load_image(image, &Image::of_program(&program));
        match self {
            Self::Keda { bin, crds } => {
                load("plimsoll.local/keda-operator:2.21.0", bin.join("keda-operator"))?;
                load("plimsoll.local/keda-adapter:2.21.0", bin.join("keda-adapter"))?;
                let crds = format!("--filename={}", crds.display());
                // The ScaledObjects first, while KEDA can remove their finalizers: otherwise their namespaces would never be
                // deleted. Then the APIService, which would block the deletion of every namespace once KEDA is gone.
                let removed = [
                    "scaledobjects --all --all-namespaces --timeout=60s".to_owned(),
                    format!("apiservice {KEDA_API}"),
                    "namespace keda".to_owned(),
                    "clusterrolebinding plimsoll-bench:keda plimsoll-bench:keda-metrics".to_owned(),
                    "clusterrole plimsoll-bench:keda-metrics".to_owned(),
                    crds.clone(),
                ];
                let installed = Installed { stage, removed: removed.to_vec() };
                cluster.kubectl(&["apply", "--server-side", "--force-conflicts", &crds])?;
                cluster.apply(KEDA_MANIFEST)?;
                // The operator creates the certificates first; the kubelet mounts them within two minutes.
                for name in ["keda-operator", "keda-metrics-apiserver"] {
                    cluster.rolled_out("keda", name, Duration::from_secs(240))?;
                }
                wait_for_api(stage, KEDA_API)?;
                Ok(installed)
            }
            Self::MetricsServer { bin } => {
                load("plimsoll.local/metrics-server:0.9.0", bin.join("metrics-server"))?;
                let names = "plimsoll-bench:metrics-server";
                let removed = [
                    format!("apiservice {METRICS_API}"),
                    "namespace metrics-server".to_owned(),
                    format!("rolebinding {names}"),
                    format!("clusterrolebinding {names} {names}-delegator"),
                    format!("clusterrole {names}"),
                ];
                let installed = Installed { stage, removed: removed.to_vec() };
                cluster.apply(METRICS_MANIFEST)?;
                wait_for_api(stage, METRICS_API)?;
                Ok(installed)
            }
        }
    }
}

/// An installed peer; it is uninstalled when this value is dropped.
pub struct Installed<'a> {
    stage: &'a Stage,
    removed: Vec<String>,
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        for words in &self.removed {
            let words = format!("delete --ignore-not-found {words}");
            if let Err(error) = self.stage.cluster.kubectl_in("kube-system", &words) {
                eprintln!("failed to uninstall the peer: {error:#}");
            }
        }
    }
}
