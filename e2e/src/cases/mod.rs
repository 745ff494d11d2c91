//! What is proven on the real cluster, case by case. Each case says what must be, and what was seen.

mod life;
mod outage;
mod scaling;
mod scene;
mod traffic;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use crate::{
    cluster::Options,
    stage::{FaultProxy, Install, Stage},
};

/// One thing that is proven.
pub struct Case {
    /// Name for `cargo xtask e2e NAME`: a group and a word, as in `outage-empty`.
    pub name: &'static str,
    /// What must be.
    pub must: &'static str,
    /// Proves it; says in a few words what was seen.
    pub run: fn(&Theatre) -> Result<String>,
}

/// What every case can use.
pub struct Theatre {
    /// The cluster with Plimsoll in it.
    pub stage: Stage,
    /// What stands between Plimsoll and Prometheus.
    pub prometheus: FaultProxy,
}

/// Every case, in the order in which they run.
fn all() -> Vec<&'static Case> {
    let groups: &[&[Case]] = &[scaling::CASES, life::CASES, traffic::CASES, outage::CASES];
    groups.iter().flat_map(|group| group.iter()).collect()
}

/// How a case ended.
struct Ended {
    case: &'static Case,
    took: Duration,
    seen: Result<String>,
}

/// How many cases passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Cases that held.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
}

/// Cases that did not hold on every run so far: they run when they are named, and a run of all says that they are left out.
const UNSETTLED: &[&str] = &["outage-skew", "outage-half-scraped", "outage-scrape"];

/// Runs the cases whose name begins with `wanted` (without one, all that are settled), and prints their table.
pub fn run(wanted: Option<&str>) -> Result<Counts> {
    let chosen = |case: &&Case| match wanted {
        Some(wanted) => case.name.starts_with(wanted),
        None => !UNSETTLED.contains(&case.name),
    };
    let wanted = wanted.unwrap_or_default();
    let cases: Vec<_> = all().into_iter().filter(chosen).collect();
    if cases.is_empty() {
        let names: Vec<_> = all().iter().map(|case| case.name).collect();
        bail!("no case is named {wanted:?}; there are {}", names.join(", "));
    }
    let theatre = Theatre::open()?;
    let ended: Vec<_> = cases.into_iter().map(|case| perform(case, &theatre)).collect();
    println!();
    println!("{:<26} {:>6}  {:<6} seen", "case", "time", "");
    for end in &ended {
        let (verdict, seen) = match &end.seen {
            Ok(seen) => ("ok", seen.clone()),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        println!(
            "{:<26} {:>5.0}s  {verdict:<6} must: {}",
            end.case.name,
            end.took.as_secs_f64(),
            end.case.must
        );
        println!("{:<41} seen: {}", "", seen.replace('\n', " "));
    }
    if wanted.is_empty() {
        println!("left out, since they did not hold on every run: {}", UNSETTLED.join(", "));
    }
    let failed = ended.iter().filter(|end| end.seen.is_err()).count();
    let counts = Counts { passed: ended.len() - failed, failed };
    let names: Vec<_> = ended.iter().filter(|end| end.seen.is_err()).map(|end| end.case.name).collect();
    println!("{}", json!({"e2e": {"passed": counts.passed, "failed": counts.failed, "failures": names}}));
    Ok(counts)
}

fn perform(case: &'static Case, theatre: &Theatre) -> Ended {
    println!("{} …", case.name);
    let begin = Instant::now();
    let seen = catch_unwind(AssertUnwindSafe(|| (case.run)(theatre)))
        .unwrap_or_else(|_| Err(anyhow!("it panicked")));
    let end = Ended { case, took: begin.elapsed(), seen };
    match &end.seen {
        Ok(seen) => println!("{} ok in {:.0} s: {seen}", case.name, end.took.as_secs_f64()),
        Err(error) => println!("{} FAILED after {:.0} s: {error:#}", case.name, end.took.as_secs_f64()),
    }
    end
}

impl Theatre {
    /// Two nodes, Plimsoll behind the fault proxy with samples that grow stale after 5 s.
    fn open() -> Result<Self> {
        let options = Options { nodes: 2, ..Options::default() };
        let install = Install { prometheus: FaultProxy::URL.into(), stale_after: 5, ..Install::default() };
        let stage = Stage::set(&options, &install)?;
        let prometheus = FaultProxy::deploy(&stage)?;
        Ok(Self { stage, prometheus })
    }
}
