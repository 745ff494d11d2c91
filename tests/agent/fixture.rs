//! An agent with its HAProxy; the test sets what the agent knows from the API server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll::{
    balancer::{
        Driver, Endpoint, Resources,
        agent::{
            AgentMetrics, Answers, Gate, Known, Links, Mounted, Pilot, Prober, Replicas, Service, Setup,
            measure_saturation,
        },
        haproxy::{HaProxy, Paths},
    },
    telemetry::Health,
};
use plimsoll_api::{BalancerStatus, Percent, Software, Traffic};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::support::{Balancer, Replica, balancer::free_port, traffic};

pub struct Fixture {
    pub balancer: Balancer,
    pub known: watch::Sender<Known>,
    pub status: watch::Receiver<BalancerStatus>,
    pub metrics: Arc<AgentMetrics>,
    /// Saturation, which is in the entry in status beside `status`.
    pub saturation: watch::Receiver<Option<Percent>>,
    /// Address of the balancer's listener.
    pub front: SocketAddr,
    /// Port of every replica; each has its own IP address.
    pub port: u16,
    tasks: Vec<JoinHandle<()>>,
}

impl Fixture {
    /// An agent without any data yet; the test starts its HAProxy.
    pub async fn new() -> Self {
        Self::of(Balancer::new()).await
    }

    pub async fn of(balancer: Balancer) -> Self {
        let known = watch::Sender::new(Known::default());
        let (held, waiting) = watch::channel(0);
        let (replicas, handed_to) =
            watch::channel(Replicas { addresses: Vec::new(), patience: Duration::from_secs(30) });
        let (probed, answers) = watch::channel(Answers::default());
        let authorities = Mounted::at(balancer.folder.join("authorities"));
        let (status, seen) = watch::channel(BalancerStatus::default());
        let gate =
            Gate::bind((Ipv4Addr::LOCALHOST, 0).into(), handed_to, authorities.clone(), held).await.unwrap();
        let metrics = Arc::new(AgentMetrics::of(Software::HAProxy));
        let paths = balancer.driver.paths();
        let driver = Arc::new(Driver::HaProxy(HaProxy::new(Paths { ..paths.clone() })));
        let setup = Setup {
            driver: Arc::clone(&driver),
            service: ("shop".to_owned(), "checkout".to_owned()),
            pod: "checkout-lb-1".to_owned(),
            resources: Resources::default(),
            gate: gate.address().unwrap(),
            secrets: balancer.folder.join("certificates"),
            authorities: authorities.clone(),
            folder: balancer.folder.clone(),
            metrics: Arc::clone(&metrics),
            health: Health::default(),
            configured: Arc::default(),
        };
        let pilot = Pilot::new(
            setup,
            Links { known: known.clone(), waiting, carried: gate.carried(), replicas, answers, status },
        );
        let prober = Prober::new("shop", "checkout", authorities, Arc::clone(&metrics));
        let probing = prober.run(known.subscribe(), probed);
        let (saturated, saturation) = watch::channel(None);
        let (measured, shared_metrics) = (Arc::clone(&driver), Arc::clone(&metrics));
        let measuring = async move { measure_saturation(&measured, &shared_metrics, saturated).await };
        let hand_over = async move { driver.hand_over().await };
        let tasks = vec![
            tokio::spawn(pilot.run()),
            tokio::spawn(gate.run()),
            tokio::spawn(probing),
            tokio::spawn(measuring),
            tokio::spawn(hand_over),
        ];
        let front = (Ipv4Addr::LOCALHOST, free_port()).into();
        Self { balancer, known, status: seen, metrics, saturation, front, port: free_port(), tasks }
    }

    /// A service with a running HAProxy, without replicas.
    pub async fn running(minimum: i32, more: &Value) -> Self {
        let mut fixture = Self::new().await;
        fixture.set_spec(1, minimum, more);
        fixture.update(|known| known.endpoints = Some(plimsoll::balancer::Endpoints::default()));
        fixture.until("HAProxy is missing", |status| status.message.is_some()).await;
        fixture.balancer.spawn();
        fixture.until("it is in sync", |status| status.in_sync).await;
        fixture
    }

    pub fn traffic(&self, more: &Value) -> Traffic {
        let mut spec = json!({"targetPort": self.port, "listeners": [{"port": self.front.port()}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        traffic(spec)
    }

    /// Changes the agent's data, as its watches do.
    pub fn update(&self, change: impl FnOnce(&mut Known)) {
        self.known.send_modify(|known| {
            change(known);
            known.touch();
        });
    }

    /// Sets a spec of this generation.
    pub fn set_spec(&self, generation: i64, minimum: i32, more: &Value) {
        let traffic = self.traffic(more);
        let draining = std::collections::BTreeMap::new();
        let standbys = Vec::new();
        let service =
            Service { generation, holds: minimum == 0, traffic, draining, balancers: None, standbys };
        self.update(|known| known.service = Some(service));
    }

    /// Starts a replica with this number in its address, and adds its endpoint.
    pub async fn replica(&self, number: u8, delay: Duration) -> Replica {
        let ip = Ipv4Addr::new(127, 0, 1, number);
        let name = format!("checkout-{number}");
        let replica = Replica::start_at((ip, self.port).into(), &name, delay).await;
        self.endpoint(number, true, false);
        replica
    }

    pub fn endpoint(&self, number: u8, ready: bool, terminating: bool) {
        let ip = IpAddr::from([127, 0, 1, number]);
        let endpoint = Endpoint { ip, ready, serving: true, terminating, zone: None };
        self.update(|known| {
            let mut all = known.endpoints.clone().unwrap_or_default();
            all.0.insert(format!("checkout-{number}"), endpoint);
            known.list(all);
        });
    }

    pub fn remove(&self, number: u8) {
        self.update(|known| {
            known.endpoints.get_or_insert_default().0.remove(&format!("checkout-{number}"));
        });
    }

    pub fn drain(&self, pods: &[&str]) {
        let now = Time(Timestamp::now());
        let pods = pods.iter().map(|pod| ((*pod).to_owned(), Some(now.clone()))).collect();
        self.update(|known| known.service.as_mut().unwrap().draining = pods);
    }

    pub fn eject(&self, pods: &[&str]) {
        let pods = pods.iter().map(|pod| ((*pod).to_owned(), None)).collect();
        self.update(|known| known.service.as_mut().unwrap().draining = pods);
    }

    /// Waits for a status.
    pub async fn until(&mut self, what: &str, holds: impl FnMut(&BalancerStatus) -> bool) -> BalancerStatus {
        let reached = timeout(Duration::from_secs(15), self.status.wait_for(holds)).await;
        if let Ok(status) = reached {
            return status.unwrap().clone();
        }
        drop(reached);
        panic!("not within 15 s: {what}; the status is {:#?}", *self.status.borrow())
    }

    pub async fn programmed(&mut self, replicas: i32) {
        self.until("the replicas are programmed", |status| status.in_sync && status.programmed == replicas)
            .await;
    }

    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Ends the agent as a crash would; HAProxy keeps running.
    pub async fn crash(self) -> (Balancer, SocketAddr, u16) {
        let Self { balancer, tasks, front, port, .. } = self;
        for task in tasks {
            task.abort();
            drop(task.await);
        }
        (balancer, front, port)
    }
}
