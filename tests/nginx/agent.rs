//! The agent with NGINX, without an API server.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use plimsoll::{
    balancer::{
        Driver, Endpoint, Endpoints, Resources,
        agent::{
            AgentMetrics, Answers, Carried, Known, Links, Mounted, Pilot, Replicas, Service, Setup, stop,
        },
        nginx::Nginx,
    },
    telemetry::Health,
};
use plimsoll_api::{BalancerStatus, Software};
use serde_json::json;
use tokio::{sync::watch, time::timeout};

use crate::{
    proxy::Proxy,
    support::{Client, Load, Replica, all_served, balancer::free_port, traffic, wait},
};

struct Fixture {
    proxy: Proxy,
    known: watch::Sender<Known>,
    status: watch::Receiver<BalancerStatus>,
    metrics: Arc<AgentMetrics>,
    front: SocketAddr,
    port: u16,
}

impl Fixture {
    async fn running() -> Self {
        let mut proxy = Proxy::new();
        let known = watch::Sender::new(Known::default());
        let (_held, waiting) = watch::channel(0);
        let patience = Duration::from_secs(30);
        let (replicas, _) = watch::channel(Replicas { addresses: Vec::new(), patience });
        let (status, seen) = watch::channel(BalancerStatus::default());
        let metrics = Arc::new(AgentMetrics::of(Software::NGINX));
        let setup = Setup {
            driver: Arc::new(Driver::Nginx(Nginx::new(proxy.paths.clone()))),
            service: ("shop".to_owned(), "checkout".to_owned()),
            pod: "checkout-lb-1".to_owned(),
            resources: Resources::default(),
            gate: (Ipv4Addr::LOCALHOST, 9).into(),
            secrets: proxy.folder.join("certificates"),
            authorities: Mounted::at(proxy.folder.join("authorities")),
            folder: proxy.folder.clone(),
            metrics: Arc::clone(&metrics),
            health: Health::default(),
            configured: Arc::default(),
        };
        let (_probed, answers) = watch::channel(Answers::default());
        let links =
            Links { known: known.clone(), waiting, carried: Carried::default(), replicas, answers, status };
        tokio::spawn(Pilot::new(setup, links).run());
        let (front, port) = ((Ipv4Addr::LOCALHOST, free_port()).into(), free_port());
        let mut fixture = Self { proxy: Proxy::new(), known, status: seen, metrics, front, port };
        let spec =
            json!({"provider": "NGINX", "targetPort": port, "listeners": [{"port": fixture.front.port()}]});
        let service = Service {
            generation: 1,
            holds: false,
            traffic: traffic(spec),
            draining: BTreeMap::new(),
            balancers: None,
            standbys: Vec::new(),
        };
        fixture.edit(|known| {
            known.service = Some(service);
            known.endpoints = Some(Endpoints::default());
        });
        fixture.until("NGINX is missing", |status| status.message.is_some()).await;
        proxy.spawn();
        fixture.proxy = proxy;
        fixture.until("it is in sync", |status| status.in_sync).await;
        fixture
    }

    fn edit(&self, change: impl FnOnce(&mut Known)) {
        self.known.send_modify(|known| {
            change(known);
            known.touch();
        });
    }

    async fn replica(&self, number: u8) -> Replica {
        let ip = Ipv4Addr::new(127, 0, 2, number);
        let name = format!("checkout-{number}");
        let replica = Replica::start_at((ip, self.port).into(), &name, Duration::from_millis(1)).await;
        let endpoint =
            Endpoint { ip: IpAddr::V4(ip), ready: true, serving: true, terminating: false, zone: None };
        self.edit(|known| {
            known.endpoints.get_or_insert_default().0.insert(name, endpoint);
        });
        replica
    }

    async fn until(&mut self, what: &str, holds: impl FnMut(&BalancerStatus) -> bool) -> BalancerStatus {
        let reached = timeout(Duration::from_secs(15), self.status.wait_for(holds)).await;
        if let Ok(status) = reached {
            return status.unwrap().clone();
        }
        drop(reached);
        panic!("not within 15 s: {what}; the status is {:#?}", *self.status.borrow())
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_in_quick_succession_share_one_reload() {
    let mut fixture = Fixture::running().await;
    let mut replicas = vec![fixture.replica(1).await];
    fixture.until("the first is programmed", |status| status.programmed == 1).await;
    let (begin, before) = (Instant::now(), fixture.metric("plimsoll_balancer_reloads_total"));
    let load = Load::start(fixture.front, 4, true, "/");
    for number in 2..12 {
        replicas.push(fixture.replica(number).await);
        wait(100).await;
    }
    fixture.until("all are programmed", |status| status.in_sync && status.programmed == 11).await;
    let reloads = fixture.metric("plimsoll_balancer_reloads_total") - before;
    // At most one reload every two seconds, however long a busy machine takes for the changes.
    let most = 1.0 + begin.elapsed().as_secs_f64() / 2.0;
    assert!(reloads <= most && reloads < 10.0, "{reloads} reloads for 10 changes in {:?}", begin.elapsed());
    all_served(&replicas).await;
    let account = load.finish().await;
    assert!(account.ok > 100);
    assert_eq!(account.lost(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_pod_is_reported_as_drained_when_it_has_no_requests_left() {
    let mut fixture = Fixture::running().await;
    let replicas = [fixture.replica(1).await, fixture.replica(2).await];
    fixture.until("both are programmed", |status| status.programmed == 2).await;
    let front = fixture.front;
    let slow: Vec<_> =
        (0..6).map(|_| tokio::spawn(async move { Client::new(front).get("/9000ms", &[]).await })).collect();
    while replicas[0].working() == 0 || replicas[1].working() == 0 {
        wait(5).await;
    }
    fixture.edit(|known| known.service.as_mut().unwrap().draining = [("checkout-2".to_owned(), None)].into());
    let status = fixture.until("it gets no new requests", |status| status.programmed == 1).await;
    assert!(status.drained.is_empty() && replicas[1].working() > 0, "{status:?}");
    let status = fixture.until("it is drained", |status| !status.drained.is_empty()).await;
    assert_eq!(status.drained, ["checkout-2"]);
    assert_eq!(replicas[1].working(), 0);
    for answer in slow {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_waits_until_no_client_connects_and_kept_connections_are_closed() {
    let mut fixture = Fixture::running().await;
    let _a = fixture.replica(1).await;
    fixture.until("it is programmed", |status| status.programmed == 1).await;
    let front = fixture.front;
    let keeps = Load::start(front, 2, true, "/");
    wait(200).await;
    let folder = fixture.proxy.folder.clone();
    let stopping = tokio::spawn(async move { stop(Software::NGINX, &folder, Duration::from_secs(40)).await });
    let connects = Load::start(front, 4, false, "/");
    wait(5_000).await;
    assert!(!stopping.is_finished(), "clients still connect");
    let mut client = Client::new(front);
    let answer = client.get("/", &[]).await.unwrap();
    assert!(answer.head.to_lowercase().contains("connection: close"), "{}", answer.head);
    for load in [keeps, connects] {
        let account = load.finish().await;
        assert!(account.ok > 100);
        assert_eq!(account.lost(), 0);
    }
    // `/proc/net/tcp` may omit connections while thousands of others open and close, so the hook may find closed ones late. It
    // stops waiting for a quiet period after 15 s.
    timeout(Duration::from_secs(20), stopping).await.expect("the hook ends").unwrap().unwrap();
}
