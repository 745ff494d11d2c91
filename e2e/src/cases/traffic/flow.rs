//! Open-loop load on kept and on fresh connections; every request is accounted for.

use crate::{
    prelude::*,
    stage::{Load, Stage, Summary},
};
use std::ops::Deref;

pub struct Flow {
    kept: Load,
    fresh: Load,
}

/// Results of a flow, in total and for each kind of connection.
pub struct Account {
    all: Summary,
    /// Results on connections that carry up to 1,000 requests.
    pub kept: Summary,
    pub fresh: Summary,
}

impl Deref for Account {
    type Target = Summary;

    fn deref(&self) -> &Summary {
        &self.all
    }
}

impl Flow {
    /// Sends `rate` requests a second of each kind, for `seconds`; `more` are further flags of the load generator.
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

    /// The seconds so far with a late or lost request, counted from the begin.
    pub fn late(&self) -> Vec<f64> {
        let seconds = self.kept.seconds().into_iter().chain(self.fresh.seconds());
        seconds.filter(|second| second.late > 0).map(|second| second.t).collect()
    }

    pub fn finish(self, early: bool) -> Result<Account> {
        if early {
            self.fresh.end();
            self.kept.end();
        }
        let (fresh, kept) = (self.fresh.finish(false)?, self.kept.finish(false)?);
        Ok(Account { all: Summary::of(&[&kept, &fresh]), kept, fresh })
    }
}

impl Account {
    pub fn none_lost(&self, when: &str) -> Result<()> {
        ensure!(self.lost() == 0, "{when}: lost {}", self.why());
        Ok(())
    }

    /// A control must lose requests; otherwise "none lost" proves nothing.
    pub fn some_lost(&self, when: &str) -> Result<()> {
        ensure!(self.lost() > 0, "{when}: none of {} requests was lost, so nothing is proven", self.sent);
        Ok(())
    }

    /// As in `3 of 500 (kept: closed 2; fresh: 503 1)`.
    pub fn why(&self) -> String {
        let (kept, fresh) = (why(&self.kept), why(&self.fresh));
        format!("{} of {} (kept: {kept}; fresh: {fresh})", self.lost(), self.sent)
    }
}

pub fn why(account: &Summary) -> String {
    let codes = account.codes.iter().filter(|(code, _)| **code >= 400);
    let mut reasons: BTreeMap<String, u64> = codes.map(|(code, count)| (code.to_string(), *count)).collect();
    reasons.extend(account.failures.clone());
    let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
}
