//! The balancers' objects are deleted with `spec.traffic`; foreign objects stay.

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
    let test = &front.test;
    let there = objects(test)?;
    ensure!(there.len() == OBJECTS, "the balancers have {there:?}");
    let service = test.get("scalableservice", SHOP)?;
    let traffic = service.pointer("/spec/traffic").context("there is no spec.traffic")?;

    let asked = Instant::now();
    front.set_traffic(&Value::Null)?;
    wait_for("the balancers' objects to be deleted", WITHIN, || Ok(objects(test)?.is_empty()))?;
    let gone = asked.elapsed().as_secs_f64();
    front.wait_for(SETUP.replicas, Duration::from_secs(5))?;

    test.apply(FOREIGN)?;
    front.set_traffic(traffic)?;
    let blocked = front.service.wait("blocked by the foreign Service", WITHIN, |seen| {
        seen.says("TrafficSynced")
            .contains("shop-lb already exists and does not belong to this ScalableService")
    })?;
    let foreign = test.get("service", "shop-lb")?;
    let is_as_before = foreign.pointer("/spec/selector") == Some(&json!({"app": "somebody"}));
    ensure!(is_as_before, "the foreign Service was changed: {foreign}");
    test.kubectl("delete service shop-lb")?;
    front.service.wait("in sync again", WITHIN, |seen| seen.at > blocked.at && seen.is("TrafficSynced"))?;
    test.explain(SHOP, &["2/2 in sync"])?;
    Ok(format!("all {OBJECTS} deleted {gone:.1} s after spec.traffic; recreated without the foreign Service"))
}

fn objects(test: &TestNamespace<'_>) -> Result<Vec<String>> {
    let kinds = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    let names = test.kubectl(&format!("get {kinds} --output=name"))?;
    let ours = |name: &&str| name.ends_with("/shop-lb") || name.ends_with("/shop-endpoints");
    Ok(names.lines().filter(ours).map(str::to_owned).collect())
}
