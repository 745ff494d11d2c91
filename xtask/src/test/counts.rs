//! Counts of passed and failed tests, and the duration of each step.

use std::time::{Duration, Instant};

use anyhow::Result;
use plimsoll_e2e::cases;

/// Counts of passed and failed tests.
#[derive(Debug, Default)]
pub struct Counts {
    /// Passed tests.
    pub passed: usize,
    /// Failed tests.
    pub failed: usize,
    /// Test programs that ended without a result; they are also counted as failed.
    pub crashed: usize,
    /// Tests that passed only on the second try.
    pub flaky: Vec<String>,
    /// Each step and its duration.
    pub steps: Vec<(String, Duration)>,
}

impl From<cases::Counts> for Counts {
    fn from(cases::Counts { passed, failed, flaky }: cases::Counts) -> Self {
        let flaky = flaky.into_iter().map(str::to_owned).collect();
        Self { passed, failed, flaky, ..Self::default() }
    }
}

impl Counts {
    /// Counts of passed tests only.
    pub fn passed(passed: usize) -> Self {
        Self { passed, ..Self::default() }
    }

    /// Adds other counts, as part of the same step.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.crashed += other.crashed;
        self.flaky.extend(other.flaky);
    }

    /// Runs one step and adds its counts; a step that returns an error counts as one failure.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Self>) {
        println!("==> {name}");
        let begin = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Self { failed: 1, ..Self::default() }
        });
        let took = begin.elapsed();
        let Self { passed, failed, .. } = counts;
        println!("<== {name}: {passed} passed, {failed} failed, {:.0} s", took.as_secs_f64());
        self.add(counts);
        self.steps.push((name.to_owned(), took));
    }

    /// Prints the time of each step.
    pub fn print_times(&self) {
        println!();
        for (name, took) in &self.steps {
            println!("{:>6.0} s  {name}", took.as_secs_f64());
        }
    }
}
