//! The balancers of a service, from the shell's side: what the watches know of them, and their objects.

use std::{collections::BTreeMap, time::Duration};

use kube::core::{Expression, Selector};
use tokio::time::Instant;

use super::{
    apply::WRITE_TIMEOUT,
    context::Context,
    fleet::Fleet,
    index::{Front, Target, Workload, read},
    outcome::Outcome,
    state::{Key, State},
    zones,
};
use crate::{
    actuate::{
        self,
        balancer::{self, BalancerError},
    },
    api::{RecoveryStatus, ScalableService, balancer_name},
    engine::Rotation,
    lease::WriteError,
};

/// What nobody watches (Services, roles, budgets) is put right after this time at the latest.
const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Time within which a watch shows what was written.
const WATCH_LAG: Duration = Duration::from_secs(5);
/// Applying, or removing, all of them takes no longer.
const OBJECTS_TIMEOUT: Duration = Duration::from_secs(20);

/// What is remembered of the objects of a service's balancers.
#[derive(Debug, Default)]
pub struct KnownObjects {
    /// What was applied last.
    applied: Option<Applied>,
    /// Some of them may be left of a removal that did not end.
    leftover: bool,
    /// Why they could not be applied, or removed.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Applied {
    /// What they were made from: generation of the spec, labels of the target's pods.
    from: Origin,
    /// Stands for all of them.
    hash: String,
    /// The Deployment's generation since: another one means that somebody changed it.
    generation: Option<i64>,
    at: Instant,
}

type Origin = (Option<i64>, BTreeMap<String, String>);

impl Applied {
    /// Whether nothing has to be done, as far as the watch of the Deployment knows.
    fn stands(&mut self, from: &Origin, front: Option<&Front>) -> bool {
        let age = self.at.elapsed();
        let there = match front {
            Some(front) if front.hash.as_ref() == Some(&self.hash) => {
                let known = *self.generation.get_or_insert(front.generation);
                known == front.generation
            }
            // The watch has yet to show it.
            _ => age < WATCH_LAG,
        };
        there && self.from == *from && age < AGAIN_AFTER
    }
}

/// The balancers of a service; `None` if Plimsoll runs none for it.
pub fn fleet(service: &ScalableService, key: &Key, state: &State, context: &Context) -> Option<Fleet> {
    let traffic = service.spec.balanced()?;
    let pods = read(&context.pods, |index| index.balancers(&key.0, &key.1, context.shell.clock.now()));
    let trouble = state.objects.trouble.clone();
    Some(Fleet::new(traffic.replicas, pods, service.status.as_ref(), trouble))
}

/// Puts into the outcome how many balancers are ready.
pub fn count(fleet: Option<&Fleet>, state: &mut State) {
    if let Some(Outcome::Done(done)) = &mut state.last {
        done.balancers = fleet.and_then(|fleet| i32::try_from(fleet.ready()).ok());
    }
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
    let selected = target.selected()?;
    let mut members = read(&context.pods, |index| index.members(&key.0, selected));
    read(&context.nodes, |nodes| {
        for member in &mut members {
            member.zone = member.zone.take().or_else(|| zones::zone_of(member.node.as_deref(), nodes));
        }
    });
    let told = state.told();
    let draining =
        told.and_then(|status| status.traffic.as_ref()).into_iter().flat_map(|traffic| &traffic.draining);
    let draining = draining.map(|draining| (draining.pod.clone(), draining.since.0)).collect();
    let recovery = told.and_then(|status| status.recovery.as_ref());
    let ejected = recovery.map(RecoveryStatus::ejected_pods).unwrap_or_default();
    let ordered = service.spec.scale_target_ref.kind == "StatefulSet";
    Some(fleet.rotation(ordered, members, target.ready, draining, ejected))
}

/// Removes what balancers said that are gone.
pub async fn forget_gone(service: &ScalableService, key: &Key, context: &Context) {
    let pods = read(&context.pods, |index| index.balancers(&key.0, &key.1, context.shell.clock.now()));
    let wanted = service.spec.balanced().map_or(0, |traffic| traffic.replicas);
    let fleet = Fleet::new(wanted, pods, None, None);
    for pod in fleet.stale(service.status.as_ref()) {
        let permit = context.shell.leader.permit(WRITE_TIMEOUT);
        let forgotten = actuate::forget_balancer(&context.shell.client, &key.0, &key.1, &pod, &permit).await;
        if let Err(error @ WriteError::Api(_)) = forgotten {
            tracing::debug!(
                namespace = key.0,
                name = key.1,
                pod,
                error = error.said(),
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
    let name = balancer_name(&key.1);
    let front = Workload { kind: "Deployment".to_owned(), namespace: key.0.clone(), name };
    let front = context.targets.front(&front).filter(|front| front.service == key.1);
    let objects = &mut state.objects;
    let changed = if service.spec.balanced().is_some() {
        apply(service, target, objects, front.as_ref(), context).await
    } else if objects.leftover || front.is_some() {
        remove(service, objects, context).await
    } else {
        Ok(())
    };
    objects.trouble = changed.err();
    if let Some(error) = &objects.trouble {
        tracing::warn!(namespace = key.0, name = key.1, error, "the balancers are not as they should be");
    }
}

async fn apply(
    service: &ScalableService,
    target: &Target,
    known: &mut KnownObjects,
    front: Option<&Front>,
    context: &Context,
) -> Result<(), String> {
    let images = context.shell.balancers.as_ref().ok_or(NOT_HERE)?;
    let selector = target.selector.as_ref().ok_or(NO_SELECTOR)?;
    let labels = equalities(selector).ok_or_else(|| {
        format!(
            "the target selects its pods by `{selector}`; a balancer needs labels that are equal to a value"
        )
    })?;
    let from = (service.metadata.generation, labels);
    if known.applied.as_mut().is_some_and(|applied| applied.stands(&from, front)) {
        return Ok(());
    }
    known.applied = None;
    let objects = balancer::objects(service, images, &from.1).map_err(|error| error.to_string())?;
    let permit = context.shell.leader.permit(OBJECTS_TIMEOUT);
    let applied = balancer::apply(&context.shell.client, &objects, &permit).await;
    if written(applied, "applied")? {
        let hash = objects.hash().to_owned();
        known.applied = Some(Applied { from, hash, generation: None, at: Instant::now() });
    }
    Ok(())
}

async fn remove(
    service: &ScalableService,
    known: &mut KnownObjects,
    context: &Context,
) -> Result<(), String> {
    (known.applied, known.leftover) = (None, true);
    let permit = context.shell.leader.permit(OBJECTS_TIMEOUT);
    let removed = balancer::remove(&context.shell.client, service, &permit).await;
    known.leftover = !written(removed, "removed")?;
    Ok(())
}

/// Whether all objects were written; not if this process does not lead. The error says what is wrong with them, `done`
/// what should have been done.
fn written(result: Result<(), BalancerError>, done: &str) -> Result<bool, String> {
    match result {
        Ok(()) => Ok(true),
        Err(BalancerError::Write { error: WriteError::NotLeading, .. }) => Ok(false),
        Err(BalancerError::Write { error: WriteError::Timeout(limit), .. }) => {
            Err(format!("not {done} within {} s", limit.as_secs()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Said where the operator's configuration has no images.
const NOT_HERE: &str =
    "this Plimsoll runs no balancers: its configuration has no `balancers` (chart value traffic.enabled)";
/// Said of a target whose scale subresource names no selector.
const NO_SELECTOR: &str = "the target does not say how it selects its pods (status.selector of its scale), so there is nothing to balance";

/// The labels that a Service can select by; `None` if the selector says more than that labels are equal.
fn equalities(selector: &Selector) -> Option<BTreeMap<String, String>> {
    let equal = |expression| match expression {
        Expression::Equal(key, value) => Some((key, value)),
        Expression::In(key, values) if values.len() == 1 => Some((key, values.into_iter().next()?)),
        _ => None,
    };
    selector.clone().into_iter().map(equal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(hash: &str, generation: i64) -> Front {
        Front { service: "web".into(), hash: Some(hash.into()), generation }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_applied_again_on_a_new_spec_on_drift_and_now_and_then() {
        let from: Origin = (Some(1), [("app".to_owned(), "web".to_owned())].into());
        let applied =
            || Applied { from: from.clone(), hash: "a".into(), generation: None, at: Instant::now() };
        let mut fresh = applied();
        assert!(fresh.stands(&from, None), "the watch has yet to show it");
        assert!(fresh.stands(&from, Some(&front("a", 3))));
        assert!(!fresh.stands(&from, Some(&front("a", 4))), "somebody changed the Deployment");
        assert!(!applied().stands(&(Some(2), from.1.clone()), Some(&front("a", 3))), "a new spec");
        let mut old = applied();
        tokio::time::advance(WATCH_LAG).await;
        assert!(!old.stands(&from, None) && !old.stands(&from, Some(&front("b", 3))), "gone, or not ours");
        assert!(old.stands(&from, Some(&front("a", 3))));
        tokio::time::advance(AGAIN_AFTER).await;
        assert!(!old.stands(&from, Some(&front("a", 3))), "what is not watched");
    }

    #[test]
    fn a_service_selects_by_equal_labels_only() {
        let equal: Selector = [("app", "web")].into_iter().collect();
        assert_eq!(equalities(&equal), Some([("app".to_owned(), "web".to_owned())].into()));
        let one = Expression::In("tier".into(), ["a".to_owned()].into());
        assert_eq!(equalities(&[one].into_iter().collect()).map(|labels| labels.len()), Some(1));
        for other in [Expression::Exists("app".into()), Expression::NotEqual("a".into(), "b".into())] {
            assert_eq!(equalities(&[other].into_iter().collect()), None);
        }
    }
}
