//! Failover, from the shell's side: what is known of the standbys, what a person said, and what is asked of whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use jiff::Timestamp;
use kube::{ResourceExt as _, core::DeserializeGuard};

use super::{
    apply::WRITE_TIMEOUT,
    board::{Ask, Board, Entry, Left},
    context::Context,
    fleet::Fleet,
    gateway,
    index::Target,
    services::Services,
    standbys::{Asked, KnownStandby},
    state::{Key, State},
};
use crate::actuate;
use plimsoll_api::{
    FAILOVER_TO_ANNOTATION, FREEZE_ANNOTATION, Failover, FailoverState, FailoverStatus, Mode, PRIMARY,
    ScalableService, ScalableServiceStatus, Standby, StandbyFor, StandbyService, balancer_name,
};
use plimsoll_engine::{
    Capacity, Decision, Departure, Observation, Order, Shift, StandbySeen, Standing, Veto,
};

/// What is seen around the failover of a service; `None` without `spec.failover`.
pub async fn standing(
    service: &ScalableService,
    key: &Key,
    state: &mut State,
    fleet: Option<&Fleet>,
    context: &Context,
) -> Option<Standing> {
    let failover = service.spec.failover.as_ref()?;
    let told = state.told().and_then(|status| status.failover.clone());
    let before = |name: &str| told.as_ref().and_then(|told| told.standby(name));
    let addresses = |name: &str| {
        before(name).map_or_else(Vec::new, |before| {
            before.addresses.iter().filter_map(|address| address.parse().ok()).collect()
        })
    };
    let shell = &context.shell;
    let refusal = gateway::refusal(service, state);
    let asked_for =
        Asked { consents: &|spec| consents(spec, key, &shell.services), connect: fleet.is_none() };
    let known = state.standbys.look(&failover.backends, addresses, &asked_for, key, &shell.client).await;
    let standbys = failover.backends.iter().zip(known);
    let standbys = standbys.map(|(spec, known)| {
        let ready = before(&spec.name).is_some_and(|before| before.ready);
        let mut seen = seen(spec, known, ready, key, fleet, context);
        // Who has requests keeps them: there is no way to take them back either.
        if before(&spec.name).is_none_or(|before| before.weight == 0) {
            seen.trouble = seen.trouble.or_else(|| refusal.clone());
        }
        seen
    });
    let standbys = standbys.collect();
    let crowded = shell.board.crowded(key, shell.clock.now());
    Some(Standing { told, standbys, order: order(service), crowded })
}

/// Whether the next sample of readiness must not wait for a slow Prometheus: requests move, or may have to.
pub fn in_doubt(service: &ScalableService, target: &Target) -> bool {
    let told = service.status.as_ref().and_then(|status| status.failover.as_ref());
    told.is_some_and(|told| match told.state {
        FailoverState::Suspect | FailoverState::Shifting | FailoverState::Returning => true,
        _ => told.active == PRIMARY && target.ready < told.expected_replicas,
    })
}

/// What a person said by an annotation.
pub fn order(service: &ScalableService) -> Option<Order> {
    let annotations = service.annotations();
    if let Some(why) = annotations.get(FREEZE_ANNOTATION) {
        return Some(Order::Freeze(why.clone()));
    }
    annotations.get(FAILOVER_TO_ANNOTATION).map(|name| Order::To(name.clone()))
}

/// The answer of the other services to a departure of this one. A departure that is granted is noted before anything waits,
/// so that what others decide at the same moment counts.
pub fn fleet<'a>(
    service: &'a ScalableService,
    key: &'a Key,
    now: Timestamp,
    (board, services): (&'a Board, &'a Services),
) -> impl FnMut(Departure<'_>) -> Result<(), Veto> + 'a {
    move |departure| {
        let backends = service.spec.failover.iter().flat_map(|failover| &failover.backends);
        let spec = backends.clone().find(|spec| spec.name == departure.to);
        let to = spec.and_then(|spec| behind(spec.service.as_ref()?, key, services)).map(|(to, _)| to);
        if board.leave(key, to.as_ref(), departure.sources, now) {
            return Ok(());
        }
        let trouble = to.filter(|to| board.is_away(to)).map(|to| circular(&to));
        Err(Veto { crowded: board.crowded(key, now), trouble })
    }
}

/// Tells the balancers of new shares at once: they must not wait for replicas to be written, least of all while the
/// API server is slow. The rest of the status follows.
pub async fn announce(
    key: &Key,
    told: Option<&ScalableServiceStatus>,
    shift: Option<&Shift>,
    context: &Context,
) {
    let (Some(told), Some(shift)) = (told, shift) else { return };
    let moved = told.failover.as_ref().is_some_and(|before| shares(before) != shares(&shift.status));
    if !moved {
        return;
    }
    let status = ScalableServiceStatus { failover: Some(shift.status.clone()), ..told.clone() };
    let permit = context.shell.leader.permit(WRITE_TIMEOUT);
    // One that fails is written again with the rest.
    let _ = actuate::write_status(&context.shell.client, &key.0, &key.1, &status, &permit).await;
}

/// Tells the board what this service has and needs now. `settled`: the shares of before are in force, so that a standby
/// without one has no requests any more.
pub fn tell(
    service: &ScalableService,
    key: &Key,
    decision: Option<&Decision>,
    seen: &Observation,
    (shift, settled): (Option<&Shift>, bool),
    (board, services): (&Board, &Services),
) {
    // Who is not scaled for now has what it has.
    let ready = seen.pods.ready();
    let unscaled = Capacity { ready, own: 0, most: ready };
    let capacity = Some(decision.map_or(unscaled, |decision| capacity(service, ready, decision.own)));
    let status = shift.map(|shift| &shift.status);
    let mut entry = entry(service, key, capacity, status, services);
    let before = seen.standing.as_ref().and_then(|standing| standing.told.as_ref());
    if !settled || before.map(shares) != status.map(shares) {
        entry.asks = entry.asks.map(|asks| board.and_still(key, asks));
    }
    board.say(key, entry);
}

/// The share of each standby.
fn shares(status: &FailoverStatus) -> Vec<(&str, i32)> {
    status.backends.iter().map(|standby| (standby.name.as_str(), standby.weight)).collect()
}

/// Reads the board from the status of all services, unless that was done since this process leads.
pub fn begin(context: &Context) {
    let services = &context.shell.services;
    context.shell.board.begin(|| {
        let all = services.all();
        let known = all.iter().filter_map(|object| object.0.as_ref().ok());
        known.filter_map(|service| Some(before(service, service.status.as_ref()?, services))).collect()
    });
}

fn before(
    service: &ScalableService,
    status: &ScalableServiceStatus,
    services: &Services,
) -> (Key, Entry, Option<Left>) {
    let key = (service.namespace().unwrap_or_default(), service.name_any());
    // What it needs itself is not told: that what it has is needed is the careful guess.
    let of = |ready| capacity(service, ready, status.replicas.unwrap_or(ready));
    let capacity = status.ready_replicas.map(of);
    let failover = status.failover.as_ref();
    let left = failover.filter(|failover| failover.active != PRIMARY);
    let left = left.and_then(|failover| failover.switches.last());
    let left = left.map(|at| Left { at: at.0, sources: sources(service, status) });
    let entry = entry(service, &key, capacity, failover, services);
    (key, entry, left)
}

/// The sources by whose KPIs a service may have left its primary. Status does not tell; what has no replica left for that.
fn sources(service: &ScalableService, status: &ScalableServiceStatus) -> BTreeSet<String> {
    if status.ready_replicas.is_none_or(|ready| ready == 0) || order(service).is_some() {
        return BTreeSet::new();
    }
    let signs = service.spec.failover.iter().flat_map(|failover| &failover.leave.when);
    let names: BTreeSet<&String> = signs.filter_map(|sign| sign.kpi.as_ref()).collect();
    let kpis = service.spec.kpis.iter().filter(|kpi| names.contains(&kpi.name));
    kpis.map(|kpi| kpi.source.clone()).collect()
}

/// What a service has, and can get: no more than it has where nothing is written.
fn capacity(service: &ScalableService, ready: i32, own: i32) -> Capacity {
    let most = if service.spec.mode == Mode::Auto { service.spec.max_replicas } else { ready };
    Capacity { ready, own, most }
}

fn entry(
    service: &ScalableService,
    key: &Key,
    capacity: Option<Capacity>,
    status: Option<&FailoverStatus>,
    services: &Services,
) -> Entry {
    let away = status.is_some_and(|status| status.active != PRIMARY || status.away() > 0);
    let asks = service.spec.failover.as_ref().map(|failover| asks(failover, key, status, services));
    Entry { capacity, asks, away }
}

fn asks(
    failover: &Failover,
    key: &Key,
    status: Option<&FailoverStatus>,
    services: &Services,
) -> BTreeMap<Key, Ask> {
    let asks = failover.backends.iter().filter_map(|spec| {
        let told = status?.standby(&spec.name).filter(|told| told.replicas > 0)?;
        // Status is anybody's who may write it: what is asked of another namespace is so only with its consent.
        let (standby, _) =
            behind(spec.service.as_ref()?, key, services).filter(|_| consents(spec, key, services))?;
        Some((standby, Ask { replicas: told.replicas, share: told.weight }))
    });
    asks.collect()
}

/// The ScalableService behind a Service: of the same name, or the one whose balancers it leads to.
fn behind(
    to: &StandbyService,
    key: &Key,
    services: &Services,
) -> Option<(Key, Arc<DeserializeGuard<ScalableService>>)> {
    let namespace = to.namespace.as_ref().unwrap_or(&key.0);
    let same = (namespace.clone(), to.name.clone());
    let behind = to.name.strip_suffix("-lb").map(|name| (namespace.clone(), name.to_owned()));
    let behind = behind.filter(|behind| balancer_name(&behind.1) == to.name);
    let candidates = [Some(same), behind].into_iter().flatten().filter(|candidate| candidate != key);
    candidates.filter_map(|candidate| services.get(&candidate).map(|object| (candidate, object))).next()
}

/// Whether a standby may be looked at and asked for replicas: one of this namespace, or whose ScalableService names this
/// service. Without that nothing about another namespace is told, not even whether there is such a Service.
fn consents(spec: &Standby, key: &Key, services: &Services) -> bool {
    let Some(to) = &spec.service else { return true };
    if to.namespace.as_ref().is_none_or(|namespace| *namespace == key.0) {
        return true;
    }
    let me = |may: &StandbyFor| may.namespace == key.0 && may.name == key.1;
    behind(to, key, services)
        .and_then(|(_, object)| object.0.as_ref().ok().map(|object| object.spec.standby_for.iter().any(me)))
        .unwrap_or(false)
}

fn circular(standby: &Key) -> String {
    format!("{}/{} sends its own requests elsewhere now, so they might come back", standby.0, standby.1)
}

fn seen(
    spec: &Standby,
    known: &KnownStandby,
    before: bool,
    key: &Key,
    fleet: Option<&Fleet>,
    context: &Context,
) -> StandbySeen {
    let board = &context.shell.board;
    let behind = spec.service.as_ref().and_then(|to| behind(to, key, &context.shell.services));
    let behind = behind.filter(|_| consents(spec, key, &context.shell.services));
    let away = behind.as_ref().map(|(standby, _)| standby).filter(|standby| board.is_away(standby));
    let answers = match fleet {
        Some(fleet) => fleet.answering(&spec.name),
        None => known.answers(),
    };
    let trouble =
        match (&known.trouble, answers) {
            (Some(trouble), _) => Some(trouble.clone()),
            _ if away.is_some() => away.map(circular),
            (None, Some(true)) => None,
            (None, Some(false)) => {
                let why = fleet.and_then(|fleet| fleet.why_not_answering(&spec.name));
                Some(why.map_or_else(
                    || "it does not answer".to_owned(),
                    |why| format!("it does not answer: {why}"),
                ))
            }
            // What is not known is as it was.
            (None, None) if before => None,
            (None, None) => Some("no balancer has asked it yet".to_owned()),
        };
    // One that has yet to say what it has gets nothing before it is needed.
    let unmeasured = Capacity { ready: 0, own: 0, most: i32::MAX };
    let measured = |standby: &Key| board.capacity_for(key, standby).unwrap_or(unmeasured);
    let capacity = behind.as_ref().map(|(standby, _)| measured(standby));
    let addresses = known.addresses.iter().map(SocketAddr::to_string).collect();
    StandbySeen { name: spec.name.clone(), addresses, trouble, capacity }
}

#[cfg(test)]
mod tests;
