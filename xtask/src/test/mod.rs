//! `cargo xtask test`: runs all tests, the fastest to find a mistake first. The last line has the total counts.

mod cargo;
mod counts;

use std::{
    path::{Path, PathBuf},
    thread::{JoinHandle, spawn},
    time::Instant,
};

use anyhow::{Result, anyhow, bail};
use plimsoll_e2e::{
    cases,
    cluster::{
        Cluster, Options,
        releases::{Release, versions},
    },
    stage::{Built, Profile},
};

use self::{
    cargo::{cargo, counted, tests, tests_with, twice},
    counts::Counts,
};
use crate::{chart, series};

/// Tests that need only the programs of this workspace.
const UNIT: &[&str] =
    &["--lib", "--bins", "--test=it", "--test=drain", "--test=stories", "--test=faults", "--test=eviction"];
/// Tests that need an API server, but no nodes.
const API_SERVER: &[&str] = &["--test=conformance", "--test=refused", "--test=real"];
/// The run fails with more flaky tests than this: it would prove little.
const FLAKY_MAX: usize = 2;

/// Runs every step, even after a failed one.
pub fn run() -> Result<()> {
    let begin = Instant::now();
    let mut counts = Counts::default();
    // In parallel with cargo's steps: neither alone keeps two cores busy.
    let programs = Beside::start(move || {
        Cluster::prepare()?;
        println!("the programs of the cluster are built after {:.0} s", begin.elapsed().as_secs_f64());
        Ok(Counts::passed(1))
    });
    counts.step("format", || cargo(&["fmt", "--all", "--check"]));
    // One build of all tests: building those of one step leaves a core idle.
    counts.step("Clippy and build of all tests", || counted(tests(&["--no-run", "--all-targets"])));
    counts.step("unit, property, stories and generated files", || counted(tests(UNIT)));
    counts.step("doc tests", || counted(tests(&["--doc"])));
    counts.step("programs", || programs.join());
    counts.step("build of the images", || Built::make(Profile::Suite).map(|_| Counts::passed(1)));
    real_programs(&mut counts);
    counts.step("chart", || chart::check(&Cluster::attach()?).map(Counts::passed));
    counts.step("e2e", || cases::run(None).map(Counts::from));
    counts.print_times();
    println!("the whole run took {:.0} s", begin.elapsed().as_secs_f64());
    judge(&mut counts)
}

/// Runs the tests of real programs and starts the cluster. They mostly wait, so some of them run in parallel.
fn real_programs(counts: &mut Counts) {
    let cluster =
        Beside::start(|| Cluster::up(&Options { nodes: 2, ..Options::default() }).map(|_| Counts::passed(1)));
    let api_server = Beside::start(|| twice(|| tests(API_SERVER)));
    counts.step("versions of HAProxy and NGINX", || {
        println!("the installed balancers are {}", versions(Path::new(""))?.join(" and "));
        Ok(Counts::passed(1))
    });
    for (name, with) in
        [("kpi", "Prometheus"), ("haproxy", "HAProxy"), ("nginx", "NGINX"), ("agent", "HAProxy")]
    {
        counts.step(&format!("real {with}: {name}"), || twice(|| tests(&[&format!("--test={name}")])));
    }
    // After the tests of the installed balancers: with more in parallel, two cores are too slow for the tests' deadlines.
    for release in Release::ALL {
        counts
            .step(&format!("real HAProxy and NGINX of Debian {}", release.name()), || balancers_of(release));
    }
    counts.step("real API server without nodes", || api_server.join());
    counts.step("cluster", || cluster.join());
    for name in ["lease", "evict"] {
        counts.step(&format!("real API server: {name}"), || {
            let kubeconfig: PathBuf = Cluster::attach()?.kubeconfig().to_owned();
            let test = format!("--test={name}");
            twice(|| tests_with("KUBECONFIG", kubeconfig.as_ref(), &[&test]))
        });
    }
}

/// Runs the balancer tests with the programs of another release.
fn balancers_of(release: Release) -> Result<Counts> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = release.programs()?;
    let versions = versions(&programs)?;
    println!("the balancers of Debian {} are {}", release.name(), versions.join(" and "));
    if let Some(moved) = series::moved(release, &versions)? {
        // Not a failure of the change under test: the packages of a testing release change at any time.
        println!("note: {moved}");
    }
    let paths = std::iter::once(programs).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(paths)?;
    twice(|| tests_with("PATH", &path, &["--test=haproxy", "--test=agent", "--test=nginx"]))
}

/// A step that runs in parallel with others until it is joined.
struct Beside(JoinHandle<Result<Counts>>);

impl Beside {
    fn start(step: impl FnOnce() -> Result<Counts> + Send + 'static) -> Self {
        Self(spawn(step))
    }

    fn join(self) -> Result<Counts> {
        self.0.join().map_err(|_| anyhow!("the step panicked"))?
    }
}

/// Prints the last line, and fails if a test failed.
fn judge(counts: &mut Counts) -> Result<()> {
    let flaky = &counts.flaky;
    if !flaky.is_empty() {
        println!("flaky, passed on the second try only: {}", flaky.join(", "));
    }
    if flaky.len() > FLAKY_MAX {
        println!("{} tests are flaky; at most {FLAKY_MAX} are allowed", flaky.len());
        counts.failed += 1;
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} failed", counts.failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_two_flaky_tests_fail_the_run() {
        let counts = |flaky: &[&str]| Counts {
            passed: 10,
            flaky: flaky.iter().map(|name| (*name).to_owned()).collect(),
            ..Counts::default()
        };
        assert!(judge(&mut counts(&["a", "b"])).is_ok());
        assert!(judge(&mut counts(&["a", "b", "c"])).is_err());
    }
}
