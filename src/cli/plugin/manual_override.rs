//! What a person says of a failover: annotations of the ScalableService, which the controller follows.

use std::time::Duration;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{
    args::{Freeze, MoveTo, Unfreeze},
    connect::Cluster,
    failure::Failure,
};
use crate::cli::read::Listed;
use plimsoll_api::{FAILOVER_TO_ANNOTATION, FREEZE_ANNOTATION, Mode, PRIMARY, ScalableService};

/// The controller notices that an order is withdrawn within this time, if it runs.
const WITHDRAWN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// All requests go to a backend.
pub async fn move_to(cluster: &Cluster, wanted: &MoveTo) -> Result<String, Failure> {
    let (name, to) = (&wanted.name, &wanted.to);
    let service = with_failover(cluster, name).await?;
    let standbys = service.spec.failover.iter().flat_map(|failover| &failover.backends);
    let known: Vec<&str> =
        std::iter::once(PRIMARY).chain(standbys.map(|standby| standby.name.as_str())).collect();
    if !known.contains(&to.as_str()) {
        let why = format!("--to is {to}; {name} has the backends {}", known.join(", "));
        return Err(Failure::ManualOverride(why));
    }
    if service.spec.mode != Mode::Auto {
        let mode = service.spec.mode;
        let why = format!("spec.mode of {name} is {mode:?}, in which nothing is moved; it has to be Auto");
        return Err(Failure::ManualOverride(why));
    }
    if acknowledged_override(&service) == Some(to) {
        // An order that was carried out is a new one only once the controller has seen it withdrawn.
        cluster.annotate(name, json!({FAILOVER_TO_ANNOTATION: null})).await?;
        forgotten(cluster, name).await?;
    }
    cluster.annotate(name, json!({FAILOVER_TO_ANNOTATION: to, FREEZE_ANNOTATION: null})).await?;
    let then = if to == PRIMARY {
        "once they are there, the evidence decides again".to_owned()
    } else {
        format!(
            "they stay there until `kubectl plimsoll failover {name} --to {PRIMARY}` or `kubectl plimsoll unfreeze {name}`"
        )
    };
    Ok(format!("{name}: requests move to {to} as fast as it can take them; {then}\n"))
}

/// Nothing is moved any more.
pub async fn freeze(cluster: &Cluster, wanted: &Freeze) -> Result<String, Failure> {
    let name = &wanted.name;
    with_failover(cluster, name).await?;
    cluster.annotate(name, json!({FREEZE_ANNOTATION: wanted.reason})).await?;
    Ok(format!("{name}: requests stay where they are until `kubectl plimsoll unfreeze {name}`\n"))
}

/// The evidence decides again.
pub async fn unfreeze(cluster: &Cluster, wanted: &Unfreeze) -> Result<String, Failure> {
    let name = &wanted.name;
    with_failover(cluster, name).await?;
    let none: Value = json!({FREEZE_ANNOTATION: null, FAILOVER_TO_ANNOTATION: null});
    cluster.annotate(name, none).await?;
    Ok(format!("{name}: the evidence decides where requests go\n"))
}

async fn with_failover(cluster: &Cluster, name: &str) -> Result<ScalableService, Failure> {
    let service = read(&cluster.get(name).await?)?;
    match service.spec.failover {
        Some(_) => Ok(service),
        None => {
            Err(Failure::ManualOverride(format!("{name} has no spec.failover, so there is nothing to move")))
        }
    }
}

async fn forgotten(cluster: &Cluster, name: &str) -> Result<(), Failure> {
    let until = tokio::time::Instant::now() + WITHDRAWN;
    while acknowledged_override(&read(&cluster.get(name).await?)?).is_some() {
        if tokio::time::Instant::now() > until {
            let why = format!(
                "{name}: the controller did not answer within {} s; see whether it runs",
                WITHDRAWN.as_secs()
            );
            return Err(Failure::ManualOverride(why));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn acknowledged_override(service: &ScalableService) -> Option<&String> {
    service.status.as_ref()?.failover.as_ref()?.acknowledged_override.as_ref()
}

fn read(object: &DynamicObject) -> Result<ScalableService, Failure> {
    match Listed::read(object) {
        Listed::Service { service, .. } => Ok(*service),
        Listed::Unreadable { name, why, .. } => {
            Err(Failure::ManualOverride(format!("{name} is not understood: {why}")))
        }
    }
}
