//! `cargo xtask test`: everything, in the order in which a mistake is found soonest. Ends with the counts of all.

use crate::chart;
use anyhow::{Context, Result, anyhow, bail};
use plimsoll_e2e::{
    cases,
    cluster::{Cluster, Options, next_debian},
    stage::Built,
};
use std::{
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
    counts.step("unit, property and generated files", || counted(tests(UNIT)));
    counts.step("doc tests", || counted(tests(&["--doc"])));
    counts.step("programs", || {
        let built = programs.join().map_err(|_| anyhow!("the build of the programs panicked"))?;
        built.map(|_| Counts { passed: 1, failed: 0 })
    });
    counts.step("real Prometheus", || counted(tests(&["--test=kpi"])));
    for (name, with) in [("haproxy", "HAProxy"), ("nginx", "NGINX"), ("agent", "HAProxy")] {
        counts.step(&format!("real {with}: {name}"), || counted(tests(&[&format!("--test={name}")])));
    }
    counts.step("real HAProxy of the next Debian", || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(next_debian::haproxy()?).chain(std::env::split_paths(&path));
        let mut command = tests(&["--test=haproxy", "--test=agent"]);
        command.env("PATH", std::env::join_paths(paths)?);
        counted(command)
    });
    counts.step("real API server with the Gateway API", || counted(tests(&["--test=real"])));
    counts.step("cluster", || {
        Cluster::up(&Options { nodes: 2, ..Options::default() }).map(|_| Counts { passed: 1, failed: 0 })
    });
    for name in ["lease", "evict"] {
        counts.step(&format!("real API server: {name}"), || {
            let cluster = Cluster::attach()?;
            let mut command = tests(&[&format!("--test={name}")]);
            command.env("KUBECONFIG", cluster.kubeconfig());
            counted(command)
        });
    }
    counts.step("chart", || chart::check(&Cluster::attach()?).map(|passed| Counts { passed, failed: 0 }));
    counts.step("e2e", || {
        let cases::Counts { passed, failed } = cases::run(None)?;
        Ok(Counts { passed, failed })
    });
    println!("all of it took {:.0} s", begin.elapsed().as_secs_f64());
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed > 0 {
        bail!("{} failed", counts.failed);
    }
    Ok(())
}

impl Counts {
    /// Runs one step and adds what it counted; a step that can't run has failed.
    fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Self>) {
        println!("==> {name}");
        let begin = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Self { passed: 0, failed: 1 }
        });
        self.passed += counts.passed;
        self.failed += counts.failed;
        let (took, Self { passed, failed }) = (begin.elapsed().as_secs_f64(), counts);
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

/// Runs `cargo`, shows what it prints, and counts the tests that it ran; one that runs none counts as one.
fn counted(mut command: Command) -> Result<Counts> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let (mut counts, mut ran) = (Counts::default(), false);
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some((passed, failed)) = result(&line) {
            ran = true;
            counts.passed += passed;
            counts.failed += failed;
        }
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
    Ok(counts)
}

/// The counts in a line such as `test result: ok. 25 passed; 0 failed; …`.
fn result(line: &str) -> Option<(usize, usize)> {
    let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut numbers = rest.split("; ").map(|part| part.split_whitespace().next()?.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::result;

    #[test]
    fn reads_the_counts_of_cargo() {
        let line = "test result: FAILED. 24 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 6.53s";
        assert_eq!(result(line), Some((24, 1)));
        assert_eq!(result("running 3 tests"), None);
    }
}
