//! What was counted, and how long each step took.

use std::time::{Duration, Instant};

use anyhow::Result;
use plimsoll_e2e::cases;

/// What was counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Tests that held.
    pub passed: usize,
    /// Tests that did not.
    pub failed: usize,
    /// Programs among the latter that ended without a result.
    pub crashed: usize,
    /// Tests that held only at their second try.
    pub flaky: Vec<String>,
    /// Each step and the time that it took.
    pub steps: Vec<(String, Duration)>,
}

impl From<cases::Counts> for Counts {
    fn from(cases::Counts { passed, failed, flaky }: cases::Counts) -> Self {
        let flaky = flaky.into_iter().map(str::to_owned).collect();
        Self { passed, failed, flaky, ..Self::default() }
    }
}

impl Counts {
    /// So many that held.
    pub fn right(passed: usize) -> Self {
        Self { passed, ..Self::default() }
    }

    /// Adds what others counted, as part of the same step.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.crashed += other.crashed;
        self.flaky.extend(other.flaky);
    }

    /// Runs one step and adds what it counted; a step that can't run has failed.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Self>) {
        println!("==> {name}");
        let begin = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Self { failed: 1, ..Self::default() }
        });
        let took = begin.elapsed();
        let Self { passed, failed, .. } = counts;
        println!("<== {name}: {passed} right, {failed} wrong, {:.0} s", took.as_secs_f64());
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
