//! The balancers of a service, from the shell's side: what the watches know of them, and their objects.

use std::{collections::BTreeMap, time::Duration};

use kube::core::{Expression, Selector};
use tokio::time::{Instant, timeout};

use super::{
    apply::WRITE_TIMEOUT,
    context::Context,
    fleet::Fleet,
    index::{Front, Target, read},
    state::{Key, State},
};
use crate::{
    actuate::{self, said},
    api::ScalableService,
    engine::Rotation,
};

/// What nobody watches (Services, roles, budgets) is put right after this time at the latest.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// What is remembered of the objects of a service's balancers.
#[derive(Debug, Default)]
pub struct KnownObjects {
    /// What was applied last, how the Deployment was seen since, and when.
    applied: Option<Applied>,
    /// Why they could not be applied.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Applied {
    hash: u64,
    front: Option<Front>,
    at: Instant,
}

/// The balancers of a service; `None` without `spec.traffic`.
pub fn fleet(service: &ScalableService, key: &Key, state: &State, context: &Context) -> Option<Fleet> {
    let traffic = service.spec.traffic.as_ref()?;
    let pods = read(&context.pods, |index| index.balancers(&key.0, &key.1));
    let trouble = state.objects.trouble.clone();
    Some(Fleet::new(traffic.replicas, pods, service.status.as_ref(), trouble))
}

/// The replicas as the balancers have them; `None` if the target's pods can't be listed.
pub fn rotation(
    service: &ScalableService,
    target: &Target,
    key: &Key,
    fleet: &Fleet,
    state: &State,
    context: &Context,
) -> Option<Rotation> {
    context.shell.balancers.as_ref()?;
    let selector = target.selector.as_ref()?;
    let members = read(&context.pods, |index| index.members(&key.0, selector));
    // What was written is what the balancers were told, whatever was decided since.
    let told = state.written.as_ref().and_then(|(status, _)| status.traffic.as_ref());
    let draining = told.iter().flat_map(|traffic| &traffic.draining);
    let draining = draining.map(|draining| (draining.pod.clone(), draining.since.0)).collect();
    let ordered = service.spec.scale_target_ref.kind == "StatefulSet";
    Some(fleet.rotation(ordered, members, target.ready, draining))
}

/// Removes what balancers said that are gone.
pub async fn forget_gone(service: &ScalableService, key: &Key, context: &Context) {
    let pods = read(&context.pods, |index| index.balancers(&key.0, &key.1));
    let wanted = service.spec.traffic.as_ref().map_or(0, |traffic| traffic.replicas);
    let fleet = Fleet::new(wanted, pods, None, None);
    for pod in fleet.stale(service.status.as_ref()) {
        let forget = actuate::forget_balancer(&context.shell.client, &key.0, &key.1, &pod);
        if let Ok(Err(error)) = timeout(WRITE_TIMEOUT, forget).await {
            tracing::debug!(
                namespace = key.0,
                name = key.1,
                pod,
                error = said(&error),
                "an entry of status stays"
            );
        }
    }
}

/// Applies the objects of the balancers where they are not as they should be, and removes them where there should be
/// none. The balancers serve in every mode: they are ours, the target is not.
pub async fn bring_about(
    service: &ScalableService,
    target: &Target,
    key: &Key,
    state: &mut State,
    context: &Context,
) {
    let _ = (target, &state.objects.applied, AGAIN_AFTER, BTreeMap::<String, String>::new());
    if !context.shell.leader.leads() {
        return;
    }
    if service.spec.traffic.is_some() && context.shell.balancers.is_none() {
        state.objects.trouble = Some(NOT_HERE.to_owned());
    }
}

/// Said where the operator's configuration has no images.
const NOT_HERE: &str =
    "this Plimsoll runs no balancers: its configuration has no `balancers` (chart value traffic.enabled)";

/// The labels that a Service can select by; `None` if the selector says more than that labels are equal.
fn equalities(selector: &Selector) -> Option<BTreeMap<String, String>> {
    let equal = |expression| match expression {
        Expression::Equal(key, value) => Some((key, value)),
        Expression::In(key, values) if values.len() == 1 => Some((key, values.into_iter().next()?)),
        _ => None,
    };
    selector.clone().into_iter().map(equal).collect()
}
