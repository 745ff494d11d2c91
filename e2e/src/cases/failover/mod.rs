//! That requests move to a standby when the primary fails, and come back; that they stay where they are otherwise.

mod flap;
mod standby;

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{
    Case,
    scene::{Dial, Scene, Sight, Trail},
};
use crate::stage::Shop;

/// The cases `failover-*`.
pub const CASES: &[Case] = &[
    Case {
        name: "failover-standby",
        must: "a primary that degrades: its standby is scaled up first, and gets what it can take; Prometheus out: no \
               return; then all pods die: on the standby within 2 s of the evidence, nothing lost after it",
        run: standby::run,
    },
    Case {
        name: "failover-flap",
        must: "a primary that flaps every 20 s: at most 3 switches, then held on the standby, with the event",
        run: flap::run,
    },
];

/// Deployment, Service and ScalableService of the standby.
const SPARE: &str = "spare";

/// A standby in a namespace of its own, with one replica that has nothing to do, and up to ten. It may be the standby of
/// the shop in `primary`, whose dial is as good as any to be told that there is no load.
fn spare<'a>(scene: &Scene<'a>, primary: &str) -> Result<Trail> {
    let namespace = scene.namespace;
    let shop = Shop {
        namespace,
        name: SPARE,
        replicas: 1,
        workers: 4,
        service_time: "20ms",
        startup: "0s",
        more: &["--drain-delay=3s"],
    };
    shop.deploy(scene.stage)?;
    let query = Dial::query(primary);
    scene.apply(&format!(
        r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {SPARE}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {SPARE}}}
  minReplicas: 1
  maxReplicas: 10
  period: 1s
  kpis:
  - {{name: idle, type: Load, query: '0 * {query}', perReplica: "10"}}
  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
  standbyFor: [{{namespace: {primary}, name: shop}}]
"#
    ))?;
    scene.wait_ready(SPARE, Duration::from_secs(20))?;
    scene.follow("deployment", SPARE)
}

/// The share of the requests that the standby gets, as the status says.
fn weight(sight: &Sight) -> i64 {
    sight.number("/status/failover/backends/0/weight")
}

/// Where the failover stands, as the status says.
fn state(sight: &Sight) -> &str {
    sight.text("/status/failover/state")
}

/// The switches within the hour, as the status says.
fn switches(sight: &Sight) -> usize {
    sight.object.pointer("/status/failover/switches").and_then(Value::as_array).map_or(0, Vec::len)
}
