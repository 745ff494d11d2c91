//! The demo on an existing cluster: everything in one namespace, beside other workloads.

use super::place::{Generator, Place};
use crate::{
    cluster::{Archive, Client, Image, Programs, prometheus_for},
    prelude::*,
    stage::{Built, Profile},
};

/// Namespace of the whole demo, except the CRDs and the ClusterRole of its Prometheus.
const NAMESPACE: &str = "plimsoll-demo";
const CRD: &str = "scalableservices.plimsoll.dev";
/// Waiting reasons of a container whose image is missing.
const NO_IMAGE: [&str; 4] = ["ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"];

#[derive(Debug, Clone)]
pub struct Target {
    pub context: String,
    pub kubeconfig: Option<PathBuf>,
    /// Registry with the images, such as `localhost:5000/plimsoll`. Without it, they must be on the nodes.
    pub registry: Option<String>,
}

struct Images {
    archives: [Archive; 3],
    registry: Option<String>,
}

impl Place {
    /// Installs Prometheus and Plimsoll on a cluster, for this namespace alone.
    pub fn context(target: &Target) -> Result<Self> {
        let client = Client::of_context(&target.context, target.kubeconfig.as_deref())?;
        refuse_other_release(&client, &target.context)?;
        let built = Built::make(Profile::Image)?;
        let prometheus = Programs::ensure_one("prometheus")?;
        let images = Images {
            archives: [
                Image::of_program(&built.plimsoll).build(&built.plimsoll_image)?,
                Image::of_program(&built.shop).build(&built.shop_image)?,
                Image::of_program(&prometheus).build("plimsoll.local/prometheus:3.16.0")?,
            ],
            registry: target.registry.clone(),
        };
        println!("{}", images.needed(&target.context));
        let folder = built.plugin.parent().unwrap_or(&built.plugin).display().to_string();
        let kubectl = format!("kubectl --context {}", target.context);
        let helm = format!("helm --kube-context {}", target.context);
        let kubeconfig = target.kubeconfig.iter();
        let kubeconfig = kubeconfig.map(|path| format!("export KUBECONFIG={}", path.display()));
        let place = Self {
            namespace: NAMESPACE,
            image: images.name(1),
            pull_policy: images.pull_policy(),
            generator: Generator::Pod,
            exports: kubeconfig.chain([format!("export PATH={folder}:$PATH")]).collect(),
            removal: vec![
                format!("{helm} -n {NAMESPACE} uninstall plimsoll"),
                format!("{kubectl} delete namespace/{NAMESPACE} crd/{CRD} crd/capacitybudgets.plimsoll.dev"),
                format!("{kubectl} delete clusterrole,clusterrolebinding {NAMESPACE}:prometheus"),
            ],
            kubectl,
            client,
        };
        place.install(&images, &built)?;
        Ok(place)
    }

    fn install(&self, images: &Images, built: &Built) -> Result<()> {
        let policy = self.pull_policy;
        self.client.apply(&prometheus_for(NAMESPACE, &images.name(2), policy))?;
        // Objects of an earlier demo.
        self.kubectl("delete pod/load deployment/checkout --ignore-not-found")?;
        // Also pods that waited for an image: they would still report it as missing after it was loaded.
        self.kubectl("delete pods --field-selector=status.phase=Pending --ignore-not-found")?;
        let name = images.name(0);
        let (repository, tag) = name.rsplit_once(':').context("an image without a tag")?;
        let chart = built.workspace.join("charts/plimsoll").display().to_string();
        let mut arguments = vec!["upgrade", "--install", "plimsoll", &chart, "--namespace", NAMESPACE];
        let settings = [
            format!("image.repository={repository}"),
            format!("image.pullPolicy={policy}"),
            format!("watchNamespaces[0]={NAMESPACE}"),
            format!("sources[0].name=default,sources[0].url=http://prometheus.{NAMESPACE}:9090"),
            "sources[0].staleAfter=15s".to_owned(),
        ];
        // A tag of digits only would be taken for a number.
        let tag = format!("image.tag={tag}");
        arguments.extend(["--set-string", &tag]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        self.client.helm(&arguments)?;
        self.wait_for_pods(images)
    }

    /// Waits until all pods are ready; fails immediately if an image is missing.
    fn wait_for_pods(&self, images: &Images) -> Result<()> {
        // The controllers have created the pods by then.
        sleep(Duration::from_secs(2));
        let mut missing = None;
        wait_for("Prometheus and Plimsoll", Duration::from_secs(120), || {
            let pods = self.client.list(NAMESPACE, "pods")?;
            missing = pods.iter().find_map(without_image);
            Ok(missing.is_some() || pods.len() >= 3 && pods.iter().all(|pod| pod.is("Ready")))
        })?;
        match missing {
            Some(image) => bail!("the nodes do not have the image {image}; {}", images.how()),
            None => Ok(()),
        }
    }
}

/// The demo installs its own Plimsoll; it must not change another release or run beside it.
fn refuse_other_release(client: &Client, context: &str) -> Result<()> {
    let release = r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-namespace}";
    let found = client.kubectl(&["get", "crd", CRD, "--ignore-not-found", "--output=name"])?;
    if found.is_empty() {
        return Ok(());
    }
    match client.kubectl(&["get", "crd", CRD, "--output", release])?.as_str() {
        NAMESPACE => Ok(()),
        other => bail!(
            "context {context:?} already has Plimsoll's CRD (release namespace {other:?}); the demo installs its own release: \
             use another cluster, or uninstall that release and delete the CRD"
        ),
    }
}

/// The missing image for which a container of the pod waits.
fn without_image(pod: &Value) -> Option<String> {
    let waits = |container: &&Value| NO_IMAGE.contains(&container.text("/state/waiting/reason"));
    Some(pod.list("/status/containerStatuses").iter().find(waits)?.text("/image").to_owned())
}

impl Images {
    fn name(&self, index: usize) -> String {
        let name = self.archives.get(index).map(|archive| archive.name.clone()).unwrap_or_default();
        match &self.registry {
            Some(registry) => name.replacen("plimsoll.local", registry.trim_end_matches('/'), 1),
            None => name,
        }
    }

    /// Without a registry the images are never pulled, so that a missing one is reported immediately.
    fn pull_policy(&self) -> &'static str {
        if self.registry.is_some() { "IfNotPresent" } else { "Never" }
    }

    /// The images that the cluster needs, with the commands that load them.
    fn needed(&self, context: &str) -> String {
        let mut text =
            format!("The cluster needs these images, for nodes of architecture {}.", std::env::consts::ARCH);
        for (index, archive) in self.archives.iter().enumerate() {
            let (name, path) = (self.name(index), archive.path.display());
            let command = match (&self.registry, context.split_once('-')) {
                (Some(_), _) => format!("skopeo copy oci-archive:{path} docker://{name}"),
                (None, Some(("kind", cluster))) => format!("kind load image-archive {path} --name {cluster}"),
                (None, Some(("k3d", cluster))) => format!("k3d image import {path} --cluster {cluster}"),
                (None, _) => format!("ctr --namespace k8s.io images import {path}    # on each node"),
            };
            text += &format!("\n  {name}\n    {command}");
        }
        text
    }

    fn how(&self) -> &'static str {
        match self.registry {
            Some(_) => "push it with the command above, or check --registry",
            None => "load it with the command above, or push it to a registry and set --registry",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(registry: Option<&str>) -> Images {
        let archive = |name: &str| Archive {
            name: format!("plimsoll.local/{name}:1"),
            path: format!("/cache/{name}.tar").into(),
            digest: String::new(),
        };
        Images {
            archives: ["plimsoll", "shop", "prometheus"].map(archive),
            registry: registry.map(str::to_owned),
        }
    }

    #[test]
    fn each_kind_of_cluster_has_its_load_command() {
        let text = images(None).needed("kind-dev");
        assert!(text.contains("kind load image-archive /cache/shop.tar --name dev"), "{text}");
        let text = images(None).needed("k3d-a-b");
        assert!(text.contains("k3d image import /cache/shop.tar --cluster a-b"), "{text}");
        let text = images(None).needed("admin@prod");
        assert!(text.contains("ctr --namespace k8s.io images import /cache/shop.tar"), "{text}");
        let text = images(Some("localhost:5000/x/")).needed("kind-dev");
        assert!(text.contains("oci-archive:/cache/shop.tar docker://localhost:5000/x/shop:1"), "{text}");
    }

    #[test]
    fn the_missing_image_of_a_waiting_pod_is_found() {
        let waits = |reason: &str| {
            serde_json::json!({"status": {"containerStatuses": [
                {"image": "plimsoll.local/shop:1", "state": {"waiting": {"reason": reason}}}
            ]}})
        };
        assert_eq!(without_image(&waits("ErrImageNeverPull")).as_deref(), Some("plimsoll.local/shop:1"));
        assert_eq!(without_image(&waits("ContainerCreating")), None);
    }
}
