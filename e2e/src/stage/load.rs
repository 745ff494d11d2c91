//! The load generator as a child process: it reports each second, and a summary at the end.

use super::Stage;
use crate::prelude::*;
use serde::Deserialize;
use std::{
    io::{BufRead, BufReader},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

/// Results of one second. As in [`Summary`], times are in seconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    pub t: f64,
    pub offered: f64,
    pub sent: u64,
    pub http_errors: u64,
    pub transport_errors: u64,
    /// Requests slower than the objective, or without a successful response.
    pub late: u64,
    /// Unix time of the end of this second's first successful response.
    pub first_ok: Option<f64>,
    pub p99: Option<f64>,
}

impl Second {
    pub fn lost(&self) -> u64 {
        self.http_errors + self.transport_errors
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub codes: BTreeMap<u16, u64>,
    /// Number of requests without an answer, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Unix time of the end of the first successful response.
    pub first_ok: Option<f64>,
    /// Unix time of the end of the last request without a successful response.
    pub last_bad: Option<f64>,
    pub connections: u64,
    pub sent: u64,
    pub ok: u64,
    pub http_errors: u64,
    pub transport_errors: u64,
    /// Requests slower than the objective, or without a successful response.
    pub late: u64,
    pub p99: Option<f64>,
    pub max: Option<f64>,
    /// Longest delay between the due time of a request and its start: the lag of this machine, which is part of every
    /// latency.
    pub max_lag_seconds: f64,
}

impl Summary {
    /// Combines parallel runs: sums, and the worst times.
    pub fn of(runs: &[&Self]) -> Self {
        let mut all = Self::default();
        for run in runs {
            run.codes.iter().for_each(|(code, count)| *all.codes.entry(*code).or_default() += count);
            run.failures
                .iter()
                .for_each(|(why, count)| *all.failures.entry(why.clone()).or_default() += count);
            all.connections += run.connections;
            all.sent += run.sent;
            all.ok += run.ok;
            all.http_errors += run.http_errors;
            all.transport_errors += run.transport_errors;
            all.late += run.late;
        }
        let worst =
            |figure: fn(&Self) -> Option<f64>| runs.iter().filter_map(|run| figure(run)).reduce(f64::max);
        let (last_bad, p99, max) = (worst(|run| run.last_bad), worst(|run| run.p99), worst(|run| run.max));
        Self { last_bad, p99, max, ..all }
    }

    pub fn lost(&self) -> u64 {
        self.http_errors + self.transport_errors
    }

    pub fn p99_ms(&self) -> f64 {
        self.p99.unwrap_or_default() * 1e3
    }

    pub fn slowest_ms(&self) -> f64 {
        self.max.unwrap_or_default() * 1e3
    }

    pub fn failed(&self, failures: &[&str]) -> u64 {
        failures.iter().filter_map(|failure| self.failures.get(*failure)).sum()
    }
}

#[derive(Deserialize)]
struct Last {
    summary: Summary,
}

pub struct Load {
    child: Child,
    seconds: Arc<Mutex<Vec<Second>>>,
    reader: Option<JoinHandle<Result<Option<Summary>>>>,
}

impl Load {
    /// Sends requests to `url` at the rates of `shape`; `more` are further flags of `plimsoll-shop load`.
    pub fn start(stage: &Stage, url: &str, shape: &str, more: &[&str]) -> Result<Self> {
        let mut command = Command::new(&stage.built.shop);
        command.args(["load", "--target", url, "--shape", shape]).args(more);
        Self::of(command)
    }

    pub fn of(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the load generator")?;
        let output = child.stdout.take().context("the load generator has no output")?;
        let seconds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&seconds);
        let reader = std::thread::spawn(move || {
            let mut summary = None;
            for line in BufReader::new(output).lines() {
                let line = line?;
                if let Ok(last) = serde_json::from_str::<Last>(&line) {
                    summary = Some(last.summary);
                } else {
                    let second =
                        serde_json::from_str(&line).with_context(|| format!("not a report line: {line}"))?;
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(second);
                }
            }
            Ok(summary)
        });
        Ok(Self { child, seconds, reader: Some(reader) })
    }

    pub fn seconds(&self) -> Vec<Second> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Ends the load early; requests in flight are still awaited.
    pub fn end(&self) {
        crate::process::signal_process(self.child.id(), rustix::process::Signal::TERM);
    }

    /// Ends the load early or waits for its end, and returns its summary. Every request must be accounted for.
    pub fn finish(self, early: bool) -> Result<Summary> {
        self.finish_by_second(early).map(|(summary, _)| summary)
    }

    pub fn finish_by_second(mut self, early: bool) -> Result<(Summary, Vec<Second>)> {
        if early {
            self.end();
        }
        self.child.wait()?;
        let reader = self.reader.take().context("the load generator's output was already read")?;
        let summary = reader.join().map_err(|_| anyhow!("reading the load generator's output failed"))??;
        let summary = summary.context("the load generator ended without a summary")?;
        let Summary { sent, ok, http_errors, transport_errors, .. } = summary;
        let all = ok + http_errors + transport_errors;
        ensure!(
            sent == all,
            "of {sent} requests only {ok} + {http_errors} + {transport_errors} are accounted for"
        );
        let seconds = self.seconds();
        Ok((summary, seconds))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A failed test must not leave its load running.
        let _may_have_ended = self.child.kill();
        let _may_have_ended = self.child.wait();
    }
}
