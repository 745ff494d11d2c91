//! HAProxy and NGINX of the next releases of Debian, beside the system's own: Plimsoll has to work with all of them.

use super::{progress::note, state::cache_folder};
use crate::{
    prelude::*,
    process::{finish, run},
};
use std::os::unix::fs::symlink;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const PROGRAMS: [&str; 2] = ["haproxy", "nginx"];
/// Series of HAProxy and NGINX of Debian 12, which the tests run on without a release of their own.
const OF_DEBIAN_12: [&str; 2] = ["2.6", "1.22"];

/// A release after Debian 12, which has HAProxy 2.6 and NGINX 1.22.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    /// Debian 13: HAProxy 3.0 and NGINX 1.26.
    Trixie,
    /// Debian 14: HAProxy 3.2 and NGINX 1.30.
    Forky,
}

impl Release {
    pub const ALL: [Self; 2] = [Self::Trixie, Self::Forky];

    /// The folder with the programs `haproxy` and `nginx`, for the front of a PATH. They are fetched once, with every
    /// library that they need down to the C library, and nothing of the system is changed.
    pub fn programs(self) -> Result<PathBuf> {
        let folder = cache_folder(&format!("debian-{}", self.name()))?;
        let bin = folder.join("bin");
        // A machine that was stopped while it wrote leaves empty files.
        if versions(&bin).is_err() {
            note(&format!("fetching HAProxy and NGINX of Debian {}", self.name()));
            self.fetch(&folder).context("the packages cannot be fetched")?;
            link(&folder)?;
        }
        let versions = versions(&bin)?;
        self.check(&versions)?;
        note(&format!("the balancers of Debian {} are {}", self.name(), versions.join(" and ")));
        Ok(bin)
    }

    /// The series of `haproxy` and of `nginx` that the tests of the drivers are to run on.
    pub fn series(self) -> [&'static str; 2] {
        match self {
            Self::Trixie => ["3.0", "1.26"],
            Self::Forky => ["3.2", "1.30"],
        }
    }

    /// The packages of a testing release change: what the tests run on must still be what the chart says was tested.
    fn check(self, versions: &[String]) -> Result<()> {
        for ((program, expected), line) in PROGRAMS.iter().zip(self.series()).zip(versions) {
            let found = version(line).with_context(|| format!("{program} says no version: {line:?}"))?;
            let (name, new) = (self.name(), series(found));
            ensure!(
                new == expected,
                "{program} of Debian {name} is {found}, and the tests are to run on {expected}: if the release has moved \
                 on, change Release::series in e2e/src/cluster/releases.rs to {new}, and with it the image and the \
                 tested versions of {program} in charts/plimsoll/values.yaml"
            );
        }
        Ok(())
    }

    fn name(self) -> &'static str {
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

/// Every series of `program` that the tests of the drivers run on, the oldest first.
pub fn tested_series(program: &str) -> Vec<&'static str> {
    let releases = std::iter::once(OF_DEBIAN_12).chain(Release::ALL.map(Release::series));
    let named = releases.flat_map(|series| PROGRAMS.into_iter().zip(series));
    named.filter(|(name, _)| *name == program).map(|(_, series)| series).collect()
}

/// The programs that the tests run on without a release of their own, as they call themselves.
pub fn of_this_system() -> Result<Vec<String>> {
    versions(Path::new(""))
}

/// The first version in a line such as `HAProxy version 3.0.11-1 2025/06/02` or `nginx version: nginx/1.26.3`.
fn version(line: &str) -> Option<&str> {
    line.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
}

/// Major and minor of a version or of an image's tag: `3.0` of `3.0.11-1`.
pub fn series(version: &str) -> String {
    version.split(|char: char| !char.is_ascii_digit()).take(2).collect::<Vec<_>>().join(".")
}

/// What each program says of itself; an error if one does not start.
fn versions(bin: &Path) -> Result<Vec<String>> {
    let version = |name: &&str| {
        let mut command = Command::new(bin.join(name));
        command.arg("-v");
        // NGINX writes it to its standard error.
        let output = command.output().with_context(|| format!("{name} cannot be started"))?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let first = text.lines().next().filter(|_| output.status.success());
        Ok(first.with_context(|| format!("{name} says {text:?}"))?.to_owned())
    };
    PROGRAMS.iter().map(version).collect()
}

fn mirror() -> Result<String> {
    let targets = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"];
    let said = run("apt-get", &targets)?;
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

/// Lets the programs run with the loader and the libraries of their own release. They are changed themselves, and not
/// started by that loader: NGINX tells the state of a worker in its command line, which would be the loader's.
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
        // A plain RPATH holds for the libraries of libraries, too.
        let [interpreter, force, rpath] =
            ["--set-interpreter", "--force-rpath", "--set-rpath"].map(Path::new);
        run("patchelf", &[interpreter, &loader, force, rpath, &libraries, &program])?;
        symlink(&program, bin.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(release: Release, haproxy: &str, nginx: &str) -> Result<(), String> {
        let lines = [
            format!("HAProxy version {haproxy} 2026/10/17 - https://haproxy.org/"),
            format!("nginx version: nginx/{nginx}"),
        ];
        release.check(&lines).map_err(|error| error.to_string())
    }

    #[test]
    fn programs_of_the_series_of_their_release_are_those_to_test() {
        assert_eq!(check(Release::Trixie, "3.0.11-1+deb13u1", "1.26.3"), Ok(()));
        assert_eq!(check(Release::Forky, "3.2.0-1", "1.30.2 (Debian)"), Ok(()));
    }

    #[test]
    fn a_release_that_has_moved_on_is_told_with_what_to_change() {
        let moved = check(Release::Forky, "3.4.1-1", "1.30.2").unwrap_err();
        assert!(
            moved.starts_with("haproxy of Debian forky is 3.4.1-1, and the tests are to run on 3.2: "),
            "{moved}"
        );
        assert!(moved.contains("change Release::series in e2e/src/cluster/releases.rs to 3.4"), "{moved}");
        assert!(moved.contains("haproxy in charts/plimsoll/values.yaml"), "{moved}");
        let other = check(Release::Forky, "3.20.1", "1.30.2").unwrap_err();
        assert!(other.contains("3.20.1"), "not of the series 3.2: {other}");
        assert!(
            check(Release::Trixie, "3.0.11", "1.30.2").unwrap_err().starts_with("nginx of Debian trixie")
        );
        let none = Release::Trixie.check(&["HAProxy".to_owned(), "nginx".to_owned()]).unwrap_err();
        assert_eq!(none.to_string(), "haproxy says no version: \"HAProxy\"");
    }

    #[test]
    fn every_series_is_told_by_its_program() {
        assert_eq!(tested_series("haproxy"), ["2.6", "3.0", "3.2"]);
        assert_eq!(tested_series("nginx"), ["1.22", "1.26", "1.30"]);
        assert_eq!(series("3.2-bookworm"), "3.2");
    }
}
