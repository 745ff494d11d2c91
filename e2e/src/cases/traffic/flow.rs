//! Open-loop load in both ways that clients connect, every request of it accounted.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::stage::{Load, Stage, Summary};

/// Requests on connections that are kept and, as many, on fresh ones.
pub struct Flow {
    kept: Load,
    fresh: Load,
}

pub struct Account {
    /// On connections that carry up to 1,000 requests.
    pub kept: Summary,
    /// On a connection for each request.
    pub fresh: Summary,
}

impl Flow {
    /// `rate` requests a second of each kind, for `seconds`; `more` are further flags of the load generator.
    pub fn start(stage: &Stage, url: &str, rate: u32, seconds: u32, more: &[&str]) -> Result<Self> {
        let shape = format!("{rate}@{seconds}s");
        let load = |each: &'static str| {
            let flags = [&["--timeout=15s", "--objective=2s", each], more].concat();
            Load::start(stage, url, &shape, &flags)
        };
        Ok(Self {
            kept: load("--requests-per-connection=1000")?,
            fresh: load("--requests-per-connection=1")?,
        })
    }

    /// The seconds so far in which a request was late or lost, counted from the begin.
    pub fn late(&self) -> Vec<f64> {
        let seconds = self.kept.seconds().into_iter().chain(self.fresh.seconds());
        seconds.filter(|second| second.late > 0).map(|second| second.t).collect()
    }

    pub fn finish(self, early: bool) -> Result<Account> {
        if early {
            self.fresh.end();
            self.kept.end();
        }
        Ok(Account { fresh: self.fresh.finish(false)?, kept: self.kept.finish(false)? })
    }
}

impl Account {
    pub fn sent(&self) -> u64 {
        self.kept.sent + self.fresh.sent
    }

    pub fn lost(&self) -> u64 {
        self.kept.lost() + self.fresh.lost()
    }

    pub fn ok(&self) -> u64 {
        self.kept.ok + self.fresh.ok
    }

    /// Those that took longer than the objective, or were not answered well.
    pub fn late(&self) -> u64 {
        self.kept.late + self.fresh.late
    }

    /// Of the worse of both kinds, in milliseconds.
    pub fn p99_ms(&self) -> f64 {
        self.worse(|summary| summary.p99) * 1e3
    }

    pub fn slowest_ms(&self) -> f64 {
        self.worse(|summary| summary.max) * 1e3
    }

    fn worse(&self, figure: impl Fn(&Summary) -> Option<f64>) -> f64 {
        [&self.kept, &self.fresh].into_iter().filter_map(figure).fold(0.0, f64::max)
    }

    /// Those that ended with one of these failures.
    pub fn failed(&self, failures: &[&str]) -> u64 {
        let both = self.kept.failures.iter().chain(&self.fresh.failures);
        both.filter(|(failure, _)| failures.contains(&failure.as_str())).map(|(_, count)| count).sum()
    }

    /// When the last of those that were lost ended, in seconds since 1970.
    pub fn last_bad(&self) -> Option<f64> {
        [self.kept.last_bad, self.fresh.last_bad].into_iter().flatten().reduce(f64::max)
    }

    pub fn none_lost(&self, when: &str) -> Result<()> {
        ensure!(self.lost() == 0, "{when}: lost {}", self.why());
        Ok(())
    }

    /// Something must be lost, or the harness is blind.
    pub fn some_lost(&self, when: &str) -> Result<()> {
        ensure!(self.lost() > 0, "{when}: none of {} requests was lost, so loss is not seen", self.sent());
        Ok(())
    }

    /// As in `3 of 500 (kept: closed 2; fresh: 503 1)`.
    pub fn why(&self) -> String {
        let (kept, fresh) = (why(&self.kept), why(&self.fresh));
        format!("{} of {} (kept: {kept}; fresh: {fresh})", self.lost(), self.sent())
    }
}

/// What the lost requests ended with, as in `closed 2, 503 1`.
pub fn why(account: &Summary) -> String {
    let codes = account.codes.iter().filter(|(code, _)| **code >= 400);
    let mut reasons: BTreeMap<String, u64> = codes.map(|(code, count)| (code.to_string(), *count)).collect();
    reasons.extend(account.failures.clone());
    let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
}
