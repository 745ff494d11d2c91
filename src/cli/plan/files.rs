//! The files of `plimsoll plan`: ScalableServices and CapacityBudgets, with the Namespaces and workloads beside them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use k8s_openapi::api::{apps::v1::DeploymentStrategy, core::v1::PodSpec};
use thiserror::Error;

use crate::{
    cli::manifest::{self, BUDGET, SERVICE},
    input::{Node, typed},
};
use plimsoll_api::{ScaleTargetRef, ValidBudget, Validated};
use plimsoll_engine::{
    arbiter::Surge,
    capacity::{Requests, Workload, cycle},
};

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Why `plan` can't start.
#[derive(Debug, Error)]
pub enum PlanError {
    /// A file or a directory can't be read.
    #[error("{path}: {error}")]
    File {
        /// The path.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// Objects that the API server would not accept, or that contradict each other: a sentence for each.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

/// The objects of all files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub(super) services: BTreeMap<(String, String), Service>,
    pub(super) budgets: BTreeMap<String, ValidBudget>,
    namespaces: BTreeMap<String, Namespace>,
    /// By namespace, kind and name.
    workloads: BTreeMap<(String, String, String), Workload>,
}

/// A ScalableService.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub valid: Validated,
    pub target: ScaleTargetRef,
}

/// A namespace.
#[derive(Clone, Debug, Default)]
struct Namespace {
    labels: BTreeMap<String, String>,
    /// Without an object in the files, it may have labels that are not known here.
    has_object: bool,
}

impl Files {
    /// Reads a file, or all files of a directory and of those below it that end with `.yaml`, `.yml` or `.json`. Hidden files
    /// and directories are skipped.
    ///
    /// # Errors
    /// A file can't be read, or objects are invalid.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let mut paths = Vec::new();
        list(path, &mut paths)?;
        let mut files = Self::default();
        let mut mistakes = Vec::new();
        for path in paths {
            let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
            let mut of_file = Vec::new();
            files.add(&bytes, &mut of_file);
            mistakes.extend(of_file.into_iter().map(|mistake| format!("{}: {mistake}", path.display())));
        }
        files.check(path, &mut mistakes);
        if mistakes.is_empty() { Ok(files.with_names()) } else { Err(PlanError::Refused(mistakes)) }
    }

    fn add(&mut self, bytes: &[u8], mistakes: &mut Vec<String>) {
        match manifest::objects(bytes) {
            Ok(objects) => objects.iter().for_each(|object| self.add_object(object, mistakes)),
            Err(mistake) => mistakes.push(mistake),
        }
    }

    fn add_object(&mut self, object: &Node, mistakes: &mut Vec<String>) {
        let name = manifest::metadata(object, "name").unwrap_or_default().to_owned();
        let namespace = manifest::metadata(object, "namespace").unwrap_or(DEFAULT_NAMESPACE).to_owned();
        let kind = manifest::kind(object);
        let shown = match kind {
            BUDGET | "Namespace" => format!("{kind} {name}"),
            _ => format!("{kind} {namespace}/{name}"),
        };
        let is_new = match kind {
            SERVICE => {
                manifest::service(object).map_err(|invalid| invalid.to_string()).map(|(spec, valid)| {
                    let service = Service { valid, target: spec.scale_target_ref };
                    self.services.insert((namespace, name), service).is_none()
                })
            }
            BUDGET => manifest::budget(object)
                .map_err(|invalid| invalid.to_string())
                .map(|valid| self.budgets.insert(name, valid).is_none()),
            // The API server would generate a name, which no service can refer to.
            _ if name.is_empty() => Ok(true),
            "Namespace" => labels(object)
                .map(|labels| self.namespaces.insert(name, Namespace { labels, has_object: true }).is_none()),
            kind => workload(object, kind).map(|workload| {
                let key = (namespace, kind.to_owned(), name);
                workload.is_none_or(|workload| self.workloads.insert(key, workload).is_none())
            }),
        };
        match is_new {
            Ok(true) => {}
            Ok(false) => mistakes.push(format!("{shown} is defined twice; it must be defined once")),
            Err(mistake) => mistakes.push(format!("{shown}: {mistake}")),
        }
    }

    /// What single objects can't show.
    fn check(&self, path: &Path, mistakes: &mut Vec<String>) {
        if mistakes.is_empty() && self.services.is_empty() {
            mistakes.push(format!("{}: there is no {SERVICE}; there must be at least one", path.display()));
        }
        let mut namespaces: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        for ((namespace, name), service) in &self.services {
            let depends_on = service.valid.depends_on.iter().map(String::as_str).collect();
            namespaces.entry(namespace).or_default().insert(name, depends_on);
        }
        for (namespace, depends_on) in namespaces {
            if let Some(names) = cycle(&depends_on) {
                let names = names.join(" -> ");
                mistakes.push(format!(
                    "{}: spec.dependsOn in the namespace {namespace} has the cycle {names}; it must have none",
                    path.display()
                ));
            }
        }
    }

    /// Adds the label that the API server gives to each namespace.
    fn with_names(mut self) -> Self {
        for (namespace, _) in self.services.keys() {
            self.namespaces.entry(namespace.clone()).or_default();
        }
        for (name, namespace) in &mut self.namespaces {
            namespace.labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
        }
        self
    }

    pub(super) fn labels(&self, namespace: &str) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.namespaces.get(namespace).map_or(&NONE, |namespace| &namespace.labels)
    }

    /// Whether the files have the namespace's object, and with it all its labels.
    pub(super) fn namespace_known(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace).is_some_and(|namespace| namespace.has_object)
    }

    pub(super) fn workload(&self, namespace: &str, target: &ScaleTargetRef) -> Option<&Workload> {
        self.workloads.get(&(namespace.to_owned(), target.kind.clone(), target.name.clone()))
    }
}

/// The labels of a Namespace.
fn labels(object: &Node) -> Result<BTreeMap<String, String>, String> {
    let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
    labels.map(|labels| typed(labels, "metadata.labels")).transpose().map(Option::unwrap_or_default)
}

/// The pods of a workload: of any object with a pod template.
fn workload(object: &Node, kind: &str) -> Result<Option<Workload>, String> {
    let spec = object.get("spec");
    let Some(pod) = spec.and_then(|spec| spec.get("template")?.get("spec")) else { return Ok(None) };
    let pod: PodSpec = typed(pod, "spec.template.spec")?;
    let strategy = spec.and_then(|spec| spec.get("strategy"));
    let surge = if kind == "Deployment" {
        let strategy = strategy.map(|strategy| typed::<DeploymentStrategy>(strategy, "spec.strategy"));
        Surge::of_deployment(strategy.transpose()?.as_ref())
            .map_err(|mistake| format!("spec.strategy.{mistake}"))?
    } else {
        Surge::None
    };
    let requests = Requests::of_pod(&pod).map_err(|mistake| format!("spec.template.spec.{mistake}"))?;
    Ok(Some(Workload { requests, node_selector: pod.node_selector.unwrap_or_default(), surge }))
}

fn failed(path: &Path, error: io::Error) -> PlanError {
    PlanError::File { path: path.display().to_string(), error }
}

/// The file, or the files of a directory and of those below it, in the order of their paths.
fn list(path: &Path, paths: &mut Vec<PathBuf>) -> Result<(), PlanError> {
    if !fs::metadata(path).map_err(|error| failed(path, error))?.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(|error| failed(path, error))?;
    entries.sort_by_key(fs::DirEntry::path);
    // A mounted ConfigMap has its files a second time, in a hidden directory to which they are links.
    let hidden = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    for entry in entries.into_iter().filter(|entry| !hidden(entry)) {
        let path = entry.path();
        // A link to a directory could lead back here.
        let is_directory = entry.file_type().map_err(|error| failed(&path, error))?.is_dir();
        let extension = path.extension().and_then(OsStr::to_str);
        if is_directory {
            list(&path, paths)?;
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            paths.push(path);
        }
    }
    Ok(())
}
