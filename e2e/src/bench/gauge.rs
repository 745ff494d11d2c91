//! A gauge that steps on demand, and the time when Prometheus has the new value.

use super::system::{Rule, System, unschedulable};
use crate::{
    prelude::*,
    stage::{Dial, Prometheus, Stage},
};
use std::cell::Cell;

const POLL: Duration = Duration::from_millis(20);
/// A sample takes at most one scrape interval; this leaves time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Gauge {
    namespace: &'static str,
    dial: Dial,
    prometheus: Prometheus,
    value: Cell<i64>,
}

impl Gauge {
    pub fn deploy(stage: &Stage, namespace: &'static str, value: i64) -> Result<Self> {
        let (dial, prometheus) = (Dial::deploy(stage, namespace)?, Prometheus::of(stage)?);
        let gauge = Self { namespace, dial, prometheus, value: Cell::new(0) };
        gauge.raise_to(value)?;
        wait_for("the gauge in Prometheus", PATIENCE, || Ok(gauge.sample()? == Some(value as f64)))?;
        Ok(gauge)
    }

    /// PromQL for the gauge's value; each `number` gives another query with the same result.
    pub fn query(&self, number: usize) -> String {
        format!(r#"max(shop_queue_jobs{{namespace="{}", app="dial", pod!="{number}"}})"#, self.namespace)
    }

    /// A Deployment that a system scales to the gauge's value.
    pub fn follower(&self, system: System, name: &str, number: usize) -> String {
        let (namespace, query) = (self.namespace, self.query(number));
        let rule = Rule { namespace, name, query: &query, per_replica: "1", min: 1, max: 1_000 };
        unschedulable(namespace, name, 1) + &system.manifest(&rule)
    }

    pub fn value(&self) -> i64 {
        self.value.get()
    }

    pub fn raise_to(&self, value: i64) -> Result<()> {
        self.dial.set(value.unsigned_abs())?;
        self.value.set(value);
        Ok(())
    }

    /// Waits until Prometheus answers with the present value.
    ///
    /// Returns the time of the last query without it: the sample became visible at most one poll later, so that times
    /// measured from here are never too short.
    pub fn visible(&self) -> Result<Instant> {
        let begin = Instant::now();
        let mut last_miss = begin;
        loop {
            let asked = Instant::now();
            if self.sample()? == Some(self.value() as f64) {
                return Ok(last_miss);
            }
            last_miss = asked;
            let left = PATIENCE.checked_sub(begin.elapsed());
            ensure!(
                left.is_some(),
                "after {PATIENCE:?} Prometheus does not return the gauge's value {}",
                self.value()
            );
            sleep(POLL.saturating_sub(asked.elapsed()));
        }
    }

    fn sample(&self) -> Result<Option<f64>> {
        self.prometheus.ask(&self.query(0))
    }
}
