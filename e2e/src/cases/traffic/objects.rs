//! The balancers' objects go with `spec.traffic`, and what is somebody else's stays.

use crate::cases::prelude::*;

const SETUP: Setup = Setup::of("traffic-objects", 2);
const FOREIGN: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop-lb, namespace: traffic-objects}
spec: {selector: {app: somebody}, ports: [{port: 80}]}
";
/// Deployment, PodDisruptionBudget, Service, ServiceAccount, Role, RoleBinding, and the Service for EndpointSlices.
const OBJECTS: usize = 7;
const WITHIN: Duration = Duration::from_secs(40);

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let test_namespace = &front.test_namespace;
    let there = objects(test_namespace)?;
    ensure!(there.len() == OBJECTS, "the balancers have {there:?}");
    let service = test_namespace.get("scalableservice", SHOP)?;
    let traffic = service.pointer("/spec/traffic").context("there is no spec.traffic")?;

    let asked = Instant::now();
    front.set_traffic(&Value::Null)?;
    wait_for("the balancers' objects to be gone", WITHIN, || Ok(objects(test_namespace)?.is_empty()))?;
    let gone = asked.elapsed().as_secs_f64();
    front.wait_for(SETUP.replicas, Duration::from_secs(5))?;

    test_namespace.apply(FOREIGN)?;
    front.set_traffic(traffic)?;
    let told = front.service.wait("told of the Service in the way", WITHIN, |snapshot| {
        snapshot
            .says("TrafficSynced")
            .contains("shop-lb is there and does not belong to this ScalableService")
    })?;
    let foreign = test_namespace.get("service", "shop-lb")?;
    let is_as_before = foreign.pointer("/spec/selector") == Some(&json!({"app": "somebody"}));
    ensure!(is_as_before, "somebody's Service was changed: {foreign}");
    test_namespace.kubectl("delete service shop-lb")?;
    front
        .service
        .wait("in sync again", WITHIN, |snapshot| snapshot.at > told.at && snapshot.is("TrafficSynced"))?;
    test_namespace.explain(SHOP, &["2/2 in sync"])?;
    Ok(format!("all {OBJECTS} gone {gone:.1} s after spec.traffic, and back after somebody's Service was"))
}

fn objects(test_namespace: &TestNamespace<'_>) -> Result<Vec<String>> {
    let kinds = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    let names = test_namespace.kubectl(&format!("get {kinds} --output=name"))?;
    let ours = |name: &&str| name.ends_with("/shop-lb") || name.ends_with("/shop-endpoints");
    Ok(names.lines().filter(ours).map(str::to_owned).collect())
}
