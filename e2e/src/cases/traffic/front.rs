//! A shop behind two balancers, with as many replicas as a dial asks for; and a control behind a plain Service, which sees
//! the same changes without Plimsoll.

use crate::{
    authority::Signed,
    cases::prelude::*,
    metrics::{fetch, sample},
    stage::{Shop, scalable_service, service_url},
};
use std::time::UNIX_EPOCH;

/// Deployment and ScalableService behind the balancers.
pub const SHOP: &str = "shop";
pub const CONTROL: &str = "control";
/// Flags of a shop that exits immediately on SIGTERM, with requests in flight.
pub const CARELESS: &[&str] = &["--drain-delay=0s", "--shutdown-grace=0s", "--service-jitter=0"];

pub struct Setup {
    pub namespace: &'static str,
    pub provider: &'static str,
    pub replicas: u32,
    pub most: u32,
    pub workers: u32,
    pub service_time: &'static str,
    pub more: &'static [&'static str],
    pub window: u32,
    /// `listeners` of `spec.traffic`, and further fields of it, each on a line of its own.
    pub traffic: &'static str,
    pub more_kpis: &'static str,
    /// Further fields of the spec, such as `recovery`, each on a line of its own.
    pub more_spec: &'static str,
}

impl Setup {
    /// A shop on port 80 that serves a request in 20 ms and drains itself before it exits.
    pub const fn of(namespace: &'static str, replicas: u32) -> Self {
        Self {
            namespace,
            provider: "HAProxy",
            replicas,
            most: 20,
            workers: 4,
            service_time: "20ms",
            more: &["--drain-delay=3s"],
            window: 0,
            traffic: "listeners: [{port: 80}]",
            more_kpis: "",
            more_spec: "",
        }
    }

    pub fn shop(&self, name: &'static str) -> Shop<'_> {
        let Self { namespace, replicas, workers, service_time, more, .. } = *self;
        Shop { workers, service_time, more, ..Shop::of(namespace, name, replicas) }
    }
}

pub struct Front<'a> {
    pub test: TestNamespace<'a>,
    dial: Dial,
    pub url: String,
    pub target: WatchLog,
    pub service: WatchLog,
}

impl<'a> Front<'a> {
    /// Sets everything up, after `prepare` has made what the balancers need; returns when both balancers are ready.
    pub fn set(
        fixture: &'a Fixture,
        setup: &Setup,
        prepare: impl FnOnce(&TestNamespace<'a>) -> Result<()>,
    ) -> Result<Self> {
        let test = TestNamespace::open(fixture, setup.namespace)?;
        prepare(&test)?;
        // Both start while the dial does.
        test.apply(&setup.shop(SHOP).manifest(&test.stage.built.shop_image))?;
        let dial = test.dial()?;
        dial.set(u64::from(setup.replicas) * 10)?;
        setup.shop(SHOP).deploy(test.stage)?;
        test.apply(&service(setup))?;
        let follow = |kind| test.follow(kind, SHOP);
        let (target, service) = (follow("deployment")?, follow("scalableservice")?);
        service.wait("TrafficSynced and Ready", Duration::from_secs(40), |seen| {
            ["TrafficSynced", "Ready"].iter().all(|type_| seen.is(type_))
                && seen.number("/status/observedGeneration") == seen.generation()
        })?;
        let url = service_url(test.stage, setup.namespace, &format!("{SHOP}-lb"), 80)?;
        let front = Self { test, dial, url, target, service };
        front.both_ready(Duration::from_secs(20))?;
        front.test.explain(SHOP, &["2/2 in sync"])?;
        Ok(front)
    }

    pub fn ask(&self, replicas: u32) -> Result<()> {
        self.dial.set(u64::from(replicas) * 10)
    }

    pub fn wait_for(&self, replicas: u32, within: Duration) -> Result<Snapshot> {
        let wanted = i64::from(replicas);
        self.target.wait(&format!("at {replicas}"), within, |seen| {
            seen.wanted() == wanted
                && seen.number("/status/replicas") == wanted
                && seen.number("/status/readyReplicas") == wanted
        })
    }

    pub fn balancers(&self) -> Result<Vec<Pod>> {
        Pod::all(&self.test, &format!("plimsoll.dev/balancer={SHOP}"))
    }

    /// Start time of each HAProxy process by its own metric, in seconds since 1970; a reload is a new process.
    pub fn starts(&self) -> Result<Vec<f64>> {
        let of = |balancer: &Pod| {
            let text = fetch(&format!("http://{}:9101/metrics", balancer.ip))?;
            sample(&text, "haproxy_process_start_time_seconds").context("no start time")
        };
        self.balancers()?.iter().map(of).collect()
    }

    pub fn agents(&self) -> Result<Vec<String>> {
        let page = |balancer: &Pod| fetch(&format!("http://{}:9102/metrics", balancer.ip));
        self.balancers()?.iter().map(page).collect()
    }

    pub fn both_ready(&self, within: Duration) -> Result<()> {
        wait_for("two ready balancers", within, || {
            Ok(self.balancers()?.iter().filter(|balancer| balancer.ready).count() == 2)
        })
    }

    /// Makes the kubelet update a balancer's Secrets now: it does so when the pod changes, otherwise once a minute.
    pub fn touch(&self, balancer: &Pod, mark: usize) -> Result<()> {
        let words = format!("annotate pod {} --overwrite touched={mark}", balancer.name);
        self.test.kubectl(&words).map(drop)
    }

    /// Waits until the status has `draining` pods; returns when that was, and the pods.
    pub fn draining(&self, since: SystemTime, within: Duration) -> Result<(SystemTime, Vec<String>)> {
        let seen =
            self.service.wait("draining", within, |seen| seen.at >= since && !victims(seen).is_empty())?;
        Ok((seen.at, victims(&seen)))
    }

    /// Every pod that was in the status' `draining` since then.
    pub fn drained(&self, since: SystemTime) -> BTreeSet<String> {
        self.service.all().iter().filter(|seen| seen.at >= since).flat_map(victims).collect()
    }

    /// Changes fields of `spec.traffic`, and waits until the balancers have applied them.
    pub fn change(&self, traffic: &Value, within: Duration) -> Result<()> {
        self.set_traffic(traffic)?;
        let generation = self.test.get("scalableservice", SHOP)?.generation();
        let new = |balancer: &Value| {
            balancer.number("/observedGeneration") == generation && balancer["inSync"] == json!(true)
        };
        self.service.wait("in sync with its new spec", within, |seen| {
            let balancers = seen.list("/status/traffic/balancers");
            balancers.len() >= 2 && balancers.iter().all(new)
        })?;
        Ok(())
    }

    /// Changes fields of `spec.traffic`; null removes it.
    pub fn set_traffic(&self, traffic: &Value) -> Result<()> {
        self.test.patch(&format!("scalableservice {SHOP}"), &json!({"spec": {"traffic": traffic}}))
    }
}

fn victims(seen: &Snapshot) -> Vec<String> {
    seen.list("/status/traffic/draining").iter().map(|entry| entry.text("/pod").to_owned()).collect()
}

pub const HOST: &str = "shop.example";

pub fn serve_with(test: &TestNamespace<'_>, Signed { certificate, key }: &Signed) -> Result<()> {
    test.secret("shop-tls", "kubernetes.io/tls", &json!({"tls.crt": certificate, "tls.key": key}))
}

pub fn control(test: &TestNamespace<'_>, setup: &Setup) -> Result<String> {
    setup.shop(CONTROL).serve(test.stage)
}

pub fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64()
}

pub fn unix(at: SystemTime) -> f64 {
    seconds(UNIX_EPOCH, at)
}

pub fn spread(front: &Front<'_>) -> Result<()> {
    let nodes: BTreeSet<_> = front.balancers()?.into_iter().map(|balancer| balancer.node).collect();
    ensure!(nodes.len() == 2, "the balancers are all on {nodes:?}");
    Ok(())
}

fn service(setup: &Setup) -> String {
    let Setup { namespace, provider, most, window, traffic, more_kpis, more_spec, .. } = setup;
    let traffic = traffic.replace('\n', "\n  ");
    let query = Dial::query(namespace);
    let spec = format!(
        r#"kpis:
- {{name: dial, type: Load, query: '{query}', perReplica: "10"}}
{more_kpis}
behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}
traffic:
  provider: {provider}
  targetPort: 8080
  {traffic}
{more_spec}"#
    );
    let replicas = u32::from(setup.replicas > 0)..=*most;
    scalable_service((namespace, SHOP), "{kind: Deployment, name: shop}", replicas, &spec)
}
