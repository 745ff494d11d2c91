//! HAProxy as the next release of Debian has it, beside the system's own: Plimsoll has to work with both.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{progress::note, state::cache_folder};
use crate::process::finish;

/// The release: HAProxy 3.0, where Debian 12 has 2.6.
const RELEASE: &str = "trixie";
/// Signs all releases.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The folder with the program `haproxy`, for the front of a PATH. It is fetched once, with every library that it needs
/// down to the C library, and nothing of the system is changed.
///
/// # Errors
/// The system's mirror does not have it, or is not to be reached.
pub fn haproxy() -> Result<PathBuf> {
    let folder = cache_folder(&format!("haproxy-{RELEASE}"))?;
    let program = folder.join("bin/haproxy");
    // A machine that was stopped while it wrote leaves empty files.
    if version(&program).is_err() {
        note(&format!("fetching HAProxy of Debian {RELEASE}"));
        fetch(&folder).with_context(|| format!("HAProxy of Debian {RELEASE} can't be fetched"))?;
        install(&folder, &program)?;
        version(&program)?;
    }
    Ok(folder.join("bin"))
}

fn version(program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("-v");
    finish(command, "")
}

fn fetch(folder: &Path) -> Result<()> {
    for part in ["lists/partial", "cache/archives/partial", "root", "bin"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::write(folder.join("status"), "")?;
    let sources = format!("deb [signed-by={KEYS}] {} {RELEASE} main\n", mirror()?);
    fs::write(folder.join("sources.list"), sources)?;
    apt(folder, &["update"])?;
    apt(folder, &["install", "--yes", "--no-install-recommends", "--download-only", "haproxy"])?;
    for file in fs::read_dir(folder.join("cache/archives"))? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            let mut command = Command::new("dpkg-deb");
            command.arg("--extract").arg(&file).arg(folder.join("root"));
            finish(command, "")?;
        }
    }
    Ok(())
}

/// The mirror that the system itself is set up with.
fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let said = finish(command, "")?;
    said.lines().next().map(str::to_owned).context("apt-get has no source with the component main")
}

fn apt(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("apt-get");
    command.arg("-q").env("DEBIAN_FRONTEND", "noninteractive");
    for (option, part) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::State", ""),
        ("Dir::State::lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
    ] {
        command.arg("-o").arg(format!("{option}={}", folder.join(part).display()));
    }
    command.args(["-o", "Dir::Etc::sourceparts=/dev/null"]).args(arguments);
    finish(command, "")
}

/// A program that runs with the loader and the libraries of its own release. It calls itself by its own name, since
/// HAProxy starts itself anew for a reload.
fn install(folder: &Path, program: &Path) -> Result<()> {
    let libraries = folder.join(format!("root/usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let is_loader = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("ld-linux"))
    };
    let mut files = fs::read_dir(&libraries)?.filter_map(|file| Some(file.ok()?.path()));
    let loader = files.find(is_loader).with_context(|| format!("no loader is in {}", libraries.display()))?;
    let (loader, libraries) = (loader.display(), libraries.display());
    let own = folder.join("root/usr/sbin/haproxy");
    let script = format!(
        "#!/bin/sh\nexec {loader} --argv0 \"$0\" --library-path {libraries} {} \"$@\"\n",
        own.display()
    );
    let new = program.with_extension("new");
    fs::write(&new, script)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, program)?;
    Ok(())
}
