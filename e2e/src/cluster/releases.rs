//! HAProxy and NGINX of later releases of Debian, beside the installed ones: Plimsoll has to work with all of them.

use super::{progress::note, state::cache_folder};
use crate::{
    prelude::*,
    process::{finish, run},
};
use std::os::unix::fs::symlink;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const PROGRAMS: [&str; 2] = ["haproxy", "nginx"];

/// A release after Debian 12 (which has HAProxy 2.6 and NGINX 1.22).
#[derive(Clone, Copy, Debug)]
pub enum Release {
    /// Debian 13: HAProxy 3.0 and NGINX 1.26.
    Trixie,
    /// Debian 14: HAProxy 3.2 and NGINX 1.30.
    Forky,
}

impl Release {
    pub const ALL: [Self; 2] = [Self::Trixie, Self::Forky];

    /// The folder with the programs `haproxy` and `nginx`, to be prepended to PATH. They are fetched once, with all their
    /// libraries including the C library, and the system is not changed.
    pub fn programs(self) -> Result<PathBuf> {
        let folder = cache_folder(&format!("debian-{}", self.name()))?;
        let bin = folder.join("bin");
        // A machine that stopped during a write leaves empty files.
        if versions(&bin).is_err() {
            note(&format!("fetching HAProxy and NGINX of Debian {}", self.name()));
            self.fetch(&folder).context("cannot fetch the packages")?;
            link(&folder)?;
        }
        Ok(bin)
    }

    /// Debian's name of the release.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    fn fetch(self, folder: &Path) -> Result<()> {
        for part in ["lists/partial", "cache/archives/partial", "root"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        let sources = format!("deb [signed-by={KEYS}] {} {} main\n", mirror()?, self.name());
        fs::write(folder.join("sources.list"), sources)?;
        apt(folder, &["update"])?;
        let install = ["install", "--yes", "--no-install-recommends", "--download-only"];
        apt(folder, &[&install[..], &PROGRAMS].concat())?;
        for file in fs::read_dir(folder.join("cache/archives"))? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                run("dpkg-deb", &[Path::new("--extract"), &file, &folder.join("root")])?;
            }
        }
        Ok(())
    }
}

/// Version lines of `haproxy` and `nginx` in this folder, or in the PATH if it is empty; an error if one does not
/// start.
pub fn versions(bin: &Path) -> Result<Vec<String>> {
    let version = |name: &&str| {
        let mut command = Command::new(bin.join(name));
        command.arg("-v");
        // NGINX writes it to its standard error.
        let output = command.output().with_context(|| format!("cannot start {name}"))?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let first = text.lines().next().filter(|_| output.status.success());
        Ok(first.with_context(|| format!("{name} printed {text:?}"))?.to_owned())
    };
    PROGRAMS.iter().map(version).collect()
}

fn mirror() -> Result<String> {
    let targets = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"];
    let output = run("apt-get", &targets)?;
    output.lines().next().map(str::to_owned).context("apt-get has no source with the component main")
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

/// Lets the programs run with the loader and the libraries of their own release. The files are patched instead of started
/// through that loader: NGINX puts the state of a worker into its command line, which would be the loader's.
fn link(folder: &Path) -> Result<()> {
    let libraries = folder.join(format!("root/usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let is_loader = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("ld-linux"))
    };
    let mut files = fs::read_dir(&libraries)?.filter_map(|file| Some(file.ok()?.path()));
    let loader = files.find(is_loader).with_context(|| format!("no loader is in {}", libraries.display()))?;
    let bin = folder.join("bin");
    let _absent_is_fine = fs::remove_dir_all(&bin);
    fs::create_dir_all(&bin)?;
    for name in PROGRAMS {
        let program = folder.join("root/usr/sbin").join(name);
        // A plain RPATH also applies to indirect libraries.
        let [interpreter, force, rpath] =
            ["--set-interpreter", "--force-rpath", "--set-rpath"].map(Path::new);
        run("patchelf", &[interpreter, &loader, force, rpath, &libraries, &program])?;
        symlink(&program, bin.join(name))?;
    }
    Ok(())
}
