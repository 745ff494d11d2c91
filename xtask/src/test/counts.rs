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

    /// Both together, as one step.
    pub fn and(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.crashed += other.crashed;
        self.flaky.extend(other.flaky);
        self
    }

    /// Runs one step and adds what it counted; a step that can't run has failed.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Self>) {
        println!("==> {name}");
        let begin = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Self { failed: 1, ..Self::default() }
        });
        let (took, Self { passed, failed, flaky, .. }) = (begin.elapsed(), counts);
        self.passed += passed;
        self.failed += failed;
        self.flaky.extend(flaky);
        println!("<== {name}: {passed} right, {failed} wrong, {:.0} s", took.as_secs_f64());
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
