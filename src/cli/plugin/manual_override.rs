//! Manual overrides of a failover: annotations of the ScalableService that the controller follows.

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

/// A running controller notices within this time that an override was removed.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// Sends all requests to a backend.
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
        let why = format!("spec.mode of {name} is {mode:?}; it must be Auto for a failover");
        return Err(Failure::ManualOverride(why));
    }
    if acknowledged_override(&service) == Some(to) {
        // The same override takes effect again only after the controller has noticed its removal.
        cluster.annotate(name, json!({FAILOVER_TO_ANNOTATION: null})).await?;
        await_removal(cluster, name).await?;
    }
    cluster.annotate(name, json!({FAILOVER_TO_ANNOTATION: to, FREEZE_ANNOTATION: null})).await?;
    let then = if to == PRIMARY {
        "once they are there, failover is automatic again".to_owned()
    } else {
        format!(
            "they stay there until `kubectl plimsoll failover {name} --to {PRIMARY}` or `kubectl plimsoll unfreeze {name}`"
        )
    };
    Ok(format!("{name}: requests move to {to} as fast as it can take them; {then}\n"))
}

/// Stops all switches.
pub async fn freeze(cluster: &Cluster, wanted: &Freeze) -> Result<String, Failure> {
    let name = &wanted.name;
    with_failover(cluster, name).await?;
    cluster.annotate(name, json!({FREEZE_ANNOTATION: wanted.reason})).await?;
    Ok(format!("{name}: requests stay where they are until `kubectl plimsoll unfreeze {name}`\n"))
}

/// Removes the freeze and the override.
pub async fn unfreeze(cluster: &Cluster, wanted: &Unfreeze) -> Result<String, Failure> {
    let name = &wanted.name;
    with_failover(cluster, name).await?;
    let none: Value = json!({FREEZE_ANNOTATION: null, FAILOVER_TO_ANNOTATION: null});
    cluster.annotate(name, none).await?;
    Ok(format!("{name}: failover is automatic again\n"))
}

async fn with_failover(cluster: &Cluster, name: &str) -> Result<ScalableService, Failure> {
    let service = read(&cluster.get(name).await?)?;
    match service.spec.failover {
        Some(_) => Ok(service),
        None => Err(Failure::ManualOverride(format!("{name} has no spec.failover, so it has no standby"))),
    }
}

async fn await_removal(cluster: &Cluster, name: &str) -> Result<(), Failure> {
    let until = tokio::time::Instant::now() + REMOVAL_TIMEOUT;
    while acknowledged_override(&read(&cluster.get(name).await?)?).is_some() {
        if tokio::time::Instant::now() > until {
            let why = format!(
                "{name}: the controller did not respond within {} s; check that it runs",
                REMOVAL_TIMEOUT.as_secs()
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
            Err(Failure::ManualOverride(format!("{name} can't be read: {why}")))
        }
    }
}
