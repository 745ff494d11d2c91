//! Workers of a queue scale to zero and back.

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
    let test = TestNamespace::open(fixture, NAMESPACE)?;
    let queue = Queue { namespace: NAMESPACE, name: "orders", job_time: "200ms" };
    queue.deploy(test.stage)?;
    let url = queue.url(test.stage)?;
    let workers = test.follow("deployment", "orders-worker")?;
    test.apply(&scalable_service(
        (NAMESPACE, "worker"),
        "{kind: Deployment, name: orders-worker}",
        0..=8,
        SPEC,
    ))?;
    let idle = workers.wait("at zero", Duration::from_secs(30), |seen| seen.wanted() == 0)?;
    test.wait_ready("worker", Duration::from_secs(10))?;
    ureq::post(&format!("{url}/jobs?n={JOBS}")).send_empty()?;
    let woken = workers.wait("woken", Duration::from_secs(10), |seen| seen.wanted() > 0)?;
    let (wanted, writes) = (woken.wanted(), woken.generation() - idle.generation());
    ensure!((wanted, writes) == (4, 1), "0 -> {wanted} replicas took {writes} writes, not 0 -> 4 one");
    recorded(&test)?;
    test.explain("worker", &["backlog", "50 per replica"])?;
    wait_for("every job to be done", Duration::from_secs(30), || Ok(count(&url, "done")? == JOBS))?;
    workers.wait("back at zero", Duration::from_secs(30), |seen| seen.wanted() == 0)?;
    test.explain("worker", &["has 0 replicas", "backlog"])?;
    let (done, returned) = (count(&url, "done")?, count(&url, "returned")?);
    ensure!((done, returned) == (JOBS, 0), "{done} of {JOBS} jobs were done, {returned} done again");
    Ok(format!("replicas {:?}; one write 0 -> 4; {done} of {JOBS} jobs done, none twice", workers.wanted()))
}

/// Checks that the decision is recorded as one step, and that Plimsoll is the only manager of the replicas.
fn recorded(test: &TestNamespace<'_>) -> Result<()> {
    let service = test.follow("scalableservice", "worker")?;
    service.wait("with the decision 0 -> 4", Duration::from_secs(5), |seen| {
        let decisions = seen.list("/status/decisions").iter();
        decisions.into_iter().any(|record| record["from"] == json!(0) && record["to"] == json!(4))
    })?;
    let object = test.get("deployment", "orders-worker --show-managed-fields")?;
    let owns = |entry: &&Value| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some();
    let owners = object.list("/metadata/managedFields").iter().filter(owns);
    let owners: Vec<_> = owners.map(|entry| entry.text("/manager")).collect();
    // Kubernetes drops the manager once a scale was 0, because Scale omits a zero.
    let alone = owners.iter().all(|owner| *owner == "plimsoll-replicas");
    ensure!(alone, "spec.replicas belongs to {owners:?}; only plimsoll-replicas is allowed");
    Ok(())
}

fn count(url: &str, field: &str) -> Result<u64> {
    let text = ureq::get(url).call()?.body_mut().read_to_string()?;
    let state: Value = serde_json::from_str(&text)?;
    Ok(state.get(field).and_then(Value::as_u64).unwrap_or(0))
}
