//! metrics-server: what the cluster's own HorizontalPodAutoscaler reads the CPU of pods from.

use super::system::{uninstall, wait_for_api};
use crate::{
    cluster::{Image, METRICS_SERVER},
    prelude::*,
    stage::Stage,
};

const IMAGE: &str = "plimsoll.local/metrics-server:0.9.0";
const METRICS_API: &str = "v1beta1.metrics.k8s.io";
const MANIFEST: &str = include_str!("../../programs/metrics-server/metrics-server.yaml");

/// Builds it unless the cache has it: two minutes on two idle cores.
pub fn build() -> Result<PathBuf> {
    Ok(METRICS_SERVER.ensure()?.join("metrics-server"))
}

/// metrics-server in the cluster; it goes when this value is dropped.
pub struct MetricsServer<'a> {
    stage: &'a Stage,
}

impl<'a> MetricsServer<'a> {
    pub fn install(stage: &'a Stage, program: &Path) -> Result<Self> {
        let cluster = &stage.cluster;
        cluster.load_image(IMAGE, &Image::of_program(program))?;
        let installed = Self { stage };
        cluster.apply(MANIFEST)?;
        wait_for_api(stage, METRICS_API)?;
        Ok(installed)
    }
}

impl Drop for MetricsServer<'_> {
    fn drop(&mut self) {
        // The API first: one that nobody serves hinders the removal of every namespace.
        let what = [
            &format!("apiservice {METRICS_API}"),
            "namespace metrics-server",
            "rolebinding plimsoll-bench:metrics-server",
            "clusterrolebinding plimsoll-bench:metrics-server plimsoll-bench:metrics-server-delegator",
            "clusterrole plimsoll-bench:metrics-server",
        ];
        uninstall(self.stage, "metrics-server", &what);
    }
}
