//! The objects of a service's balancers: applied, put right and removed.

use std::{collections::BTreeMap, time::Duration};

use kube::core::{Expression, Selector};
use tokio::time::Instant;

use super::super::{
    capability::View,
    context::Context,
    index::{Front, Target, Workload},
    key::ServiceKey,
    waves::Asker,
};
use crate::{
    actuate::balancer::{self, Backend, BalancerError, Objects},
    lease::WriteError,
};
use plimsoll_api::{ScalableService, balancer_name};

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
    /// The generation of the spec when this process first looked.
    found: Option<i64>,
    /// They are those of an earlier operator, and wait for their turn.
    pub pending: bool,
    /// Some of them may be there without the Deployment: they were applied in part, or a removal did not end.
    leftover: bool,
    /// Why they could not be applied, or removed.
    pub trouble: Option<String>,
}

#[derive(Debug)]
struct Applied {
    /// What they were made from.
    from: Origin,
    /// Stands for all of them.
    hash: String,
    /// The Deployment's generation since: a later one means that somebody changed it.
    generation: i64,
    at: Instant,
}

/// What objects are made from, beside the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    generation: Option<i64>,
    backend: Backend,
}

impl Applied {
    /// Whether nothing has to be done, as far as the watch of the Deployment knows.
    fn stands(&self, from: &Origin, front: Option<&Front>) -> bool {
        let age = self.at.elapsed();
        let there = match front {
            Some(front) if front.generation >= self.generation => {
                front.generation == self.generation && front.hash.as_ref() == Some(&self.hash)
            }
            // The watch has yet to show it.
            _ => age < WATCH_LAG,
        };
        there && self.from == *from && age < AGAIN_AFTER
    }
}

impl KnownObjects {
    /// Whether what runs differs from `objects` since the operator or its configuration changed. What this process applied
    /// differs since somebody changed the service or its target; so does what is of another generation of the spec.
    fn are_of_another_operator(
        &mut self,
        objects: &Objects,
        generation: Option<i64>,
        front: Option<&Front>,
    ) -> bool {
        let found = *self.found.get_or_insert(generation.unwrap_or_default());
        let Some(front) = front.filter(|_| self.applied.is_none()) else { return false };
        let differs = front.hash.as_deref().is_some_and(|hash| hash != objects.hash());
        differs && generation == Some(front.applied_generation.unwrap_or(found))
    }

    /// Tells whose turn is next how far this rollout is.
    fn tell(&self, key: &ServiceKey, front: Option<&Front>, context: &Context) {
        let Some(applied) = &self.applied else { return };
        let rollout = front.filter(|front| front.hash.as_ref() == Some(&applied.hash));
        context.shared.waves.tell(key, rollout.map(|front| front.rollout), context.shared.leader.term());
    }
}

/// The Deployment of the service's balancers, as the watch shows it.
pub fn front(key: &ServiceKey, context: &Context) -> Option<Front> {
    let (namespace, name) = (key.namespace.clone(), balancer_name(&key.name));
    let front = Workload { kind: "Deployment".to_owned(), namespace, name };
    context.targets.front(&front).filter(|front| front.service == key.name)
}

/// Applies the objects of the balancers where they are not as they should be, and removes them where there should be
/// none. The balancers serve in every mode: they are ours, the target is not.
pub async fn reconcile(view: &View<'_>, target: &Target, objects: &mut KnownObjects) {
    let View { service, key, context, .. } = view;
    let front = front(key, context);
    let changed = if service.spec.balanced().is_some() {
        let changed = apply(service, target, key, objects, front.as_ref(), context).await;
        objects.tell(key, front.as_ref(), context);
        changed
    } else if objects.leftover || front.is_some() {
        context.shared.waves.forget(key);
        remove(service, objects, context).await
    } else {
        Ok(())
    };
    objects.trouble = changed.err();
    if let Some(error) = &objects.trouble {
        let (namespace, name) = (&key.namespace, &key.name);
        tracing::warn!(namespace, name, error, "failed to reconcile the load balancer");
    }
}

async fn apply(
    service: &ScalableService,
    target: &Target,
    key: &ServiceKey,
    known: &mut KnownObjects,
    front: Option<&Front>,
    context: &Context,
) -> Result<(), String> {
    let setup = context.shared.balancers.as_ref().ok_or(NOT_HERE)?;
    let from = Origin { generation: service.metadata.generation, backend: backend(target, front)? };
    if known.applied.as_ref().is_some_and(|applied| applied.stands(&from, front)) {
        return Ok(());
    }
    let objects = balancer::objects(service, setup, &from.backend).map_err(|error| error.to_string())?;
    if known.are_of_another_operator(&objects, from.generation, front) {
        let asker = Asker::of(key, &service.spec);
        let (shared, limit) = (&context.shared, setup.concurrent_rollouts);
        known.pending = !shared.waves.admit(&asker, limit, &shared.services, shared.leader.term());
        if known.pending {
            return Ok(());
        }
        tracing::info!(
            namespace = key.namespace,
            name = key.name,
            "the balancers are rolled out to this operator's"
        );
    }
    // Objects before one that cannot be applied are there all the same, and have to go with `spec.traffic`.
    (known.applied, known.pending, known.leftover) = (None, false, true);
    let permit = context.shared.leader.permit(OBJECTS_TIMEOUT);
    let applied = balancer::apply(&context.shared.client, &objects, &permit).await;
    if let Some(generation) = written(applied, "applied")? {
        let hash = objects.hash().to_owned();
        known.applied = Some(Applied { from, hash, generation, at: Instant::now() });
    }
    Ok(())
}

/// What the balancers take from the target. One that is gone says nothing of its pods' priority, and is no reason for a
/// rollout.
fn backend(target: &Target, front: Option<&Front>) -> Result<Backend, String> {
    let selector = target.selector.as_ref().ok_or(NO_SELECTOR)?;
    let selector = equalities(selector).ok_or_else(|| {
        format!(
            "the target selects its pods by `{selector}`; a balancer needs labels that are equal to a value"
        )
    })?;
    let there = target.uid.is_some();
    let known = || front.and_then(|front| front.priority_class.clone());
    let priority_class = if there { target.priority_class.clone() } else { known() };
    Ok(Backend { selector, priority_class })
}

async fn remove(
    service: &ScalableService,
    known: &mut KnownObjects,
    context: &Context,
) -> Result<(), String> {
    (known.applied, known.pending, known.leftover) = (None, false, true);
    let permit = context.shared.leader.permit(OBJECTS_TIMEOUT);
    let (client, setup) = (&context.shared.client, context.shared.balancers.as_ref());
    let removed = balancer::remove(client, service, setup, &permit).await;
    known.leftover = written(removed, "removed")?.is_none();
    Ok(())
}

/// What came of writing all objects; `None` if this process does not lead. The error says what is wrong with them, `done`
/// what should have been done.
fn written<T>(result: Result<T, BalancerError>, done: &str) -> Result<Option<T>, String> {
    match result {
        Ok(written) => Ok(Some(written)),
        Err(BalancerError::Write { error: WriteError::NotLeading, .. }) => Ok(None),
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
        Front { service: "web".into(), hash: Some(hash.into()), generation, ..Front::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_applied_again_on_a_new_spec_on_drift_and_now_and_then() {
        let selector = [("app".to_owned(), "web".to_owned())].into();
        let backend = Backend { selector, priority_class: None };
        let from = Origin { generation: Some(1), backend };
        let applied = || Applied { from: from.clone(), hash: "a".into(), generation: 3, at: Instant::now() };
        let fresh = applied();
        assert!(
            fresh.stands(&from, None) && fresh.stands(&from, Some(&front("b", 2))),
            "the watch is behind"
        );
        assert!(fresh.stands(&from, Some(&front("a", 3))));
        assert!(!fresh.stands(&from, Some(&front("a", 4))), "somebody changed the Deployment");
        assert!(!fresh.stands(&Origin { generation: Some(2), ..from.clone() }, Some(&front("a", 3))));
        let old = applied();
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
