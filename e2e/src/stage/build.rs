//! The programs of this workspace, built once for all images, and named by what is in them.

use crate::{
    prelude::*,
    process::{find_program, finish},
};
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// That of the tests: their build gives the programs as well.
    Suite,
    /// Optimised, for the demo and for what is measured.
    Image,
}

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Image => "image",
        }
    }

    /// Environment variables of every call of cargo with it.
    ///
    /// The suite compiles the workspace by Clippy's driver, which is rustc with its lints: `cargo clippy` would check all
    /// dependencies once more, which takes minutes on two cores. The second variable is how `cargo clippy -- --deny=warnings`
    /// hands its arguments to the driver.
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
            // Without the tests, cargo would choose other features of the dependencies, and build these anew.
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
    /// Image of the operator; its tag changes with its content, so that an upgrade rolls it out.
    pub plimsoll_image: String,
    pub shop_image: String,
    /// Image of Debian's HAProxy; its tag is that of its program's content, as of the others.
    pub haproxy_image: String,
    pub nginx_image: String,
}

impl Built {
    /// Builds with cargo's `profile`; HAProxy and NGINX must be installed.
    pub fn make(profile: Profile) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?.to_owned();
        let mut command = cargo(&workspace, profile.arguments());
        command.args(["--quiet", "--profile", profile.name()]).envs(profile.environment().iter().copied());
        finish(command, "").context("the images can't be made without the programs")?;
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

/// The operator's program as it is released, for figures of what it takes: a larger one takes more memory.
pub fn release(workspace: &Path) -> Result<PathBuf> {
    let arguments = ["build", "--quiet", "--release", "--package=plimsoll", "--bin=plimsoll"];
    finish(cargo(workspace, &arguments), "").context("the release can't be built")?;
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
