//! A load that the test sets.

use super::{Stage, queue, service_url};
use crate::prelude::*;

/// A load with a fixed value: a queue whose length the test sets, scraped like any other.
pub struct Dial {
    url: String,
}

impl Dial {
    pub fn query(namespace: &str) -> String {
        format!(r#"sum(shop_queue_jobs{{namespace="{namespace}", app="dial"}})"#)
    }

    pub fn deploy(stage: &Stage, namespace: &str) -> Result<Self> {
        stage.cluster.apply(&queue(namespace, "dial", &stage.built.shop_image))?;
        stage.cluster.rolled_out(namespace, "dial", Duration::from_secs(60))?;
        let dial = Self { url: service_url(stage, namespace, "dial", 8080)? };
        // kube-proxy learns of a Service by its own watch, and another Service may have had this address before.
        wait_for("the dial", Duration::from_secs(10), || dial.call("GET", "/", "").map(|_| true))?;
        Ok(dial)
    }

    pub fn set(&self, jobs: u64) -> Result<()> {
        let waiting = self.call("GET", "/", "")?;
        let now = waiting.get("waiting").and_then(Value::as_u64).context("the dial reports no load")?;
        if jobs > now {
            self.call("POST", &format!("/jobs?n={}", jobs - now), "")?;
        } else if jobs < now {
            let taken = self.call("POST", &format!("/take?max={}", now - jobs), "")?;
            self.call("POST", "/done", &taken.to_string())?;
        }
        Ok(())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let answer = if method == "GET" { ureq::get(&url).call() } else { ureq::post(&url).send(body) };
        let text = answer.with_context(|| url.clone())?.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("{url} answered {text}"))
    }
}
