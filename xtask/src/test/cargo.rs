//! Runs cargo, and counts the tests in what it prints.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use plimsoll_e2e::stage::Profile;

use super::counts::Counts;

/// The test harness' own variable.
const THREADS: &str = "RUST_TEST_THREADS";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs `cargo` with these arguments.
pub fn cargo(arguments: &[&str]) -> Result<Counts> {
    counted(command(arguments))
}

/// Tests of the whole workspace, always with the same profile and features: otherwise cargo rebuilds the dependencies.
pub fn tests(which: &[&str]) -> Command {
    let profile = ["test", "--profile", Profile::Suite.name()];
    let mut command = command(&[&profile[..], &["--workspace", "--features=real"]].concat());
    command.args(which).envs(Profile::Suite.environment().iter().copied());
    command
}

/// The same with an environment variable.
pub fn tests_with(variable: &str, value: &OsStr, which: &[&str]) -> Command {
    let mut command = tests(which);
    command.env(variable, value);
    command
}

/// Number of concurrent tests of real programs: they spend most of their time waiting, so two cores can run more than two.
const AT_A_TIME: &str = "4";

/// Runs tests of real programs, and the failed ones a second time, one after the other: on a busy machine a test may miss a
/// deadline through no fault of Plimsoll. A test that passes then counts as passed, and is reported as flaky, as in e2e.
pub fn twice(tests: impl Fn() -> Command) -> Result<Counts> {
    let mut first = tests();
    first.arg("--no-fail-fast").env(THREADS, AT_A_TIME);
    let (counts, failed_names) = watched(first)?;
    if failed_names.is_empty() {
        return Ok(counts);
    }
    println!("second try: {}", failed_names.join(", "));
    let mut second = tests();
    second.args(["--no-fail-fast", "--", "--exact"]).args(&failed_names).env(THREADS, "1");
    let (again, failed_again) = watched(second)?;
    let flaky = failed_names.into_iter().filter(|name| !failed_again.contains(name)).collect();
    // A crashed program reports no test name, so it cannot be run again.
    let (passed, failed) = (counts.passed + again.passed, counts.crashed + again.failed);
    Ok(Counts { passed, failed, flaky, ..Counts::default() })
}

/// Runs `cargo` and counts its tests.
pub fn counted(command: Command) -> Result<Counts> {
    Ok(watched(command)?.0)
}

/// Runs `cargo`, shows its output, and counts its tests; a command without tests counts as one. Also returns the names of
/// the failed tests.
fn watched(mut command: Command) -> Result<(Counts, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let (mut counts, mut failed_names) = (Counts::default(), Vec::new());
    let (mut begun, mut ended) = (0, 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        begun += usize::from(begins(&line));
        if let Some((passed, failed)) = result(&line) {
            ended += 1;
            counts.passed += passed;
            counts.failed += failed;
        }
        failed_names.extend(failed_test(&line));
        if !line.starts_with("test ") || !line.ends_with("... ok") {
            println!("{line}");
        }
    }
    let success = child.wait()?.success();
    // A crashed program prints no test name and no result.
    counts.crashed = begun - ended.min(begun);
    if !success && counts.failed + counts.crashed == 0 {
        counts.crashed = 1;
    }
    counts.failed += counts.crashed;
    if success && begun == 0 {
        counts.passed = 1;
    }
    Ok((counts, failed_names))
}

/// Whether this line, such as `running 3 tests`, begins the output of a test program.
fn begins(line: &str) -> bool {
    let count = line.strip_prefix("running ").and_then(|rest| rest.split_once(' '));
    count.is_some_and(|(count, tests)| count.parse::<usize>().is_ok() && tests.starts_with("test"))
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
    use super::{begins, failed_test, result};

    #[test]
    fn reads_the_counts_of_cargo() {
        let line = "test result: FAILED. 24 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 6.53s";
        assert_eq!(result(line), Some((24, 1)));
        assert_eq!(result("running 3 tests"), None);
        assert!(begins("running 3 tests") && begins("running 1 test") && !begins("running away"));
        assert_eq!(failed_test("test drain::in_time ... FAILED").as_deref(), Some("drain::in_time"));
        assert_eq!(failed_test("test drain::in_time ... ok"), None);
    }
}
