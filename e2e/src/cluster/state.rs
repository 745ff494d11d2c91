//! The state folder of the cluster; `down` removes it as a whole.
//!
//! Programs and images that outlive a cluster are in the user's cache instead.

use crate::{prelude::*, process::write_private};
use serde::{Deserialize, Serialize};

/// A fixed folder: there is one cluster on a machine. Paths of sockets in it must be shorter than 108 bytes.
const ROOT: &str = "/var/lib/plimsoll-dev";
const RECORD: &str = "cluster.json";

/// Options of a complete cluster; the file is written last and removed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub nodes: u8,
    pub scrape_interval_ms: u64,
}

#[derive(Debug, Clone)]
pub struct State {
    root: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { root: PathBuf::from(ROOT) }
    }
}

impl State {
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn text(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.pid"))
    }

    pub fn create(&self) -> Result<()> {
        for folder in ["", "logs", "run", "pki", "kubeconfigs"] {
            fs::create_dir_all(self.root.join(folder))?;
        }
        use std::os::unix::fs::PermissionsExt;
        Ok(fs::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))?)
    }

    /// Options of the running cluster; `None` without a complete cluster.
    pub fn record(&self) -> Option<Record> {
        serde_json::from_str(&fs::read_to_string(self.path(RECORD)).ok()?).ok()
    }

    pub fn write_record(&self, record: &Record) -> Result<()> {
        write_private(&self.path(RECORD), &serde_json::to_string(record)?)
    }

    /// Marks the cluster as incomplete.
    pub fn remove_record(&self) -> Result<()> {
        match fs::remove_file(self.path(RECORD)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// A folder below the user's cache (`$XDG_CACHE_HOME/plimsoll`, otherwise `~/.cache/plimsoll`), created if missing.
pub fn cache_folder(name: &str) -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let folder = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("plimsoll").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
