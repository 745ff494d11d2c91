//! Builds the programs of this workspace once for all images; image tags are digests of the content.

use crate::{
    prelude::*,
    process::{find_program, finish},
};
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The profile of the tests: their build includes the programs.
    Suite,
    /// Optimized, for the demo and the benches.
    Image,
}

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Image => "image",
        }
    }

    /// Environment variables of every call of cargo with this profile.
    ///
    /// The suite compiles the workspace with Clippy's driver, which is rustc with its lints: `cargo clippy` would check all
    /// dependencies again, which takes minutes on two cores. `cargo clippy -- --deny=warnings` passes its arguments to the
    /// driver in the second variable.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Suite => &[
                ("RUSTC_WORKSPACE_WRAPPER", "clippy-driver"),
                ("CLIPPY_ARGS", "--deny=warnings__CLIPPY_HACKERY__"),
            ],
            Self::Image => &[],
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            // Without the tests, cargo would select other features of the dependencies and rebuild them.
            Self::Suite => &["test", "--no-run", "--workspace", "--features=real"],
            Self::Image => {
                &["build", "--package=plimsoll", "--package=plimsoll-shop", "--package=plimsoll-gateway"]
            }
        }
    }
}

pub struct Built {
    pub workspace: PathBuf,
    pub plimsoll: PathBuf,
    pub plugin: PathBuf,
    pub shop: PathBuf,
    pub gateway: PathBuf,
    /// Image of the operator; the tag changes with the content, so that an upgrade rolls it out.
    pub plimsoll_image: String,
    pub shop_image: String,
    /// Image of Debian's HAProxy; as in the other images, the tag is a digest of the program.
    pub haproxy_image: String,
    pub nginx_image: String,
}

impl Built {
    /// Builds with cargo's `profile`; HAProxy and NGINX must be installed.
    pub fn make(profile: Profile) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?.to_owned();
        let mut command = cargo(&workspace, profile.arguments());
        command.args(["--quiet", "--profile", profile.name()]).envs(profile.environment().iter().copied());
        finish(command, "").context("failed to build the programs of the images")?;
        let folder = target_folder(&workspace)?.join(profile.name());
        let program = |name: &str| folder.join(name);
        let haproxy = find_program("haproxy").context("haproxy is not installed")?;
        let nginx = find_program("nginx").context("nginx is not installed")?;
        Ok(Self {
            plimsoll_image: tagged("plimsoll.local/plimsoll", &program("plimsoll"))?,
            shop_image: tagged("plimsoll.local/shop", &program("plimsoll-shop"))?,
            haproxy_image: tagged("plimsoll.local/haproxy", &haproxy)?,
            nginx_image: tagged("plimsoll.local/nginx", &nginx)?,
            plimsoll: program("plimsoll"),
            plugin: program("kubectl-plimsoll"),
            shop: program("plimsoll-shop"),
            gateway: program("plimsoll-gateway"),
            workspace,
        })
    }
}

/// Builds the operator with the release profile, for figures of memory: a larger program takes more.
pub fn release(workspace: &Path) -> Result<PathBuf> {
    let arguments = ["build", "--quiet", "--release", "--package=plimsoll", "--bin=plimsoll"];
    finish(cargo(workspace, &arguments), "").context("failed to build the release")?;
    Ok(target_folder(workspace)?.join("release/plimsoll"))
}

fn cargo(workspace: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace).args(arguments);
    command
}

fn target_folder(workspace: &Path) -> Result<PathBuf> {
    let command = cargo(workspace, &["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&finish(command, "")?)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(PathBuf::from(folder.context("cargo metadata names no target folder")?))
}

fn tagged(name: &str, program: &Path) -> Result<String> {
    let content = fs::read(program)?;
    let digest = Sha256::digest(content);
    let tag: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{name}:{tag}"))
}
