//! To zero and back.

use crate::{
    cases::prelude::*,
    stage::{Queue, scalable_service},
};

const NAMESPACE: &str = "scale-zero";
/// Of 200 ms each: four workers need ten seconds.
const JOBS: u64 = 200;

/// 50 jobs for each worker, so that [`JOBS`] ask for four.
const SPEC: &str = r#"kpis:
- {name: backlog, type: Load, query: 'sum(shop_queue_jobs{namespace="scale-zero", app="orders"})', perReplica: "50"}
behavior: {scaleDown: {stabilizationWindowSeconds: 5}}"#;

pub fn run(fixture: &Fixture) -> Result<String> {
    let test_namespace = TestNamespace::open(fixture, NAMESPACE)?;
    let queue = Queue { namespace: NAMESPACE, name: "orders", job_time: "200ms" };
    queue.deploy(test_namespace.stage)?;
    let url = queue.url(test_namespace.stage)?;
    let workers = test_namespace.follow("deployment", "orders-worker")?;
    test_namespace.apply(&scalable_service(
        (NAMESPACE, "worker"),
        "{kind: Deployment, name: orders-worker}",
        0..=8,
        SPEC,
    ))?;
    let idle = workers.wait("at zero", Duration::from_secs(30), |snapshot| snapshot.wanted() == 0)?;
    test_namespace.wait_ready("worker", Duration::from_secs(10))?;
    ureq::post(&format!("{url}/jobs?n={JOBS}")).send_empty()?;
    let woken = workers.wait("woken", Duration::from_secs(10), |snapshot| snapshot.wanted() > 0)?;
    let (wanted, writes) = (woken.wanted(), woken.generation() - idle.generation());
    ensure!((wanted, writes) == (4, 1), "0 -> {wanted} replicas took {writes} writes, not 0 -> 4 one");
    recorded(&test_namespace)?;
    test_namespace.explain("worker", &["backlog", "50 a replica"])?;
    wait_for("every job to be done", Duration::from_secs(30), || Ok(count(&url, "done")? == JOBS))?;
    workers.wait("back at zero", Duration::from_secs(30), |snapshot| snapshot.wanted() == 0)?;
    test_namespace.explain("worker", &["has 0 replicas", "backlog"])?;
    let (done, returned) = (count(&url, "done")?, count(&url, "returned")?);
    ensure!((done, returned) == (JOBS, 0), "{done} of {JOBS} jobs were done, {returned} done again");
    Ok(format!("replicas {:?}; one write 0 -> 4; {done} of {JOBS} jobs done, none twice", workers.wanted()))
}

/// The decision is on record as one step, and nobody else has a claim on the replicas.
fn recorded(test_namespace: &TestNamespace<'_>) -> Result<()> {
    let service = test_namespace.follow("scalableservice", "worker")?;
    service.wait("telling of 0 -> 4", Duration::from_secs(5), |snapshot| {
        let decisions = snapshot.list("/status/decisions").iter();
        decisions.into_iter().any(|record| record["from"] == json!(0) && record["to"] == json!(4))
    })?;
    let object = test_namespace.get("deployment", "orders-worker --show-managed-fields")?;
    let owns = |entry: &&Value| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some();
    let owners = object.list("/metadata/managedFields").iter().filter(owns);
    let owners: Vec<_> = owners.map(|entry| entry.text("/manager")).collect();
    // Kubernetes forgets the owner for good once a scale was 0, which its Scale leaves out.
    let alone = owners.iter().all(|owner| *owner == "plimsoll-replicas");
    ensure!(alone, "spec.replicas belongs to {owners:?}; plimsoll-replicas alone may be there");
    Ok(())
}

fn count(url: &str, field: &str) -> Result<u64> {
    let text = ureq::get(url).call()?.body_mut().read_to_string()?;
    let state: Value = serde_json::from_str(&text)?;
    Ok(state.get(field).and_then(Value::as_u64).unwrap_or(0))
}
