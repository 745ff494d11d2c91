//! A rule of an HTTPRoute follows failover: real requests through a Gateway whose status lies as implementations do.

use crate::{
    cases::prelude::*,
    stage::{GatewayStandIn, scalable_service},
};

const NAMESPACE: &str = "traffic-gateway";
const PORT: u16 = 18_090;
const HOST: &str = "shop.example.com";
const HOST_HEADER: &str = "--header=host: shop.example.com";
const RATE: u32 = 30;
/// Requests of a check, each on a new connection.
const LOOKS: usize = 40;
const FIGHT: Duration = Duration::from_secs(12);

pub fn run(fixture: &Fixture) -> Result<String> {
    let test = TestNamespace::open(fixture, NAMESPACE)?;
    let dial = test.dial()?;
    for name in ["shop", "standby"] {
        Setup::of(NAMESPACE, 2).shop(name).deploy(test.stage)?;
    }
    dial.set(20)?;
    let _stand_in = GatewayStandIn::start(test.stage, "stand-in")?;
    // A 500 of the pods is no evidence against the Gateway: the probe also asks a pod, by the headless Service.
    fault(&test, "shop", r#"{"errors": 1.0}"#)?;
    test.apply(&objects())?;
    let service = test.follow("scalableservice", "shop")?;
    says(&service, "True", "shop-pods 100, standby 0")?;
    fault(&test, "shop", "{}")?;
    let before = test.get("httproute", "shop")?;
    only(&answers()?, "shop")?;

    let flow = Flow::start(test.stage, &GatewayStandIn::url(PORT), RATE, 240, &[HOST_HEADER])?;
    // A concurrent edit of another rule.
    let edit = json!([{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 9}]);
    test.kubectl("annotate scalableservice shop plimsoll.dev/failover-to=standby")?;
    test.patch("httproute shop", &edit)?;
    says(&service, "True", "shop-pods 0, standby 100")?;
    only(&answers()?, "standby")?;
    let after = test.get("httproute", "shop")?;
    ensure!(weights(&after, 0) == [9, 3], "the edit is lost: {after}");
    ensure!(rest(&after) == rest(&before), "fields other than weights were changed: {after}");
    test.explain("shop", &["standby"])?;

    // Status of an older generation is not trusted, even if everything else is right.
    lie(&test, "stale")?;
    test.kubectl("annotate scalableservice shop --overwrite plimsoll.dev/failover-to=primary")?;
    let doubted = service.wait("in doubted", Duration::from_secs(60), |seen| {
        seen.says("TrafficSynced").contains("RouteProgressing")
    })?;
    sleep(Duration::from_secs(5));
    let still = service.all().into_iter().filter(|seen| seen.at > doubted.at);
    let believed = still.into_iter().find(|seen| seen.is("TrafficSynced"));
    ensure!(believed.is_none(), "a status of an older generation was trusted");
    lie(&test, "")?;
    says(&service, "True", "shop-pods 100, standby 0")?;
    only(&answers()?, "shop")?;
    let through = flow.finish(true)?;
    let control = killed(&test, &service)?;
    requests(through.sent, through.lost(), control.lost());
    through.none_lost("through the switch to the standby and back")?;
    control.some_lost("control, the primary's pods killed")?;
    let writes = fight(&test, &service)?;
    claim(&test)?;
    unnamed(&test, &service)?;
    taken_out(&test, &service)?;
    Ok(format!(
        "weights 100/0 -> 0/100 -> 100/0, {LOOKS} requests each at the right backend; control, pods killed, lost {}; \
         another client reverted the weights for {FIGHT:?}: {writes} writes against it, and reported",
        control.why()
    ))
}

/// Control: all serving pods are killed at the same time, while failover is frozen.
fn killed(test: &TestNamespace<'_>, service: &WatchLog) -> Result<Account> {
    let freeze = |value: &str| {
        let annotation = format!("plimsoll.dev/failover-freeze{value}");
        test.kubectl(&format!("annotate scalableservice shop --overwrite {annotation}")).map(drop)
    };
    let state = |words: &'static str, is: bool| {
        service.wait(words, Duration::from_secs(20), |seen| {
            let state = seen.text("/status/failover/state");
            !state.is_empty() && (state == "Frozen") == is
        })
    };
    freeze("=control")?;
    state("frozen", true)?;
    let flow = Flow::start(test.stage, &GatewayStandIn::url(PORT), RATE, 3, &[HOST_HEADER])?;
    sleep(Duration::from_secs(1));
    test.kubectl("delete pods --selector=app=shop --grace-period=0 --force --wait=false")?;
    let account = flow.finish(false)?;
    test.rolled_out("shop", Duration::from_secs(60))?;
    freeze("-")?;
    state("no longer frozen", false)?;
    Ok(account)
}

/// Another client reverts the weights whenever they are right; returns how often Plimsoll set them.
fn fight(test: &TestNamespace<'_>, service: &WatchLog) -> Result<usize> {
    let back = json!([{"op": "replace", "path": "/spec/rules/1/backendRefs/0/weight", "value": 60},
                      {"op": "replace", "path": "/spec/rules/1/backendRefs/1/weight", "value": 40}]);
    let begun = Instant::now();
    let mut times = 0;
    while begun.elapsed() < FIGHT {
        if weights(&test.get("httproute", "shop")?, 1) == [100, 0] {
            test.patch("httproute shop", &back)?;
            times += 1;
        }
        sleep(Duration::from_millis(100));
    }
    // Immediately, after 2 s and after 4 s more.
    ensure!((2..=5).contains(&times), "the weights were reverted and set again {times} times");
    says(service, "False", "another client has reverted the weights")?;
    says(service, "True", "shop-pods 100, standby 0")?;
    Ok(times)
}

fn claim(test: &TestNamespace<'_>) -> Result<()> {
    test.apply(&service("claimant", "standby"))?;
    let claimant = test.follow("scalableservice", "claimant")?;
    says(&claimant, "False", "is already steered by the older ScalableService shop")?;
    only(&answers()?, "shop")?;
    test.kubectl("delete scalableservice claimant").map(drop)
}

fn unnamed(test: &TestNamespace<'_>, service: &WatchLog) -> Result<()> {
    condition(service, "FailoverReady", "True", "")?;
    let backends = "/spec/rules/1/backendRefs";
    let remove = json!([{"op": "remove", "path": format!("{backends}/1")}]);
    test.patch("httproute shop", &remove)?;
    condition(service, "FailoverReady", "False", "has no backendRef for Service traffic-gateway/standby")?;
    let backend = json!({"name": "standby", "port": 8080, "weight": 0});
    let add = json!([{"op": "add", "path": format!("{backends}/-"), "value": backend}]);
    test.patch("httproute shop", &add)?;
    condition(service, "FailoverReady", "True", "")
}

/// Failover is removed from the spec while the standby has all requests.
fn taken_out(test: &TestNamespace<'_>, service: &WatchLog) -> Result<()> {
    test.kubectl("annotate scalableservice shop --overwrite plimsoll.dev/failover-to=standby")?;
    says(service, "True", "shop-pods 0, standby 100")?;
    test.patch("scalableservice shop", &json!([{"op": "remove", "path": "/spec/failover"}]))?;
    says(service, "True", "has the weights shop-pods 100,")?;
    only(&answers()?, "shop")
}

fn says(service: &WatchLog, status: &str, words: &str) -> Result<()> {
    condition(service, "TrafficSynced", status, words)
}

fn condition(service: &WatchLog, type_: &str, status: &str, words: &str) -> Result<()> {
    let should = format!("{type_}={status} with {words:?}");
    service.wait(&should, Duration::from_secs(90), |seen| {
        let condition = seen.condition(type_);
        condition.text("/status") == status && condition.text("/message").contains(words)
    })?;
    Ok(())
}

fn lie(test: &TestNamespace<'_>, words: &str) -> Result<()> {
    let annotation = format!("plimsoll.dev/lies={words}");
    test.kubectl(&format!("annotate gateway front --overwrite {annotation}"))?;
    sleep(Duration::from_secs(1));
    Ok(())
}

fn answers() -> Result<Vec<String>> {
    let url = GatewayStandIn::url(PORT);
    let one = |_| {
        let agent = ureq::Agent::new_with_defaults();
        let answer = agent.get(&url).header("host", HOST).header("connection", "close").call()?;
        let pod = answer.headers().get("x-shop-pod").context("no x-shop-pod in the answer")?;
        Ok(pod.to_str()?.to_owned())
    };
    (0..LOOKS).map(one).collect()
}

fn only(pods: &[String], name: &str) -> Result<()> {
    let other = pods.iter().find(|pod| !pod.starts_with(&format!("{name}-")));
    ensure!(other.is_none(), "{other:?} answers; only {name} should");
    Ok(())
}

fn weights(route: &Value, rule: usize) -> Vec<i64> {
    let backends = route.list(&format!("/spec/rules/{rule}/backendRefs"));
    backends.iter().filter_map(|backend| backend.get("weight")?.as_i64()).collect()
}

fn rest(route: &Value) -> Value {
    let mut spec = route.get("spec").cloned().unwrap_or_default();
    for rule in ["/rules/0/backendRefs", "/rules/1/backendRefs"] {
        for backend in spec.pointer_mut(rule).and_then(Value::as_array_mut).into_iter().flatten() {
            backend.as_object_mut().and_then(|fields| fields.remove("weight"));
        }
    }
    spec
}

fn service(name: &str, target: &str) -> String {
    let spec = format!(
        r#"kpis: [{{name: dial, type: Load, query: '{}', perReplica: "10"}}]
traffic:
  provider: Gateway
  gateway: {{httpRoute: shop, rule: main, service: shop-pods}}
failover:
  backends: [{{name: standby, service: {{name: standby, port: 8080}}}}]
  return: {{for: 1s, ramp: [100]}}"#,
        Dial::query(NAMESPACE)
    );
    scalable_service((NAMESPACE, name), &format!("{{kind: Deployment, name: {target}}}"), 2..=10, &spec)
}

fn objects() -> String {
    format!(
        r"
apiVersion: v1
kind: Service
metadata: {{name: shop-pods, namespace: {NAMESPACE}}}
spec:
  clusterIP: None
  selector: {{app: shop}}
  ports: [{{name: http, port: 8080, targetPort: http}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front, namespace: {NAMESPACE}}}
spec:
  gatewayClassName: stand-in
  listeners:
  - {{name: http, port: {PORT}, protocol: HTTP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: {NAMESPACE}}}
spec:
  parentRefs: [{{name: front}}]
  hostnames: [{HOST}]
  rules:
  - name: images
    matches: [{{path: {{type: PathPrefix, value: /images}}}}]
    backendRefs:
    - {{name: shop, port: 8080, weight: 7}}
    - {{name: standby, port: 8080, weight: 3}}
  - name: main
    timeouts: {{request: 10s}}
    backendRefs:
    - {{name: shop-pods, port: 8080, weight: 100}}
    - {{name: standby, port: 8080, weight: 0}}
"
    ) + &service("shop", "shop")
}
