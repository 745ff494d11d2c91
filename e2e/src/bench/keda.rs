//! KEDA as the peer: its operator and its metrics adapter, built here, with the arguments of its own manifests.

use super::system::{uninstall, wait_for_api};
use crate::{
    cluster::{Image, KEDA},
    prelude::*,
    process::finish,
    stage::Stage,
};

const NAMESPACE: &str = "keda";
const MODULE: &str = "github.com/kedacore/keda/v2@v2.21.0";
const OPERATOR_IMAGE: &str = "plimsoll.local/keda-operator:2.21.0";
const ADAPTER_IMAGE: &str = "plimsoll.local/keda-adapter:2.21.0";
const METRICS_API: &str = "v1beta1.external.metrics.k8s.io";
const MANIFEST: &str = include_str!("../../programs/keda/keda.yaml");

pub struct Programs {
    bin: PathBuf,
    crds: PathBuf,
}

/// Builds KEDA unless the cache has it: eight minutes on two idle cores.
pub fn build() -> Result<Programs> {
    let bin = KEDA.ensure()?;
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", MODULE]);
    let module: Value = serde_json::from_str(&finish(download, "")?)?;
    let folder =
        module.get("Dir").and_then(Value::as_str).context("go does not say where KEDA's module is")?;
    Ok(Programs { bin, crds: Path::new(folder).join("config/crd/bases") })
}

/// KEDA in the cluster; it goes when this value is dropped.
pub struct Keda<'a> {
    stage: &'a Stage,
    crds: String,
}

impl<'a> Keda<'a> {
    pub fn install(stage: &'a Stage, programs: &Programs) -> Result<Self> {
        let cluster = &stage.cluster;
        cluster.load_image(OPERATOR_IMAGE, &Image::of_program(&programs.bin.join("keda-operator")))?;
        cluster.load_image(ADAPTER_IMAGE, &Image::of_program(&programs.bin.join("keda-adapter")))?;
        let crds = format!("--filename={}", programs.crds.display());
        let keda = Self { stage, crds };
        cluster.kubectl(&["apply", "--server-side", "--force-conflicts", &keda.crds])?;
        cluster.apply(MANIFEST)?;
        // The operator makes the certificates first; the kubelet shows them to it within two minutes.
        for name in ["keda-operator", "keda-metrics-apiserver"] {
            cluster.rolled_out(NAMESPACE, name, Duration::from_secs(240))?;
        }
        wait_for_api(stage, METRICS_API)?;
        Ok(keda)
    }
}

impl Drop for Keda<'_> {
    fn drop(&mut self) {
        // KEDA takes its finalizers off while it still runs; without it their namespaces would never go. Then the API
        // that nobody serves any more: it would hinder the removal of every namespace.
        let what = [
            "scaledobjects --all --all-namespaces --timeout=60s",
            &format!("apiservice {METRICS_API}"),
            &format!("namespace {NAMESPACE}"),
            "clusterrolebinding plimsoll-bench:keda plimsoll-bench:keda-metrics",
            "clusterrole plimsoll-bench:keda-metrics",
            &self.crds,
        ];
        uninstall(self.stage, "KEDA", &what);
    }
}
