//! Failover, from the shell's side: what is known of the standbys, what a person said, and what is asked of whom.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, ResourceExt as _};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};

use super::{
    board::Offer,
    context::Context,
    fleet::Fleet,
    index::Target,
    state::{Key, State},
};
use crate::{
    actuate::{balancer::balancer_name, said},
    api::{
        FAILOVER_TO_ANNOTATION, FREEZE_ANNOTATION, FailoverState, PRIMARY, ScalableService, Standby,
        StandbyAddress, StandbyService, StandbyStatus,
    },
    engine::{Capacity, Decision, Observation, Order, Shift, StandbySeen, Standing},
};

/// An address is believed for so long before it is asked for again.
const ADDRESS_AGE_MAX: Duration = Duration::from_secs(10);
/// A standby that no balancer asks is asked this often.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// Longest time for an address, and for a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the standbys of one service, by their names.
#[derive(Debug, Default)]
pub struct KnownStandbys(HashMap<String, KnownStandby>);

#[derive(Debug)]
struct KnownStandby {
    spec: Standby,
    /// The last address that was found, and what came of the last try.
    address: Option<SocketAddr>,
    trouble: Option<String>,
    looked: Instant,
    /// Whether it takes connections, where no balancer says so.
    answers: Option<(bool, Instant)>,
}

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
    let before = |name: &str| told.as_ref().and_then(|told| told.standby(name)).cloned().unwrap_or_default();
    let looks = failover.backends.iter().map(|spec| {
        let remembered = state.standbys.0.remove(&spec.name);
        // A process that has just begun knows what status tells.
        let told = || before(&spec.name).address.and_then(|address| address.parse().ok());
        let last =
            remembered.as_ref().map_or_else(told, |known| known.address.filter(|_| known.spec == *spec));
        known(spec, remembered, last, key, fleet.is_none(), &context.shell.client)
    });
    let all = futures::future::join_all(looks).await;
    let standbys = failover.backends.iter().zip(&all);
    let standbys = standbys.map(|(spec, known)| seen(spec, known, &before(&spec.name), key, fleet, context));
    let standbys = standbys.collect();
    state.standbys = KnownStandbys(all.into_iter().map(|known| (known.spec.name.clone(), known)).collect());
    let crowded = context.shell.board.crowded(key, Timestamp::now());
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

/// Tells the board what this service has and needs now.
pub fn tell(
    service: &ScalableService,
    key: &Key,
    decision: &Decision,
    seen: &Observation,
    shift: Option<&Shift>,
    context: &Context,
) {
    let board = &context.shell.board;
    let most = service.spec.max_replicas;
    let capacity = Capacity { ready: seen.pods.ready(), own: decision.own, most };
    board.offer(key, Offer { capacity, standby_for: service.spec.standby_for.clone() });
    let (Some(shift), Some(failover)) = (shift, &service.spec.failover) else { return board.withdraw(key) };
    let asks = failover.backends.iter().zip(&shift.status.backends).filter_map(|(spec, status)| {
        let standby = scalable_service(spec.service.as_ref()?, key, context)?;
        (status.replicas > 0).then_some((standby, status.replicas))
    });
    board.ask(key, &asks.collect::<BTreeMap<_, _>>());
    let before = seen.standing.as_ref().and_then(|standing| standing.told.as_ref());
    let was_here = before.is_none_or(|before| before.active == PRIMARY);
    if was_here && shift.status.active != PRIMARY {
        board.switched(key, Timestamp::now());
    }
}

/// The ScalableService behind a Service: of the same name, or the one whose balancers it leads to.
fn scalable_service(to: &StandbyService, key: &Key, context: &Context) -> Option<Key> {
    let namespace = to.namespace.as_ref().unwrap_or(&key.0);
    let same = (namespace.clone(), to.name.clone());
    let behind = to.name.strip_suffix("-lb").map(|name| (namespace.clone(), name.to_owned()));
    let behind = behind.filter(|behind| balancer_name(&behind.1) == to.name);
    let known = |candidate: &Key| context.shell.board.offer_of(candidate).is_some();
    [Some(same), behind].into_iter().flatten().filter(|candidate| candidate != key).find(known)
}

/// Asks for the address again if it is old, and for a connection where no balancer does.
async fn known(
    spec: &Standby,
    before: Option<KnownStandby>,
    last: Option<SocketAddr>,
    key: &Key,
    connect: bool,
    client: &Client,
) -> KnownStandby {
    let mut known = match before.filter(|before| before.spec == *spec) {
        Some(known) if known.looked.elapsed() < ADDRESS_AGE_MAX && known.trouble.is_none() => known,
        _ => {
            let found = timeout(PATIENCE, address(spec, last, &key.0, client)).await;
            let found = found
                .unwrap_or_else(|_| Err(format!("its address was not told within {} s", PATIENCE.as_secs())));
            let (address, trouble) = match found {
                Ok(address) => (Some(address), None),
                // One that was right a moment ago is better than none.
                Err(trouble) => (last, last.is_none().then_some(trouble)),
            };
            KnownStandby { spec: spec.clone(), address, trouble, looked: Instant::now(), answers: None }
        }
    };
    let old = known.answers.is_none_or(|(_, at)| at.elapsed() >= ASKED_EVERY);
    if let Some(address) = known.address.filter(|_| connect && old) {
        let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
        known.answers = Some((matches!(connected, Ok(Ok(_))), Instant::now()));
    }
    known
}

fn seen(
    spec: &Standby,
    known: &KnownStandby,
    before: &StandbyStatus,
    key: &Key,
    fleet: Option<&Fleet>,
    context: &Context,
) -> StandbySeen {
    let behind = spec.service.as_ref().and_then(|to| scalable_service(to, key, context));
    let offer = behind.as_ref().and_then(|behind| context.shell.board.offer_of(behind));
    let foreign = behind.as_ref().is_some_and(|behind| behind.0 != key.0);
    let me = |may: &crate::api::StandbyFor| may.namespace == key.0 && may.name == key.1;
    let refused = foreign && offer.as_ref().is_some_and(|offer| !offer.standby_for.iter().any(me));
    let answers = match fleet {
        Some(fleet) => fleet.answering(&spec.name),
        None => known.answers.map(|(answers, _)| answers),
    };
    let trouble = match (&known.trouble, answers) {
        (Some(trouble), _) => Some(trouble.clone()),
        _ if refused => Some(format!(
            "the ScalableService behind it is in another namespace and does not name {}/{} in spec.standbyFor",
            key.0, key.1
        )),
        (None, Some(true)) => None,
        (None, Some(false)) => Some("it does not answer".to_owned()),
        // What is not known is as it was.
        (None, None) if before.ready => None,
        (None, None) => Some("no balancer has asked it yet".to_owned()),
    };
    // One that was asked for replicas and has yet to say what it has, after a start, has none for more than before.
    let unmeasured = (before.replicas > 0).then_some(Capacity { ready: 0, own: 0, most: i32::MAX });
    let capacity = offer.filter(|_| !refused).map(|offer| offer.capacity).or(unmeasured);
    let address = known.address.map(|address| address.to_string());
    StandbySeen { name: spec.name.clone(), address, trouble, capacity }
}

/// Where a standby is; the address it had, if it is still one of several.
async fn address(
    spec: &Standby,
    last: Option<SocketAddr>,
    namespace: &str,
    client: &Client,
) -> Result<SocketAddr, String> {
    match (&spec.service, &spec.address) {
        (Some(service), _) => of_service(service, last, namespace, client).await,
        (None, Some(StandbyAddress { host, port })) => of_host(host, *port, last).await,
        (None, None) => Err("it has neither service nor address".to_owned()),
    }
}

async fn of_service(
    to: &StandbyService,
    last: Option<SocketAddr>,
    namespace: &str,
    client: &Client,
) -> Result<SocketAddr, String> {
    let namespace = to.namespace.as_deref().unwrap_or(namespace);
    let name = format!("Service {namespace}/{}", to.name);
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found =
        api.get_opt(&to.name).await.map_err(|error| format!("{name} can't be read: {}", said(&error)))?;
    let spec = found.and_then(|service| service.spec).ok_or_else(|| format!("{name} does not exist"))?;
    if let Some(host) = spec.external_name.filter(|_| spec.type_.as_deref() == Some("ExternalName")) {
        return of_host(&host, to.port, last).await;
    }
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    if !ports.contains(&to.port) {
        return Err(format!("{name} has no port {}, but {ports:?}", to.port));
    }
    let ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let ip =
        ip.ok_or_else(|| format!("{name} is headless; a standby needs an address of its own (clusterIP)"))?;
    Ok(SocketAddr::new(ip, u16::try_from(to.port).unwrap_or_default()))
}

async fn of_host(host: &str, port: i32, last: Option<SocketAddr>) -> Result<SocketAddr, String> {
    let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
    let found =
        lookup_host((host, port)).await.map_err(|error| format!("{host} can't be resolved: {error}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_unstable();
    let same = last.filter(|last| found.contains(last));
    same.or_else(|| found.first().copied()).ok_or_else(|| format!("{host} has no address"))
}
