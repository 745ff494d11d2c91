//! Add-ons of every cluster: CoreDNS, and a Prometheus that scrapes annotated pods.

use super::{Cluster, image::Image, node::PAUSE_IMAGE, state::cache_folder};
use crate::{prelude::*, process::run};

const COREDNS: &str = include_str!("../../manifests/coredns.yaml");
const PROMETHEUS: &str = include_str!("../../manifests/prometheus.yaml");
const PAUSE_SOURCE: &str = include_str!("../../programs/pause/pause.c");
const COREDNS_IMAGE: &str = "plimsoll.local/coredns:1";
const PROMETHEUS_IMAGE: &str = "plimsoll.local/prometheus:1";

pub fn load_images(cluster: &Cluster) -> Result<()> {
    cluster.load_image(PAUSE_IMAGE, &Image::of_program(&pause_program()?))?;
    cluster.load_image(COREDNS_IMAGE, &Image::of_program(&cluster.program("coredns")?))?;
    cluster.load_image(PROMETHEUS_IMAGE, &Image::of_program(&cluster.program("prometheus")?))
}

pub fn apply(cluster: &Cluster, scrape_interval: Duration) -> Result<()> {
    cluster.apply(&manifests(scrape_interval)).map(drop)
}

pub fn wait(cluster: &Cluster) -> Result<()> {
    for (namespace, name) in [("kube-system", "coredns"), ("monitoring", "prometheus")] {
        let name = format!("deployment/{name}");
        cluster.kubectl(&["rollout", "status", "--namespace", namespace, &name, "--timeout=90s"])?;
    }
    Ok(())
}

fn manifests(scrape_interval: Duration) -> String {
    let interval = format!("{}ms", scrape_interval.as_millis());
    format!("{COREDNS}---\n{PROMETHEUS}").replace("SCRAPE_INTERVAL", &interval)
}

/// The Prometheus manifest for another cluster: the same, but in this namespace, with RBAC objects of its name, and on any
/// node.
pub fn prometheus_for(namespace: &str, image: &str, pull_policy: &str) -> String {
    let here = ["topology.kubernetes.io/zone", "priorityClassName"];
    let lines = PROMETHEUS.lines().filter(|line| !here.iter().any(|word| line.contains(word)));
    let manifest = lines.collect::<Vec<_>>().join("\n");
    manifest
        .replace("SCRAPE_INTERVAL", "1s")
        .replace("namespace: monitoring", &format!("namespace: {namespace}"))
        .replace("name: monitoring", &format!("name: {namespace}"))
        .replace("plimsoll-dev:prometheus", &format!("{namespace}:prometheus"))
        .replace(PROMETHEUS_IMAGE, image)
        .replace("imagePullPolicy: Never", &format!("imagePullPolicy: {pull_policy}"))
}

fn pause_program() -> Result<PathBuf> {
    let folder = cache_folder("programs/pause")?;
    let (source, program, unfinished) =
        (folder.join("pause.c"), folder.join("pause"), folder.join("unfinished"));
    if !program.is_file() || fs::read_to_string(&source).ok().as_deref() != Some(PAUSE_SOURCE) {
        fs::write(&source, PAUSE_SOURCE)?;
        let arguments = ["-Os", "-static", "-s", "-o"].map(PathBuf::from);
        run("cc", &[&arguments[..], &[unfinished.clone(), source]].concat())
            .context("cannot compile the pause program")?;
        fs::rename(unfinished, &program)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_clusters_prometheus_has_nothing_of_this_machine() {
        let text = prometheus_for("shop-demo", "registry.test/prometheus:1", "IfNotPresent");
        for word in ["monitoring", "plimsoll", "Never", "zone-a", "priorityClass", "SCRAPE_INTERVAL"] {
            let found =
                text.lines().find(|line| line.contains(word) && !line.contains("plimsoll.dev/scrape"));
            assert_eq!(found, None, "{word}");
        }
        assert!(text.contains("namespace: shop-demo") && text.contains("registry.test/prometheus:1"));
    }

    #[test]
    fn the_interval_reaches_the_configuration_and_nothing_is_left_to_fill_in() {
        let text = manifests(Duration::from_millis(2500));
        assert!(text.contains("scrape_interval: 2500ms"));
        assert!(!text.contains("SCRAPE_INTERVAL"));
        assert!(text.contains(COREDNS_IMAGE) && text.contains(PROMETHEUS_IMAGE));
    }
}
