//! Failover: one failed request of a quiet service, and API calls about a standby in another namespace.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plimsoll::kpi::Question;
use plimsoll_harness::{history::Version, prometheus, world::World};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::manifests::{DialService, deployment, dial, traffic};

const EXAMPLE: &str = include_str!("../../../../examples/failover.yaml");
/// The namespaces of the example.
const PRIMARY: &str = "example-failover-a";
const STANDBY: &str = "example-failover-b";
/// The time for which the failed request affects the samples: the range of the example's query.
const SEEN_FOR: SignedDuration = SignedDuration::from_secs(30);
const SOON: Duration = Duration::from_secs(30);

/// The differences of the KPI `errors` and its sign from the example.
struct Sign {
    /// `query` and `volumeQuery`, without a range.
    instant: Option<[&'static str; 2]>,
    request_volume: Option<u32>,
}

/// A recorded share of errors and the number of requests behind it.
const RECORDED: [&str; 2] = ["shop:error_ratio:rate30s", "shop:requests:increase30s"];

impl Sign {
    /// The manifests of the example with this sign, and the queries for the share of errors and for the requests behind it.
    fn manifests(&self) -> (Vec<Value>, [String; 2]) {
        let all: Vec<Value> = serde_saphyr::from_multiple(EXAMPLE).unwrap();
        let mut all: Vec<Value> = all.into_iter().filter(|object| object["kind"] != "Namespace").collect();
        let is_primary = |object: &&mut Value| {
            object["kind"] == "ScalableService" && object["metadata"]["namespace"] == PRIMARY
        };
        let spec = &mut all.iter_mut().find(is_primary).unwrap()["spec"];
        if let Some(least) = self.request_volume {
            spec["failover"]["leave"]["when"][1]["requestVolume"] = json!(least);
        }
        let errors = &mut spec["kpis"][1];
        assert_eq!(errors["name"], "errors");
        if let Some([share, requests]) = self.instant {
            (errors["query"], errors["volumeQuery"]) = (json!(share), json!(requests));
            return (all, [share, requests].map(str::to_owned));
        }
        let share = errors["query"].as_str().unwrap().to_owned();
        let requests = Question::parse(&share).unwrap().volume().unwrap().to_owned();
        (all, [share, requests])
    }

    /// Whether requests leave the primary after it was quiet for 40 s and its only request gets a 500.
    async fn moves_requests(&self) -> bool {
        let world = World::default();
        let _operator = world.operator_with_balancers("plimsoll-0");
        let (manifests, [share, requests]) = self.manifests();
        world.prometheus.set(&share, 0.0);
        world.prometheus.set(&requests, prometheus::Value::Nothing);
        for object in &manifests {
            world.objects.apply(&object.to_string());
            if object["kind"] == "ScalableService" {
                world.prometheus.set(object["spec"]["kpis"][0]["query"].as_str().unwrap(), 0.0);
            }
        }
        // The in-memory server has neither defaults for Deployments nor addresses for Services.
        for namespace in [PRIMARY, STANDBY] {
            world.objects.patch("deployments", namespace, "checkout", json!({"spec": {"replicas": 2}}));
        }
        let front = || world.objects.get("services", STANDBY, "checkout-lb");
        world.until("the standby has balancers", SOON, front).await;
        world.objects.patch("services", STANDBY, "checkout-lb", json!({"spec": {"clusterIP": "10.96.0.7"}}));
        let service = world.follow("scalableservices", PRIMARY, "checkout");
        let ready = |version: &Version| version.number("/status/traffic/readyBalancers") == 2;
        service.wait("with balancers", SOON, ready).await;
        report_the_standby_as_answering(&world);
        let ready = |version: &Version| version.condition("FailoverReady").starts_with("True");
        // The address is resolved outside of the turns, and an idle service has few turns.
        service.wait("ready to fail over", Duration::from_secs(120), ready).await;
        service.stays("served by the primary", Duration::from_secs(40), stays_at_primary).await;
        let failed = world.clock.now();
        // It is the only request, so the share of errors and the number of requests are equal.
        let seen = move |at: Timestamp| {
            let is_seen = at.duration_since(failed) < SEEN_FOR;
            prometheus::Value::Number(if is_seen { 1.0 } else { 0.0 })
        };
        world.prometheus.script(&share, seen);
        world.prometheus.script(&requests, seen);
        let mark = service.mark();
        sleep(Duration::from_secs(180)).await;
        service.since(mark).iter().any(|version| !stays_at_primary(version))
    }
}

fn stays_at_primary(version: &Version) -> bool {
    version.text("/status/failover/active") == "primary"
        && version.number("/status/failover/backends/0/weight") == 0
}

/// Acts as the agent of a balancer, which checks the standby.
fn report_the_standby_as_answering(world: &World) {
    let pods = world.objects.list("pods", PRIMARY);
    let ours = |pod: &&Value| pod["metadata"]["labels"]["plimsoll.dev/balancer"] == "checkout";
    let pod = pods.iter().find(ours).unwrap();
    let entry = json!({"pod": pod["metadata"]["name"], "inSync": true, "answering": ["standby"]});
    let status = json!({"status": {"traffic": {"balancers": [entry]}}});
    world.objects.patch_status("scalableservices", PRIMARY, "checkout", status);
}

#[tokio::test(start_paused = true)]
async fn one_failed_request_of_a_quiet_service_causes_no_failover() {
    let example = Sign { instant: None, request_volume: None };
    assert!(!example.moves_requests().await);
}

#[tokio::test(start_paused = true)]
async fn one_failed_request_is_in_only_one_of_three_disjoint_ranges() {
    let any_volume = Sign { instant: None, request_volume: Some(0) };
    assert!(!any_volume.moves_requests().await);
}

#[tokio::test(start_paused = true)]
async fn one_failed_request_is_below_the_request_volume_of_a_query_without_a_range() {
    let recorded = Sign { instant: Some(RECORDED), request_volume: None };
    assert!(!recorded.moves_requests().await);
}

/// The control of the preceding stories.
#[tokio::test(start_paused = true)]
async fn one_failed_request_causes_a_failover_if_any_volume_counts_in_every_sample() {
    let unprotected = Sign { instant: Some(RECORDED), request_volume: Some(0) };
    assert!(unprotected.moves_requests().await);
}

const OWN: &str = "failover-own";
const FOREIGN: &str = "failover-foreign";

/// The number of calls about Services of the other namespace.
fn foreign_service_calls(world: &World) -> usize {
    let about_services = |shape: &str| shape.split(' ').nth(1) == Some("services");
    let calls = world.server.calls().into_iter();
    calls
        .filter(|call| about_services(&call.shape) && ["", FOREIGN].contains(&call.object.0.as_str()))
        .count()
}

#[tokio::test(start_paused = true)]
async fn standby_in_another_namespace_is_read_only_with_its_consent() {
    let world = World::default();
    let _operator = world.operator_with_balancers("plimsoll-0");
    for (namespace, name) in [(OWN, "web"), (FOREIGN, "spare")] {
        world.prometheus.set(&dial(namespace), 15.0);
        deployment(&world, namespace, name, 2);
    }
    DialService::on(OWN, "web").apply(&world);
    let traffic = traffic(&json!({}));
    let standby = json!({"name": "spare", "service": {"namespace": FOREIGN, "name": "spare", "port": 80}});
    let spec = json!({"spec": {"traffic": traffic, "failover": {"backends": [standby]}}});
    world.objects.patch("scalableservices", OWN, "web", spec);
    let service = world.follow("scalableservices", OWN, "web");
    let no_consent = |version: &Version| version.condition("FailoverReady").contains("spec.standbyFor");
    service.wait("naming the missing consent", SOON, no_consent).await;
    let reported = service.last().condition("FailoverReady");
    let same = |version: &Version| version.condition("FailoverReady") == reported;
    let a_while = Duration::from_secs(60);
    service.stays("unchanged without a Service", a_while, same).await;
    world.objects.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: spare, namespace: {FOREIGN}}}, \
         spec: {{clusterIP: 10.96.0.9, ports: [{{port: 80}}]}}}}"
    ));
    service.stays("unchanged with a Service", a_while, same).await;
    DialService::on(FOREIGN, "spare").apply(&world);
    service.stays("unchanged with a ScalableService", a_while, same).await;
    let addresses = |version: &Version| version.text("/status/failover/backends/0/addresses/0").to_owned();
    assert_eq!((foreign_service_calls(&world), addresses(&service.last()).as_str()), (0, ""));
    // Control: with the consent of the standby its Service is read.
    let consent = json!({"spec": {"standbyFor": [{"namespace": OWN, "name": "web"}]}});
    world.objects.patch("scalableservices", FOREIGN, "spare", consent);
    service.wait("with its address", SOON, |version| addresses(version) == "10.96.0.9:80").await;
    service.wait("no longer naming the consent", SOON, |version| !no_consent(version)).await;
    assert!(foreign_service_calls(&world) > 0);
}
