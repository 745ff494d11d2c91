//! End-to-end cases on the real cluster. Each case states what must hold, and reports what was observed.

mod broken;
mod failover;
mod lanes;
mod life;
mod outage;
mod pods;
mod prelude;
mod recovery;
mod repeat;
mod scaling;
mod test_namespace;
mod traffic;

use crate::{
    cluster::Options,
    prelude::*,
    stage::{FaultProxy, Install, Profile, Stage},
};
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

pub use lanes::Lane;
pub use repeat::{Repeated, repeat};

pub struct Case {
    /// Name for `cargo xtask e2e NAME`: a group and a word, as in `outage-scrape`.
    pub name: &'static str,
    pub must: &'static str,
    pub lane: Lane,
    /// Runs the case and returns a short summary of what was observed.
    pub run: fn(&Fixture) -> Result<String>,
}

pub struct Fixture {
    pub stage: Stage,
    /// Proxy between Plimsoll's source [`FaultProxy::SOURCE`] and Prometheus.
    pub prometheus: FaultProxy,
    /// Shared by the cases `outage-*`; the first one sets it up.
    outage: Mutex<Option<outage::Outage>>,
}

thread_local! {
    /// Output of `kubectl plimsoll explain` in the case that this thread runs.
    static EXPLAINED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Every case, in the order of its lane; `long-*` run only by name.
fn all() -> Vec<&'static Case> {
    let groups: &[&[Case]] = &[
        scaling::CASES,
        life::CASES,
        traffic::CASES,
        failover::CASES,
        recovery::CASES,
        outage::CASES,
        traffic::LONG,
        failover::LONG,
    ];
    groups.iter().flat_map(|group| group.iter()).collect()
}

struct Ended {
    case: &'static Case,
    took: Duration,
    seen: Result<String>,
    first: Option<anyhow::Error>,
    figures: Vec<(&'static str, f64)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    /// Passed cases that needed the second try.
    pub flaky: Vec<&'static str>,
}

/// Status follows the replicas within this time.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(5);

/// Runs the cases whose name begins with `wanted` (without it, all but the long ones), and prints a table of results.
///
/// A full run repeats the failed cases at its end: on a busy machine a case may miss a deadline through no fault of
/// Plimsoll. A case that passes then counts as passed; both results are printed.
pub fn run(wanted: Option<&str>) -> Result<Counts> {
    let named = |case: &&Case| case.name.starts_with(wanted.unwrap_or_default());
    let long = |case: &&Case| wanted.is_none() && case.name.starts_with("long-");
    let cases: Vec<_> = all().into_iter().filter(named).filter(|case| !long(case)).collect();
    if cases.is_empty() {
        let names: Vec<_> = all().iter().map(|case| case.name).collect();
        bail!("no case name begins with {:?}; known are {}", wanted.unwrap_or_default(), names.join(", "));
    }
    let fixture = Fixture::open(Profile::Suite)?;
    let mut ended: Vec<_> = lanes::play(&cases, &fixture);
    if wanted.is_none() {
        ended.iter_mut().filter(|end| end.seen.is_err()).for_each(|end| end.again(&fixture));
    }
    println!();
    println!("{:<26} {:>6}  {:<6} seen", "case", "time", "");
    ended.iter().for_each(Ended::print);
    let names = |is: fn(&Ended) -> bool| -> Vec<_> {
        ended.iter().filter(|end| is(end)).map(|end| end.case.name).collect()
    };
    let (failures, flaky) =
        (names(|end| end.seen.is_err()), names(|end| end.seen.is_ok() && end.first.is_some()));
    let counts = Counts { passed: ended.len() - failures.len(), failed: failures.len(), flaky };
    println!(
        "{}",
        json!({"e2e": {"passed": counts.passed, "failed": counts.failed, "failures": failures, "flaky": counts.flaky}})
    );
    Ok(counts)
}

impl Ended {
    fn again(&mut self, fixture: &Fixture) {
        let again = perform(self.case, fixture);
        let first = std::mem::replace(self, again);
        self.took += first.took;
        self.first = first.seen.err();
    }

    fn print(&self) {
        let print_line = |verdict: &str, seen: &str| {
            println!("{:<41} {verdict}: {}", "", seen.replace('\n', " "));
        };
        let (verdict, seen) = match &self.seen {
            Ok(seen) if self.first.is_some() => ("2nd try", seen.clone()),
            Ok(seen) => ("ok", seen.clone()),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        println!(
            "{:<26} {:>5.0}s  {verdict:<7} must: {}",
            self.case.name,
            self.took.as_secs_f64(),
            self.case.must
        );
        print_line(" seen", &seen);
        if let Some(first) = &self.first {
            print_line("first", &format!("{first:#}"));
        }
    }
}

fn perform(case: &'static Case, fixture: &Fixture) -> Ended {
    println!("{} …", case.name);
    let begin = Instant::now();
    let seen = catch_unwind(AssertUnwindSafe(|| {
        // The previous case may have stopped a node or the API server.
        if case.lane == Lane::Alone {
            fixture.stage.cluster.wait_for_nodes()?;
        }
        (case.run)(fixture)
    }))
    .unwrap_or_else(|_| Err(anyhow!("the case panicked")));
    let explained = EXPLAINED.take();
    explained.iter().flat_map(|text| text.lines()).for_each(|line| println!("    | {line}"));
    let silent = explained.is_empty();
    let figures = repeat::take();
    let seen = seen.and_then(|seen| {
        ensure!(!silent, "the case does not call `kubectl plimsoll explain` at its decisive moment");
        Ok(std::iter::once(seen)
            .chain(figures.iter().map(repeat::figure_text))
            .collect::<Vec<_>>()
            .join("; "))
    });
    let end = Ended { case, took: begin.elapsed(), seen, first: None, figures };
    match &end.seen {
        Ok(seen) => println!("{} ok in {:.0} s: {seen}", case.name, end.took.as_secs_f64()),
        Err(error) => println!("{} FAILED after {:.0} s: {error:#}", case.name, end.took.as_secs_f64()),
    }
    end
}

/// The installed release: samples are stale after 5 s, and a second source of the same Prometheus can be made unreachable.
/// Cases that change the release restore it.
fn install() -> Install {
    let mut install = Install { stale_after: 5, ..Install::default() };
    install.sources.push((FaultProxy::SOURCE, FaultProxy::URL));
    install
}

impl Fixture {
    fn open(profile: Profile) -> Result<Self> {
        let options = Options { nodes: 2, ..Options::default() };
        let stage = Stage::set(&options, &install(), profile)?;
        let prometheus = FaultProxy::deploy(&stage)?;
        Ok(Self { stage, prometheus, outage: Mutex::new(None) })
    }

    /// Records the output of `kubectl plimsoll explain` at the decisive moment of a case, for the reader of the run. It must
    /// have the number of replicas and all of `words`, such as the KPI, the limit, what is missing.
    pub fn explain(&self, namespace: &str, name: &str, words: &[&str]) -> Result<()> {
        let mut text = String::new();
        wait_for(&format!("`kubectl plimsoll explain {name}`"), EXPLAINED_WITHIN, || {
            let object = self.stage.cluster.get(namespace, "scalableservice", name)?;
            let replicas = object.pointer("/status/replicas");
            let number =
                replicas.map(|replicas| format!("{name} has {replicas} replica")).unwrap_or_default();
            text = self.stage.plugin(namespace, &["explain", name])?;
            let missing = [number.as_str()].iter().chain(words).find(|word| !text.contains(**word)).copied();
            ensure!(missing.is_none(), "{missing:?} is missing in the output: {text}");
            Ok(true)
        })?;
        EXPLAINED.with_borrow_mut(|explained| explained.push(text));
        Ok(())
    }
}
