//! The addresses of a service's standbys, and whether they accept connections if no balancer probes them. Both are determined
//! in the background, so that no turn waits for a slow name server or API server.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::super::key::ServiceKey;
use crate::{actuate::message_of, names};
use plimsoll_api::{Backend, Standby, StandbyAddress, StandbyService, StandbyStatus};

/// Time after which an address is resolved again.
const ADDRESS_AGE_MAX: Duration = Duration::from_secs(10);
/// Interval for standbys without an address, and for those that no balancer probes.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// Failed connections in a row after which a standby counts as down: a single one may fail by chance.
const FALL: u32 = 2;
/// Time limit for resolving an address, and for a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// How standbys may be examined.
pub struct Asked<'a> {
    /// Whether a standby may be examined: one in another namespace only with its consent.
    pub consents: &'a (dyn Fn(&Standby) -> bool + Sync),
    /// Whether to probe by connections, since no balancer does.
    pub connect: bool,
}

/// The known state of the standbys of one service, by name.
#[derive(Debug, Default)]
pub struct KnownStandbys(HashMap<String, KnownStandby>);

/// The known state of one standby.
#[derive(Debug)]
pub struct KnownStandby {
    spec: Standby,
    /// Whether it may be examined.
    consents: bool,
    /// The last resolved addresses, sorted.
    pub addresses: Vec<SocketAddr>,
    /// Why there is no address.
    pub trouble: Option<String>,
    /// Failed connections in a row; `None` if none was tried.
    failed: Option<u32>,
    looked: Option<Instant>,
    /// A lookup in progress.
    look: JoinSet<Found>,
}

/// The result of a lookup: the addresses, and whether the first one accepted a connection, if that was tried.
type Found = (Result<Vec<SocketAddr>, String>, Option<bool>);

impl KnownStandbys {
    /// The state of each of `specs`, in their order. `last_written` has the addresses of the status, for a process that has
    /// just started. Only the very first lookup is awaited.
    pub async fn look(
        &mut self,
        specs: &[Standby],
        last_written: impl Fn(&str) -> Vec<SocketAddr>,
        asked: &Asked<'_>,
        key: &ServiceKey,
        client: &Client,
    ) -> Vec<&KnownStandby> {
        let mut before = std::mem::take(&mut self.0);
        let looks = specs.iter().map(|spec| {
            let consents = (asked.consents)(spec);
            let known = before.remove(&spec.name).filter(|known| known.consents == consents);
            let addresses = if known.is_none() { last_written(&spec.name) } else { Vec::new() };
            let known = known.filter(|known| known.spec == *spec);
            let known = known.unwrap_or_else(|| {
                if consents { KnownStandby::new(spec, addresses) } else { KnownStandby::refused(spec, key) }
            });
            async move {
                if known.consents { known.look(asked.connect, &key.namespace, client).await } else { known }
            }
        });
        let known = futures::future::join_all(looks).await;
        self.0 = known.into_iter().map(|known| (known.spec.name.clone(), known)).collect();
        specs.iter().filter_map(|spec| self.0.get(&spec.name)).collect()
    }
}

impl KnownStandby {
    fn new(spec: &Standby, addresses: Vec<SocketAddr>) -> Self {
        let (spec, look) = (spec.clone(), JoinSet::new());
        Self { spec, consents: true, addresses, trouble: None, failed: None, looked: None, look }
    }

    /// A standby that may not be examined. The sentence does not depend on whether the Service exists.
    fn refused(spec: &Standby, ServiceKey { namespace, name }: &ServiceKey) -> Self {
        let trouble = format!(
            "it is in another namespace; the ScalableService behind it must list {namespace}/{name} in \
             spec.standbyFor"
        );
        Self { consents: false, trouble: Some(trouble), ..Self::new(spec, Vec::new()) }
    }

    /// Whether it accepts connections, if any was tried.
    pub fn answers(&self) -> Option<bool> {
        self.failed.map(|failed| failed < FALL)
    }

    async fn look(mut self, connect: bool, namespace: &str, client: &Client) -> Self {
        if let Some(Ok(found)) = self.look.try_join_next() {
            self.take(found);
        }
        let often = connect || self.trouble.is_some();
        let pause = if often { ASKED_EVERY } else { ADDRESS_AGE_MAX };
        if self.look.is_empty() && self.looked.is_none_or(|at| at.elapsed() >= pause) {
            let (spec, last, namespace) = (self.spec.clone(), self.addresses.clone(), namespace.to_owned());
            self.look.spawn(find(spec, last, connect, namespace, client.clone()));
        }
        if self.looked.is_none()
            && self.addresses.is_empty()
            && let Some(Ok(found)) = self.look.join_next().await
        {
            self.take(found);
        }
        self
    }

    fn take(&mut self, (addresses, connected): Found) {
        self.looked = Some(Instant::now());
        match addresses {
            Ok(addresses) => (self.addresses, self.trouble) = (addresses, None),
            // Keep the last addresses rather than have none.
            Err(trouble) => self.trouble = self.addresses.is_empty().then_some(trouble),
        }
        match connected {
            Some(true) => self.failed = Some(0),
            // The first result counts alone, since there is none before it.
            Some(false) => self.failed = Some(self.failed.map_or(FALL, |failed| failed.saturating_add(1))),
            None => {}
        }
    }
}

async fn find(
    spec: Standby,
    last: Vec<SocketAddr>,
    connect: bool,
    namespace: String,
    client: Client,
) -> Found {
    let late = |_| Err(format!("its address was not resolved within {} s", PATIENCE.as_secs()));
    let places = addresses(&spec, &last, &namespace, &client, connect);
    let addresses = timeout(PATIENCE, places).await.unwrap_or_else(late);
    let connected = match addresses.as_ref().ok().and_then(|found| found.first()).filter(|_| connect) {
        Some(address) => Some(matches!(timeout(PATIENCE, TcpStream::connect(address)).await, Ok(Ok(_)))),
        None => None,
    };
    (addresses, connected)
}

/// The addresses of a standby. If the operator itself connects, only a Service's cluster IP is allowed: with a host name, its
/// author could make the operator connect anywhere.
async fn addresses(
    spec: &Standby,
    last: &[SocketAddr],
    namespace: &str,
    client: &Client,
    connect: bool,
) -> Result<Vec<SocketAddr>, String> {
    match spec.backend() {
        Some(Backend::Service(service)) => of_service(service, last, namespace, client, connect).await,
        Some(Backend::Address(_)) if connect => {
            Err("it is an address; without a balancer run by Plimsoll it must be a service".to_owned())
        }
        Some(Backend::Address(StandbyAddress { host, port })) => of_host(host, *port, last).await,
        None => Err("it must have either service or address".to_owned()),
    }
}

async fn of_service(
    to: &StandbyService,
    last: &[SocketAddr],
    namespace: &str,
    client: &Client,
    connect: bool,
) -> Result<Vec<SocketAddr>, String> {
    let namespace = to.namespace.as_deref().unwrap_or(namespace);
    let name = format!("Service {namespace}/{}", to.name);
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = api
        .get_opt(&to.name)
        .await
        .map_err(|error| format!("{name} can't be read: {}", message_of(&error)))?;
    let spec = found.and_then(|service| service.spec).ok_or_else(|| format!("{name} does not exist"))?;
    if let Some(host) = spec.external_name.filter(|_| spec.type_.as_deref() == Some("ExternalName")) {
        if connect {
            return Err(format!(
                "{name} has type ExternalName; without a balancer run by Plimsoll a standby needs a clusterIP"
            ));
        }
        return of_host(&host, to.port, last).await;
    }
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    if !ports.contains(&to.port) {
        return Err(format!("{name} has no port {}; its ports are {ports:?}", to.port));
    }
    let ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let ip = ip.ok_or_else(|| format!("{name} is headless; a standby needs a clusterIP"))?;
    Ok(vec![SocketAddr::new(ip, u16::try_from(to.port).unwrap_or_default())])
}

async fn of_host(host: &str, port: i32, last: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
    let port = u16::try_from(port).map_err(|_| format!("{port} is not a valid port"))?;
    let found = names::look_up(host, port).await;
    let found = found.map_err(|error| format!("{host} can't be resolved: {error}"))?;
    if found.is_empty() { Err(format!("{host} has no address")) } else { Ok(chosen(&found, last)) }
}

/// Limits the addresses to the maximum: the last ones that are still listed, then the first others. So a name server that
/// returns a different subset each time moves as few requests as possible.
///
/// IPv6 addresses are used only if there is no IPv4 address: an IPv4-only cluster has no route to them.
fn chosen(found: &[SocketAddr], last: &[SocketAddr]) -> Vec<SocketAddr> {
    let has_ipv4 = found.iter().any(SocketAddr::is_ipv4);
    let found = found.iter().filter(|one| one.is_ipv4() || !has_ipv4);
    let (kept, new): (Vec<SocketAddr>, Vec<SocketAddr>) = found.partition(|one| last.contains(one));
    let mut chosen: Vec<_> = kept.into_iter().chain(new).take(StandbyStatus::ADDRESSES_MAX).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::Router;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    /// An API server with one Service, and its number of requests.
    fn serving(service: Value) -> (Client, Arc<AtomicUsize>) {
        serving_in_turn(vec![service])
    }

    /// The same with a Service that changes with each request up to the last version.
    fn serving_in_turn(versions: Vec<Value>) -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = move || {
            let before = count.fetch_add(1, Ordering::SeqCst);
            let service = versions[before.min(versions.len() - 1)].to_string();
            async move { service }
        };
        (Client::new(Router::new().fallback(answer), "default"), asked)
    }

    fn service(spec: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "spare"}, "spec": spec})
    }

    /// The state of a standby in another namespace after one lookup.
    async fn look(
        client: &Client,
        port: u16,
        consents: bool,
        connect: bool,
    ) -> (Vec<SocketAddr>, Option<String>, Option<bool>) {
        let text = format!("{{name: far, service: {{namespace: other, name: spare, port: {port}}}}}");
        let spec: Standby = serde_saphyr::from_str(&text).unwrap();
        let asked = Asked { consents: &|_| consents, connect };
        let key = ServiceKey::new("shop", "checkout");
        let mut known = KnownStandbys::default();
        let found = known.look(&[spec], |_| Vec::new(), &asked, &key, client).await;
        (found[0].addresses.clone(), found[0].trouble.clone(), found[0].answers())
    }

    #[tokio::test]
    async fn a_service_of_another_namespace_is_not_read_without_its_consent() {
        let there = service(&json!({"clusterIP": "192.0.2.1", "ports": [{"port": 80}]}));
        let gone = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "spare"}});
        let mut results = Vec::new();
        for answer in [there.clone(), gone] {
            let (client, asked) = serving(answer);
            results.push(look(&client, 80, false, false).await);
            assert_eq!(asked.load(Ordering::SeqCst), 0);
        }
        assert_eq!(results[0], results[1], "the result does not depend on whether it exists");
        assert_eq!(results[0].0, []);
        let trouble = results[0].1.as_ref().unwrap();
        assert!(trouble.contains("list shop/checkout in spec.standbyFor"), "{trouble}");
        let (client, asked) = serving(there);
        assert_eq!(look(&client, 80, true, false).await.0, ["192.0.2.1:80".parse().unwrap()]);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_operator_connects_to_a_cluster_ip_and_never_to_an_external_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ports = json!([{"port": port}]);
        let (client, _) =
            serving(service(&json!({"type": "ExternalName", "externalName": "127.0.0.1", "ports": ports})));
        let (address, trouble, answers) = look(&client, port, true, true).await;
        assert_eq!((address, answers), (vec![], None));
        assert!(trouble.unwrap().contains("ExternalName"));
        let short = Duration::from_millis(100);
        assert!(timeout(short, listener.accept()).await.is_err(), "no connection");
        let (client, _) = serving(service(&json!({"clusterIP": "127.0.0.1", "ports": ports})));
        assert_eq!(look(&client, port, true, true).await.2, Some(true));
        assert!(timeout(short, listener.accept()).await.is_ok());
    }

    /// The lookup is the same for an address from the API server and from a name server.
    #[tokio::test(start_paused = true)]
    async fn an_address_is_resolved_again_after_its_maximum_age() {
        let of = |ip: &str| service(&json!({"clusterIP": ip, "ports": [{"port": 80}]}));
        let (client, requests) = serving_in_turn(vec![of("192.0.2.1"), of("192.0.2.2")]);
        let spec: Standby = serde_saphyr::from_str("{name: far, service: {name: spare, port: 80}}").unwrap();
        let asked = Asked { consents: &|_| true, connect: false };
        let key = ServiceKey::new("shop", "checkout");
        let mut known = KnownStandbys::default();
        let moment = Duration::from_millis(10);
        for (pause, addresses, requested) in [
            (Duration::ZERO, "192.0.2.1:80", 1),
            (ADDRESS_AGE_MAX - moment, "192.0.2.1:80", 1),
            // No turn waits for the answer, so the next one has it.
            (moment, "192.0.2.1:80", 2),
            (moment, "192.0.2.2:80", 2),
        ] {
            tokio::time::sleep(pause).await;
            let specs = [spec.clone()];
            let found = known.look(&specs, |_| Vec::new(), &asked, &key, &client).await;
            assert_eq!((&found[0].addresses, &found[0].trouble), (&at(&[addresses]), &None));
            // Let the lookup that was started now complete before the next call.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(requests.load(Ordering::SeqCst), requested);
        }
    }

    fn known(address: Option<&str>) -> KnownStandby {
        let spec = serde_saphyr::from_str("{name: far, address: {host: shop.example, port: 80}}").unwrap();
        KnownStandby::new(&spec, address.iter().map(|address| address.parse().unwrap()).collect())
    }

    fn at(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_host_is_an_address_or_a_name_that_resolves_to_all_its_addresses() {
        assert_eq!(of_host("127.0.0.1", 8080, &[]).await, Ok(at(&["127.0.0.1:8080"])));
        assert_eq!(of_host("::1", 8080, &[]).await, Ok(at(&["[::1]:8080"])));
        let found = of_host("localhost", 8080, &at(&["192.0.2.1:8080"])).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        let error = of_host("no-such-host.invalid", 80, &[]).await.unwrap_err();
        assert!(error.starts_with("no-such-host.invalid can't be resolved: "), "{error}");
        assert_eq!(of_host("localhost", 70_000, &[]).await, Err("70000 is not a valid port".to_owned()));
    }

    #[test]
    fn of_many_addresses_the_last_ones_are_kept_while_they_are_listed() {
        let all: Vec<SocketAddr> = (1..=20).map(|last| SocketAddr::from(([192, 0, 2, last], 80))).collect();
        assert_eq!(chosen(&all, &[]), all[..8]);
        assert_eq!(chosen(&all, &all[12..]), all[12..], "although others sort before them");
        assert_eq!(chosen(&all[5..], &all[3..11]), all[5..13]);
        assert_eq!(chosen(&all[..2], &all[5..]), all[..2], "addresses that are no longer listed are dropped");
        let both = at(&["192.0.2.1:80", "[2001:db8::1]:80"]);
        assert_eq!(chosen(&both, &both[1..]), both[..1], "IPv6 only where there is no IPv4");
        assert_eq!(chosen(&both[1..], &[]), both[1..]);
    }

    #[test]
    fn the_last_addresses_are_kept_when_resolution_fails() {
        let mut standby = known(Some("192.0.2.1:80"));
        standby.take((Err("shop.example can't be resolved".to_owned()), None));
        assert_eq!((standby.addresses, standby.trouble), (at(&["192.0.2.1:80"]), None));
        let mut standby = known(None);
        standby.take((Err("shop.example can't be resolved".to_owned()), None));
        assert_eq!(standby.trouble.as_deref(), Some("shop.example can't be resolved"));
        standby.take((Ok(at(&["192.0.2.2:80", "192.0.2.3:80"])), None));
        assert_eq!((standby.addresses, standby.trouble), (at(&["192.0.2.2:80", "192.0.2.3:80"]), None));
    }

    #[test]
    fn the_first_connection_counts_alone_and_later_failures_count_in_a_row() {
        let answers = |connections: &[bool]| {
            let mut standby = known(None);
            connections.iter().for_each(|good| standby.take((Ok(at(&["192.0.2.1:80"])), Some(*good))));
            standby.answers()
        };
        assert_eq!(answers(&[]), None);
        assert_eq!(answers(&[false]), Some(false));
        assert_eq!(answers(&[true]), Some(true));
        assert_eq!(answers(&[true, false]), Some(true), "a single one may fail by chance");
        assert_eq!(answers(&[true, false, true, false]), Some(true));
        assert_eq!(answers(&[true, false, false]), Some(false));
        assert_eq!(answers(&[false, true]), Some(true));
    }
}
