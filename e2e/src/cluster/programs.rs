//! Programs that are built from their Go modules once for each version, and kept in the user's cache.
//!
//! `e2e/programs/<module>` holds the pinned `go.mod` and `go.sum` of each.

use super::{progress::note, state::cache_folder};
use crate::{
    prelude::*,
    process::{find_program, finish},
};
use fs_err::File;
use sha2::{Digest, Sha256};

/// Disk space that a first build needs, in bytes: module and build caches of Go, and the programs.
const BUILD_SPACE: u64 = 8 << 30;

#[derive(Debug)]
pub struct Module {
    name: &'static str,
    version: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    /// A main package of ours, if the module's own does not fit.
    main_go: Option<&'static str>,
    linker_flags: &'static str,
    /// Build tags, separated by commas.
    tags: &'static str,
    /// Names of the programs and their packages.
    programs: &'static [(&'static str, &'static str)],
}

macro_rules! module {
    ($name:literal, $version:literal, $linker_flags:literal, $tags:literal, $programs:expr) => {
        Module {
            name: $name,
            version: $version,
            go_mod: include_str!(concat!("../../programs/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../programs/", $name, "/go.sum")),
            main_go: None,
            linker_flags: $linker_flags,
            tags: $tags,
            programs: $programs,
        }
    };
}

static CLUSTER_MODULES: &[Module] = &[
    module!(
        "kubernetes",
        "v1.35.4",
        "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4 \
         -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35",
        "",
        &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ("etcd", "go.etcd.io/etcd/server/v3"),
        ]
    ),
    module!("helm", "v3.19.5", "-s -w", "", &[("helm", "helm.sh/helm/v3/cmd/helm")]),
    Module {
        main_go: Some(include_str!("../../programs/coredns/main.go")),
        ..module!("coredns", "v1.13.1", "-s -w", "", &[("coredns", "plimsoll.dev/programs/coredns")])
    },
    // Debian's Prometheus is built without the discovery of pods. As a Go module this is release 3.16.0.
    module!(
        "prometheus",
        "v0.316.0",
        "-s -w -X github.com/prometheus/common/version.Version=3.16.0",
        "remove_all_sd,enable_kubernetes_sd",
        &[("prometheus", "github.com/prometheus/prometheus/cmd/prometheus")]
    ),
];

/// The peer of the benches; built on demand, in eight minutes on two cores.
pub static KEDA: Module = module!(
    "keda",
    "v2.21.0",
    "-s -w -X github.com/kedacore/keda/v2/version.Version=2.21.0",
    "",
    &[
        ("keda-operator", "github.com/kedacore/keda/v2/cmd/operator"),
        ("keda-adapter", "github.com/kedacore/keda/v2/cmd/adapter"),
    ]
);

/// Source of the CPU metrics for the HorizontalPodAutoscaler of the benches; built on demand, in two minutes on two cores.
pub static METRICS_SERVER: Module = module!(
    "metrics-server",
    "v0.9.0",
    "-s -w",
    "",
    &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")]
);

#[derive(Debug, Clone)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// Builds the programs that are not in the cache: about ten minutes on two cores the first time.
    pub fn ensure() -> Result<Self> {
        let folders = CLUSTER_MODULES.iter().map(Module::ensure).collect::<Result<_>>()?;
        Ok(Self { folders })
    }

    /// Builds only the program of this name, unless the cache has it, and returns its path.
    pub fn ensure_one(name: &str) -> Result<PathBuf> {
        let has = |module: &&Module| module.programs.iter().any(|(program, _)| *program == name);
        let module = CLUSTER_MODULES.iter().find(has);
        Ok(module.with_context(|| format!("no module has a program {name:?}"))?.ensure()?.join(name))
    }

    pub fn find() -> Result<Self> {
        let find = |module: &Module| {
            let folder = module.folder()?;
            let (name, version) = (module.name, module.version);
            ensure!(folder.is_dir(), "{name} {version} is not built; run `cargo xtask cluster up`");
            Ok(folder.join("bin"))
        };
        Ok(Self { folders: CLUSTER_MODULES.iter().map(find).collect::<Result<_>>()? })
    }

    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let found = self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        found.with_context(|| format!("no built program is named {name:?}"))
    }

    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

impl Module {
    /// Builds the module's programs unless the cache has them, and returns their folder.
    pub fn ensure(&self) -> Result<PathBuf> {
        let folder = self.folder()?;
        if folder.is_dir() {
            return Ok(folder.join("bin"));
        }
        let cache = cache_folder("programs")?;
        let _one_build_at_a_time = lock(&cache.join(".lock"))?;
        if !folder.is_dir() {
            check_tools(&cache)?;
            let unfinished = cache.join(format!(".building-{}", self.name));
            remove_folder(&unfinished)?;
            self.build(&unfinished)?;
            fs::rename(&unfinished, &folder)?;
        }
        Ok(folder.join("bin"))
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(cache_folder("programs")?.join(format!("{}-{}-{}", self.name, self.version, self.fingerprint())))
    }

    /// Key that changes with every input of the build, except Go itself.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let parts = [self.go_mod, self.go_sum, self.linker_flags, self.tags];
        for part in parts.into_iter().chain(self.main_go) {
            hash.update(part);
            hash.update([0]);
        }
        for (name, package) in self.programs {
            hash.update(format!("{name}={package}\n"));
        }
        format!("{:x}", hash.finalize()).chars().take(12).collect()
    }

    fn build(&self, folder: &Path) -> Result<()> {
        let bin = folder.join("bin");
        fs::create_dir_all(&bin)?;
        fs::write(folder.join("go.mod"), self.go_mod)?;
        fs::write(folder.join("go.sum"), self.go_sum)?;
        if let Some(main_go) = self.main_go {
            fs::write(folder.join("main.go"), main_go)?;
        }
        let what = format!("building {} {}", self.name, self.version);
        note(&format!("{what} (once; minutes on two cores)"));
        let start = Instant::now();
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", self.linker_flags, "-tags", self.tags]);
        go.arg("-o")
            .arg(format!("{}/", bin.display()))
            .args(self.programs.iter().map(|(_, package)| package));
        go.current_dir(folder).env("CGO_ENABLED", "0").env("GOWORK", "off");
        finish(go, "").with_context(|| format!("{what} failed"))?;
        for (name, package) in self.programs {
            fs::rename(bin.join(go_output_name(package)), bin.join(name))?;
        }
        note(&format!("{what} took {}", format_args!("{} s", start.elapsed().as_secs())));
        Ok(())
    }
}

/// The program name that `go build` derives from a package: the last part of its path that is not a major version.
fn go_output_name(package: &str) -> &str {
    let is_version = |part: &&str| part.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package)
}

fn check_tools(cache: &Path) -> Result<()> {
    find_program("go").context(
        "Go is missing: Kubernetes is built from its source here; install Go 1.26 or newer (https://go.dev/dl)",
    )?;
    super::preflight::check_space(cache, BUILD_SPACE, "build Kubernetes")
}

/// Locks the file until the returned value is dropped; prints a line if it has to wait.
pub(super) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path)?;
    if file.try_lock().is_err() {
        note(&format!("waiting for another run that holds {}", path.display()));
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

/// Removes a folder and its content, if it exists.
pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_under_the_name_that_go_gives_them() {
        assert_eq!(go_output_name("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(go_output_name("k8s.io/kubernetes/cmd/kubelet"), "kubelet");
    }

    #[test]
    fn the_version_in_the_table_is_the_one_in_go_mod() {
        for module in CLUSTER_MODULES.iter().chain([&KEDA, &METRICS_SERVER]) {
            let pinned =
                module.go_mod.lines().any(|line| line.split_whitespace().any(|word| word == module.version));
            assert!(pinned, "{} is not at {} in its go.mod", module.name, module.version);
            for (name, package) in module.programs {
                assert!(module.go_mod.contains(package), "{name}: {package} is no tool of its go.mod");
            }
        }
    }

    #[test]
    fn another_go_sum_is_another_folder() {
        let [kubernetes, helm, ..] = CLUSTER_MODULES else { panic!("two modules at least") };
        let changed = Module { go_sum: "", ..module!("helm", "v3.19.5", "-s -w", "", helm.programs) };
        assert_ne!(helm.fingerprint(), changed.fingerprint());
        assert_ne!(helm.fingerprint(), kubernetes.fingerprint());
    }
}
