//! A balancer's own entry in `status.traffic.balancers`, written by server-side apply with its own field manager.

use std::time::{Duration, Instant};

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};

use super::{metrics::AgentMetrics, pace::Pace};
use crate::{
    api_error::{message_of, result_of},
    field_managers,
};
use plimsoll_api::{BalancerStatus, Percent, ScalableService};

/// Timeout of a write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes the entry of one balancer.
#[derive(Clone)]
pub struct Reporter {
    api: Api<ScalableService>,
    namespace: String,
    service: String,
    manager: String,
}

impl Reporter {
    /// For the balancer in `pod`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, service: &str, pod: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            manager: field_managers::agent(pod),
        }
    }

    /// Keeps the entry up to date with `wanted` and `saturation`, and writes it again when `present` becomes false.
    pub async fn run(
        self,
        mut wanted: watch::Receiver<BalancerStatus>,
        mut saturation: watch::Receiver<Option<Percent>>,
        mut present: watch::Receiver<bool>,
        metrics: &AgentMetrics,
    ) {
        let mut pace = Pace::default();
        loop {
            let saturation_now = *saturation.borrow_and_update();
            let status = BalancerStatus { saturation: saturation_now, ..wanted.borrow_and_update().clone() };
            // Nothing is written before the pilot's first status: an entry needs the name of its pod.
            let due = if status.pod.is_empty() { None } else { pace.due(&status) };
            let wait = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(()) = saturation.changed() => continue,
                Ok(()) = present.changed() => {
                    if !*present.borrow_and_update() {
                        pace.lost();
                    }
                    continue;
                }
                () = wait => {}
            }
            let written = timeout(PATIENCE, self.write(&[&status])).await;
            match written {
                Ok(Ok(())) => {
                    metrics.reported("ok");
                    pace.wrote(status, Instant::now());
                }
                Ok(Err(error)) => {
                    metrics.reported(result_of(&error).into());
                    tracing::debug!(error = message_of(&error), "failed to write the entry in status");
                    pace.failed(Instant::now());
                }
                Err(_) => {
                    metrics.reported("timeout");
                    pace.failed(Instant::now());
                }
            }
        }
    }

    /// Removes the entry: this balancer ends.
    pub async fn withdraw(&self) {
        if !matches!(timeout(PATIENCE, self.write(&[])).await, Ok(Ok(()))) {
            tracing::debug!("failed to remove the entry in status; the controller removes it");
        }
    }

    async fn write(&self, entries: &[&BalancerStatus]) -> Result<(), kube::Error> {
        let status = if entries.is_empty() { json!({}) } else { json!({"traffic": {"balancers": entries}}) };
        let patch = json!({
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "ScalableService",
            "metadata": {"name": self.service, "namespace": self.namespace},
            "status": status,
        });
        let params = PatchParams::apply(&self.manager).force();
        self.api.patch_status(&self.service, &params, &Patch::Apply(patch)).await?;
        Ok(())
    }
}
