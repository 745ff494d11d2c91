//! Checks of the chart: lint, the exact RBAC rules and configuration, images, refused values, and a dry run on the API
//! server.

use anyhow::{Context, Result, bail};
use plimsoll_e2e::{
    cluster::{Cluster, Programs},
    process::run,
};
use std::{fs, path::PathBuf};

use crate::series;

const CHART: &str = "charts/plimsoll";
/// `global.imageRegistry` of traffic.values.yaml.
const REGISTRY: &str = "registry.example.com/mirror";
/// The helm that is built here has no default version of Kubernetes.
const KUBE_VERSION: &str = "--kube-version=1.35.0";

/// Runs every check and returns how many passed; the first failure is an error.
pub fn check(cluster: &Cluster) -> Result<usize> {
    let helm = Programs::ensure()?.path("helm")?;
    let helm = |arguments: &[&str]| run(&helm, arguments);
    let tests = PathBuf::from(CHART).join("tests");
    let values = |name: &str| format!("--values={}", tests.join(name).display());
    let mut passed = 0;
    for values in [&[][..], &[values("full.values.yaml")], &[values("namespaced.values.yaml")]] {
        let mut arguments = vec!["lint", "--strict", KUBE_VERSION, CHART];
        arguments.extend(values.iter().map(String::as_str));
        helm(&arguments)?;
        passed += 1;
    }
    for (expected, template, values) in [
        ("cluster-rbac.yaml", "rbac", vec![]),
        ("traffic-rbac.yaml", "rbac", vec![values("traffic.values.yaml")]),
        ("namespaced-rbac.yaml", "rbac", vec![values("namespaced.values.yaml")]),
        ("full-config.yaml", "configmap", vec![values("full.values.yaml")]),
        ("traffic-config.yaml", "configmap", vec![values("traffic.values.yaml")]),
    ] {
        let path = tests.join(expected);
        let wanted = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if render(&helm, template, &values)?.trim() != wanted.trim() {
            let review = "update it to have the change of RBAC or configuration reviewed";
            bail!("{} differs from what the chart renders; {review}", path.display());
        }
        passed += 1;
    }
    for template in ["deployment", "release-hook"] {
        let rendered = render(&helm, template, &[values("traffic.values.yaml")])?;
        check_image(&rendered).with_context(|| format!("templates/{template}.yaml"))?;
        passed += 1;
    }
    let defaults = fs::read_to_string(PathBuf::from(CHART).join("values.yaml"))?;
    series::check_default_images(&defaults)?;
    passed += 1;
    for entry in fs::read_dir(tests.join("refused"))? {
        refused(&helm, &entry?.path())?;
        passed += 1;
    }
    let traffic = values("traffic.values.yaml");
    let rendered =
        helm(&["template", "plimsoll", CHART, "--namespace=plimsoll-system", KUBE_VERSION, &traffic])?;
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: plimsoll-system}}")?;
    cluster
        .kubectl_with_input(&["apply", "--dry-run=server", "--validate=strict", "--filename=-"], &rendered)?;
    Ok(passed + 1)
}

/// Renders one template of the chart with these values.
fn render(helm: &impl Fn(&[&str]) -> Result<String>, template: &str, values: &[String]) -> Result<String> {
    let template = format!("--show-only=templates/{template}.yaml");
    let mut arguments = vec!["template", "plimsoll", CHART, "--namespace=plimsoll-system", KUBE_VERSION];
    arguments.push(&template);
    arguments.extend(values.iter().map(String::as_str));
    helm(&arguments)
}

/// The only image in a manifest must be the operator's, from [`REGISTRY`].
fn check_image(manifest: &str) -> Result<()> {
    let images =
        manifest.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("image: "));
    let images: Vec<&str> = images.map(|image| image.trim_matches('"')).collect();
    let expected = format!("{REGISTRY}/plimsoll-dev/plimsoll:{}", env!("CARGO_PKG_VERSION"));
    if images != [&expected] {
        bail!("its images are {images:?}; the only one must be {expected}");
    }
    Ok(())
}

/// The chart must refuse the values with the sentence in the file's first line.
fn refused(helm: &impl Fn(&[&str]) -> Result<String>, path: &std::path::Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let sentence =
        text.lines().next().and_then(|line| line.strip_prefix("# ")).context("no expected sentence")?;
    let values = format!("--values={}", path.display());
    match helm(&["template", "plimsoll", CHART, KUBE_VERSION, &values]) {
        Ok(_) => bail!("{} is not refused", path.display()),
        Err(error) if format!("{error:#}").contains(sentence) => Ok(()),
        Err(error) => bail!("{} is refused, but not with {sentence:?}: {error:#}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_registry_is_refused() {
        let manifest = |image: &str| {
            format!(
                "      containers:\n      - name: a\n        image: \"{image}\"\n        imagePullPolicy: Always\n"
            )
        };
        let version = env!("CARGO_PKG_VERSION");
        assert!(check_image(&manifest(&format!("{REGISTRY}/plimsoll-dev/plimsoll:{version}"))).is_ok());
        for other in [manifest(&format!("plimsoll-dev/plimsoll:{version}")), String::new()] {
            assert!(check_image(&other).is_err(), "{other}");
        }
    }
}
