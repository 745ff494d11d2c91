//! Applies, corrects and removes the objects of a service's balancers.

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

/// Interval at which all objects are applied again: not all of them are watched (Services, roles, budgets).
const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Maximum delay until the watch shows a write.
const WATCH_LAG: Duration = Duration::from_secs(5);
/// Time limit for applying or removing all of them.
const OBJECTS_TIMEOUT: Duration = Duration::from_secs(20);

/// The known state of the objects of a service's balancers.
#[derive(Debug, Default)]
pub struct KnownObjects {
    /// The last apply.
    applied: Option<Applied>,
    /// The generation of the spec at the first turn of this process.
    found: Option<i64>,
    /// They were applied by an earlier operator version, and their rollout is queued.
    pub pending: bool,
    /// Some of them may exist without the Deployment: an apply or a removal was incomplete.
    leftover: bool,
    /// Why they could not be applied or removed.
    pub trouble: Option<String>,
}

#[derive(Debug)]
struct Applied {
    /// What they were made from.
    from: Origin,
    /// Hash of all of them.
    hash: String,
    /// The Deployment's generation after the apply: a later one means that another client changed it.
    generation: i64,
    at: Instant,
}

/// The inputs of the objects, apart from the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    generation: Option<i64>,
    backend: Backend,
}

impl Applied {
    /// Whether the objects are up to date, according to the watch of the Deployment.
    fn is_current(&self, from: &Origin, front: Option<&Front>) -> bool {
        let age = self.at.elapsed();
        let there = match front {
            Some(front) if front.generation >= self.generation => {
                front.generation == self.generation && front.hash.as_ref() == Some(&self.hash)
            }
            // The watch does not show it yet.
            _ => age < WATCH_LAG,
        };
        there && self.from == *from && age < AGAIN_AFTER
    }
}

impl KnownObjects {
    /// Whether the running objects differ from `objects` because the operator or its configuration changed. If this process
    /// applied them, or if they are from another generation of the spec, the cause is a change of the service or its target.
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

    /// Reports the progress of this rollout to the queue of rollouts.
    fn report_rollout(&self, key: &ServiceKey, front: Option<&Front>, context: &Context) {
        let Some(applied) = &self.applied else { return };
        let rollout = front.filter(|front| front.hash.as_ref() == Some(&applied.hash));
        context.shared.waves.report(key, rollout.map(|front| front.rollout), context.shared.leader.term());
    }
}

/// The Deployment of the service's balancers, from the watch.
pub fn front(key: &ServiceKey, context: &Context) -> Option<Front> {
    let (namespace, name) = (key.namespace.clone(), balancer_name(&key.name));
    let front = Workload { kind: "Deployment".to_owned(), namespace, name };
    context.targets.front(&front).filter(|front| front.service == key.name)
}

/// Applies the balancers' objects if they differ from the wanted state, and removes them if there should be none. This happens
/// in every mode, since the mode concerns the target only.
pub async fn reconcile(view: &View<'_>, target: &Target, objects: &mut KnownObjects) {
    let View { service, key, context, .. } = view;
    let front = front(key, context);
    let changed = if service.spec.balanced().is_some() {
        let changed = apply(service, target, key, objects, front.as_ref(), context).await;
        objects.report_rollout(key, front.as_ref(), context);
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
    if known.applied.as_ref().is_some_and(|applied| applied.is_current(&from, front)) {
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
            "rolling out the balancers after a change of the operator"
        );
    }
    // If an apply fails midway, the earlier objects exist and have to be removed with `spec.traffic`.
    (known.applied, known.pending, known.leftover) = (None, false, true);
    let permit = context.shared.leader.permit(OBJECTS_TIMEOUT);
    let applied = balancer::apply(&context.shared.client, &objects, &permit).await;
    if let Some(generation) = written(applied, "applied")? {
        let hash = objects.hash().to_owned();
        known.applied = Some(Applied { from, hash, generation, at: Instant::now() });
    }
    Ok(())
}

/// The settings that balancers take from the target. The priority class of a missing target is unknown; the current one is
/// kept, since that is no reason for a rollout.
fn backend(target: &Target, front: Option<&Front>) -> Result<Backend, String> {
    let selector = target.selector.as_ref().ok_or(NO_SELECTOR)?;
    let selector = equalities(selector).ok_or_else(|| {
        format!(
            "the target selects its pods by `{selector}`; a balancer needs a selector of label=value terms"
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

/// The result of writing all objects; `None` if this process does not lead. `done` is the participle for the error message.
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

/// The operator's configuration has no images.
const NOT_HERE: &str =
    "this operator runs no balancers: its configuration has no `balancers` (chart value traffic.enabled)";
/// The target's scale subresource names no selector.
const NO_SELECTOR: &str = "the target's scale has no status.selector, so the balancer can't find its pods";

/// The labels that a Service can select by; `None` if the selector has more than equalities.
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
    async fn objects_are_applied_again_on_a_new_spec_on_drift_and_periodically() {
        let selector = [("app".to_owned(), "web".to_owned())].into();
        let backend = Backend { selector, priority_class: None };
        let from = Origin { generation: Some(1), backend };
        let applied = || Applied { from: from.clone(), hash: "a".into(), generation: 3, at: Instant::now() };
        let fresh = applied();
        assert!(
            fresh.is_current(&from, None) && fresh.is_current(&from, Some(&front("b", 2))),
            "the watch is behind"
        );
        assert!(fresh.is_current(&from, Some(&front("a", 3))));
        assert!(!fresh.is_current(&from, Some(&front("a", 4))), "another client changed the Deployment");
        assert!(!fresh.is_current(&Origin { generation: Some(2), ..from.clone() }, Some(&front("a", 3))));
        let old = applied();
        tokio::time::advance(WATCH_LAG).await;
        assert!(!old.is_current(&from, None), "deleted");
        assert!(!old.is_current(&from, Some(&front("b", 3))), "not ours");
        assert!(old.is_current(&from, Some(&front("a", 3))));
        tokio::time::advance(AGAIN_AFTER).await;
        assert!(!old.is_current(&from, Some(&front("a", 3))), "periodic, for unwatched objects");
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
