//! A service's entry on the board: its capacity, and its claims on its standbys.

use std::{collections::BTreeSet, sync::Arc};

use kube::{ResourceExt as _, core::DeserializeGuard};

use crate::controller::{
    board::{Ask, Asks, Entry, Left},
    context::{Context, Others},
    key::ServiceKey,
    outcome::Outcome,
    services::Services,
};
use plimsoll_api::{
    FAILOVER_TO_ANNOTATION, FREEZE_ANNOTATION, Failover, FailoverStatus, Mode, PRIMARY, Percent,
    ScalableService, ScalableServiceStatus, Standby, StandbyFor, StandbyService, balancer_name,
};
use plimsoll_engine::{Capacity, Departure, ManualOverride, Observation, Veto};

/// The manual override by annotation, if there is one.
#[must_use]
pub(super) fn manual_override(service: &ScalableService) -> Option<ManualOverride> {
    let annotations = service.annotations();
    if let Some(why) = annotations.get(FREEZE_ANNOTATION) {
        return Some(ManualOverride::Freeze(why.clone()));
    }
    annotations.get(FAILOVER_TO_ANNOTATION).map(|name| ManualOverride::To(name.clone()))
}

/// The share of each standby.
#[must_use]
pub(super) fn shares(status: &FailoverStatus) -> Vec<(&str, Percent)> {
    status.backends.iter().map(|standby| (standby.name.as_str(), standby.weight)).collect()
}

/// Whether the board allows this service to leave its primary. An allowed departure is recorded immediately, so that
/// concurrent decisions of other services take it into account.
///
/// # Errors
/// The departure is not allowed.
pub(super) fn consent(
    service: &ScalableService,
    key: &ServiceKey,
    departure: Departure<'_>,
    Others { board, services }: Others<'_>,
) -> Result<(), Veto> {
    let backends = service.spec.failover.iter().flat_map(|failover| &failover.backends);
    let spec = backends.clone().find(|spec| spec.name == departure.to);
    let to = spec.and_then(|spec| behind(spec.service.as_ref()?, key, services)).map(|(to, _)| to);
    if board.leave(key, to.as_ref(), departure.sources, departure.at) {
        return Ok(());
    }
    let trouble = to.filter(|to| board.is_away(to)).map(|to| circular(&to));
    Err(Veto { correlated_failures: board.correlated_failures(key, departure.at), trouble })
}

/// Updates the service's entry on the board. `settled`: the last shares are in force, so a standby without a share has no
/// requests any more.
pub(super) fn update(
    service: &ScalableService,
    key: &ServiceKey,
    outcome: &Outcome,
    seen: &Observation,
    settled: bool,
    Others { board, services }: Others<'_>,
) {
    let ready = seen.pods.ready();
    let capacity = match outcome {
        Outcome::Done(done) => capacity(service, ready, done.decided.decision.own),
        // A service that is currently not scaled can't get more replicas.
        Outcome::Refused(_) => Capacity { ready, own: 0, most: ready },
    };
    let status = outcome.failover().map(|failover| &failover.status);
    let mut entry = entry(service, key, Some(capacity), status, services);
    let before = seen.failover.as_ref().and_then(|input| input.last_written.as_ref());
    if !settled || before.map(shares) != status.map(shares) {
        entry.asks = entry.asks.map(|asks| board.and_still(key, asks));
    }
    board.say(key, entry);
}

/// Fills the board from the status of all services, once per term.
pub(super) fn begin(context: &Context) {
    let services = &context.shared.services;
    context.shared.board.begin(|| {
        let all = services.all();
        let known = all.iter().filter_map(|object| object.0.as_ref().ok());
        known.filter_map(|service| Some(before(service, service.status.as_ref()?, services))).collect()
    });
}

fn before(
    service: &ScalableService,
    status: &ScalableServiceStatus,
    services: &Services,
) -> (ServiceKey, Entry, Option<Left>) {
    let key = ServiceKey::of(service);
    // The replicas that it needs itself are unknown; the safe assumption is all of them.
    let of = |ready| capacity(service, ready, status.replicas.unwrap_or(ready));
    let capacity = status.ready_replicas.map(of);
    let failover = status.failover.as_ref();
    let left = failover.filter(|failover| failover.active != PRIMARY);
    let left = left.and_then(|failover| failover.switches.last());
    let left = left.map(|at| Left { at: at.0, sources: sources(service, status) });
    let entry = entry(service, &key, capacity, failover, services);
    (key, entry, left)
}

/// The sources whose KPIs may have moved a service from its primary: status does not record the cause. None for a service
/// without ready replicas or with a manual override, which is then the cause.
fn sources(service: &ScalableService, status: &ScalableServiceStatus) -> BTreeSet<String> {
    if status.ready_replicas.is_none_or(|ready| ready == 0) || manual_override(service).is_some() {
        return BTreeSet::new();
    }
    let signs = service.spec.failover.iter().flat_map(|failover| &failover.leave.when);
    let names: BTreeSet<&String> = signs.filter_map(|sign| sign.kpi.as_ref()).collect();
    let kpis = service.spec.kpis.iter().filter(|kpi| names.contains(&kpi.name));
    kpis.map(|kpi| kpi.source.clone()).collect()
}

/// The capacity of a service. Where the target is not written, it can't get more than it has.
fn capacity(service: &ScalableService, ready: i32, own: i32) -> Capacity {
    let most = if service.spec.mode == Mode::Auto { service.spec.max_replicas } else { ready };
    Capacity { ready, own, most }
}

fn entry(
    service: &ScalableService,
    key: &ServiceKey,
    capacity: Option<Capacity>,
    status: Option<&FailoverStatus>,
    services: &Services,
) -> Entry {
    let away = status.is_some_and(|status| status.active != PRIMARY || status.away() > Percent::ZERO);
    let asks = service.spec.failover.as_ref().map(|failover| asks(failover, key, status, services));
    Entry { capacity, asks, away }
}

fn asks(failover: &Failover, key: &ServiceKey, status: Option<&FailoverStatus>, services: &Services) -> Asks {
    let asks = failover.backends.iter().filter_map(|spec| {
        let last_written = status?.standby(&spec.name).filter(|last_written| last_written.replicas > 0)?;
        // Users may write the status, so a claim on another namespace counts only with its consent.
        let (standby, _) =
            behind(spec.service.as_ref()?, key, services).filter(|_| consents(spec, key, services))?;
        Some((standby, Ask { replicas: last_written.replicas, share: last_written.weight }))
    });
    asks.collect()
}

/// The ScalableService behind a Service: the one of the same name, or the one whose balancers the Service selects.
pub(super) fn behind(
    to: &StandbyService,
    key: &ServiceKey,
    services: &Services,
) -> Option<(ServiceKey, Arc<DeserializeGuard<ScalableService>>)> {
    let namespace = to.namespace.as_ref().unwrap_or(&key.namespace);
    let same = ServiceKey::new(namespace, &to.name);
    let behind = to.name.strip_suffix("-lb").map(|name| ServiceKey::new(namespace, name));
    let behind = behind.filter(|behind| balancer_name(&behind.name) == to.name);
    let candidates = [Some(same), behind].into_iter().flatten().filter(|candidate| candidate != key);
    candidates.filter_map(|candidate| services.get(&candidate).map(|object| (candidate, object))).next()
}

/// Whether a standby may be examined and asked for replicas: it is in this namespace, or its ScalableService lists this
/// service in `spec.standbyFor`. Otherwise nothing about the other namespace is disclosed, not even whether the Service exists.
pub(super) fn consents(spec: &Standby, key: &ServiceKey, services: &Services) -> bool {
    let Some(to) = &spec.service else { return true };
    if to.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace) {
        return true;
    }
    let me = |may: &StandbyFor| may.namespace == key.namespace && may.name == key.name;
    behind(to, key, services)
        .and_then(|(_, object)| object.0.as_ref().ok().map(|object| object.spec.standby_for.iter().any(me)))
        .unwrap_or(false)
}

pub(super) fn circular(standby: &ServiceKey) -> String {
    format!("{standby} currently sends its own requests elsewhere, so requests could loop back")
}

#[cfg(test)]
mod tests;
