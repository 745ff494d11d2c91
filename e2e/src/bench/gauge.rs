//! A gauge that steps when it is told to: the jobs of the shop's queue, which nobody works off.

use std::{
    cell::Cell,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::wait_for,
    stage::{Prometheus, Stage, queue},
};

/// Name of the queue, its Service and its label `app`.
const NAME: &str = "gauge";
/// How often Prometheus is asked whether a sample is there.
const POLL: Duration = Duration::from_millis(20);
/// A sample takes one scrape interval at the most; this is patience with a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gauge, scraped by Prometheus.
pub struct Gauge {
    namespace: String,
    queue: String,
    agent: ureq::Agent,
    prometheus: Prometheus,
    value: Cell<i64>,
}

impl Gauge {
    /// Deploys it and waits until Prometheus knows its value.
    pub fn deploy(stage: &Stage, namespace: &str, value: i64) -> Result<Self> {
        stage.cluster.apply(&queue(namespace, NAME, &stage.built.shop_image))?;
        let rollout = format!("deployment/{NAME}");
        stage.cluster.kubectl(&["--namespace", namespace, "rollout", "status", &rollout, "--timeout=90s"])?;
        let output = "--output=jsonpath=http://{.spec.clusterIP}:{.spec.ports[0].port}";
        let gauge = Self {
            namespace: namespace.to_owned(),
            queue: stage.cluster.kubectl(&["--namespace", namespace, "get", "service", NAME, output])?,
            agent: ureq::Agent::new_with_defaults(),
            prometheus: Prometheus::of(stage)?,
            value: Cell::new(0),
        };
        if value > 0 {
            gauge.raise_to(value)?;
        }
        wait_for("the gauge in Prometheus", PATIENCE, || Ok(gauge.sample()? == Some(value as f64)))?;
        Ok(gauge)
    }

    /// PromQL for its value; another `number` is another question about the same.
    pub fn query(&self, number: usize) -> String {
        format!(r#"max(shop_queue_jobs{{namespace="{}", app="{NAME}", pod!="{number}"}})"#, self.namespace)
    }

    /// What it stands at.
    pub fn value(&self) -> i64 {
        self.value.get()
    }

    /// Raises it.
    pub fn raise_to(&self, value: i64) -> Result<()> {
        let more = value - self.value.get();
        let url = format!("{}/jobs?n={more}", self.queue);
        self.agent.post(&url).send_empty().with_context(|| url.clone())?;
        self.value.set(value);
        Ok(())
    }

    /// Waits until Prometheus answers with the present value.
    ///
    /// Returns when it was last asked in vain: the sample became visible at most one poll later, so that times
    /// that count from here are never too short.
    pub fn visible(&self) -> Result<Instant> {
        let begin = Instant::now();
        let mut in_vain = begin;
        loop {
            let asked = Instant::now();
            if self.sample()? == Some(self.value() as f64) {
                return Ok(in_vain);
            }
            in_vain = asked;
            if begin.elapsed() > PATIENCE {
                bail!(
                    "Prometheus does not know after {} s that the gauge is {}",
                    PATIENCE.as_secs(),
                    self.value()
                );
            }
            sleep(POLL.saturating_sub(asked.elapsed()));
        }
    }

    fn sample(&self) -> Result<Option<f64>> {
        self.prometheus.ask(&self.query(0))
    }
}
