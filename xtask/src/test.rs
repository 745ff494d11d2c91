//! `cargo xtask test`: everything, in the order in which a mistake is found soonest. Ends with the counts of all.

use crate::chart;
use anyhow::{Context, Result, anyhow, bail};
use plimsoll_e2e::{
    cases,
    cluster::{Cluster, Options, next_debian},
    stage::Built,
};
use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

/// What needs no program but those of this workspace.
const UNIT: &[&str] = &["--lib", "--bins", "--test=it", "--test=drain"];

/// What was counted.
#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    /// Tests that held at their second try only.
    unsteady: Vec<String>,
}

/// Runs every step, also after one that failed.
pub fn run() -> Result<()> {
    let begin = Instant::now();
    let mut counts = Counts::default();
    // Beside cargo's own steps: neither keeps two cores busy by itself.
    let programs = std::thread::spawn(|| Cluster::prepare().and_then(|_| Built::make()));
    counts.step("format", || cargo(&["fmt", "--all", "--check"]));
    counts.step("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--features=real", "--", "--deny=warnings"])
    });
    // All at once: those of one step leave a core idle.
    counts.step("build of all tests", || counted(tests(&["--no-run"])));
    counts.step("unit, property and generated files", || counted(tests(UNIT)));
    counts.step("doc tests", || counted(tests(&["--doc"])));
    counts.step("programs", || {
        let built = programs.join().map_err(|_| anyhow!("the build of the programs panicked"))?;
        built.map(|_| Counts::right(1))
    });
    counts.step("real Prometheus", || twice(|| tests(&["--test=kpi"])));
    for (name, with) in [("haproxy", "HAProxy"), ("nginx", "NGINX"), ("agent", "HAProxy")] {
        counts.step(&format!("real {with}: {name}"), || twice(|| tests(&[&format!("--test={name}")])));
    }
    counts.step("real HAProxy of the next Debian", || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(next_debian::haproxy()?).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(paths)?;
        twice(|| tests_with("PATH", &path, &["--test=haproxy", "--test=agent"]))
    });
    counts.step("real API server with the Gateway API", || twice(|| tests(&["--test=real"])));
    counts.step("cluster", || {
        Cluster::up(&Options { nodes: 2, ..Options::default() }).map(|_| Counts::right(1))
    });
    for name in ["lease", "evict"] {
        counts.step(&format!("real API server: {name}"), || {
            let cluster = Cluster::attach()?;
            let test = format!("--test={name}");
            twice(|| tests_with("KUBECONFIG", cluster.kubeconfig().as_ref(), &[&test]))
        });
    }
    counts.step("chart", || chart::check(&Cluster::attach()?).map(Counts::right));
    counts.step("e2e", || {
        let cases::Counts { passed, failed } = cases::run(None)?;
        Ok(Counts { passed, failed, ..Counts::default() })
    });
    println!("all of it took {:.0} s", begin.elapsed().as_secs_f64());
    if !counts.unsteady.is_empty() {
        println!("right at the second try only: {}", counts.unsteady.join(", "));
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} failed", counts.failed);
    }
    Ok(())
}

impl Counts {
    fn right(passed: usize) -> Self {
        Self { passed, ..Self::default() }
    }

    /// Runs one step and adds what it counted; a step that can't run has failed.
    fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Self>) {
        println!("==> {name}");
        let begin = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Self { failed: 1, ..Self::default() }
        });
        let (took, Self { passed, failed, unsteady }) = (begin.elapsed().as_secs_f64(), counts);
        self.passed += passed;
        self.failed += failed;
        self.unsteady.extend(unsteady);
        println!("<== {name}: {passed} right, {failed} wrong, {took:.0} s");
    }
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn cargo(arguments: &[&str]) -> Result<Counts> {
    counted(cargo_command(arguments))
}

/// Tests of the whole workspace, always with the same features: otherwise cargo builds the dependencies anew.
fn tests(which: &[&str]) -> Command {
    let mut command = cargo_command(&["test", "--workspace", "--exclude=xtask", "--features=real"]);
    command.args(which);
    command
}

fn tests_with(variable: &str, value: &OsStr, which: &[&str]) -> Command {
    let mut command = tests(which);
    command.env(variable, value);
    command
}

/// Runs tests of real programs. What failed is played once more, alone: on a busy machine a deadline may pass that is
/// none of Plimsoll's. What holds then counts, and is told, as in e2e.
fn twice(tests: impl Fn() -> Command) -> Result<Counts> {
    let mut first = tests();
    first.arg("--no-fail-fast");
    let (counts, wrong) = watched(first)?;
    if wrong.is_empty() {
        return Ok(counts);
    }
    println!("once more: {}", wrong.join(", "));
    let mut second = tests();
    second.args(["--", "--exact"]).args(&wrong);
    let (again, still) = watched(second)?;
    let unsteady = wrong.into_iter().filter(|name| !still.contains(name)).collect();
    Ok(Counts { passed: counts.passed + again.passed, failed: again.failed, unsteady })
}

fn counted(command: Command) -> Result<Counts> {
    Ok(watched(command)?.0)
}

/// Runs `cargo`, shows what it prints, and counts the tests that it ran; one that runs none counts as one. Beside the
/// counts the names of those that failed.
fn watched(mut command: Command) -> Result<(Counts, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let (mut counts, mut ran, mut wrong) = (Counts::default(), false, Vec::new());
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some((passed, failed)) = result(&line) {
            ran = true;
            counts.passed += passed;
            counts.failed += failed;
        }
        wrong.extend(failed_test(&line));
        if !line.starts_with("test ") || !line.ends_with("... ok") {
            println!("{line}");
        }
    }
    let success = child.wait()?.success();
    if !success && counts.failed == 0 {
        counts.failed = 1;
    }
    if success && !ran {
        counts.passed = 1;
    }
    Ok((counts, wrong))
}

/// The name in a line such as `test drain::in_time ... FAILED`.
fn failed_test(line: &str) -> Option<String> {
    Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned())
}

/// The counts in a line such as `test result: ok. 25 passed; 0 failed; …`.
fn result(line: &str) -> Option<(usize, usize)> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut numbers = rest.split("; ").map(|part| part.split_whitespace().next()?.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::{failed_test, result};

    #[test]
    fn reads_the_counts_of_cargo() {
        let line = "test result: FAILED. 24 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 6.53s";
        assert_eq!(result(line), Some((24, 1)));
        assert_eq!(result("running 3 tests"), None);
        assert_eq!(failed_test("test drain::in_time ... FAILED").as_deref(), Some("drain::in_time"));
        assert_eq!(failed_test("test drain::in_time ... ok"), None);
    }
}
