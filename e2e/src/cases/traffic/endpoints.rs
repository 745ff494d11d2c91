//! Replicas are added and removed repeatedly under load.

use crate::{
    cases::prelude::*,
    metrics::{applied_within, fetch, sample},
};

/// The queue has room for the requests that wait while pods start on the same two cores: a request that the shop refuses
/// looks like one that the balancer loses.
const SETUP: Setup = Setup { more: PATIENT, ..Setup::of("traffic-endpoints", 4) };
/// As [`CARELESS`](super::front::CARELESS), with a longer queue.
const PATIENT: &[&str] =
    &["--drain-delay=0s", "--shutdown-grace=0s", "--service-jitter=0", "--queue-limit=2000"];
/// Requests a second on kept and, as many, on fresh connections; the same again on the plain Service.
const RATE: u32 = 100;

/// 99th percentile of the time from the watch event until HAProxy uses a replica, in milliseconds.
const APPLIED_WITHIN: f64 = 100.0;

struct Steps {
    setup: Setup,
    many: u32,
    times: usize,
    within: Duration,
}

pub fn run(fixture: &Fixture) -> Result<String> {
    run_steps(fixture, &Steps { setup: SETUP, many: 20, times: 2, within: Duration::from_secs(20) })
}

pub fn a_hundred(fixture: &Fixture) -> Result<String> {
    let setup = Setup { namespace: "long-endpoints", replicas: 10, most: 100, ..SETUP };
    run_steps(fixture, &Steps { setup, many: 100, times: 2, within: Duration::from_secs(180) })
}

fn run_steps(fixture: &Fixture, steps: &Steps) -> Result<String> {
    let Steps { setup, many, times, within } = steps;
    let few = setup.replicas;
    let front = Front::set(fixture, setup, |_| Ok(()))?;
    let stage = front.test.stage;
    let slices = |service: String| {
        let label = format!("kubernetes.io/service-name={service}");
        WatchLog::of_all(&stage.cluster, setup.namespace, "endpointslices", &label)
    };
    let (ours, plain) = (slices(format!("{SHOP}-endpoints"))?, slices(SHOP.to_owned())?);
    let direct = crate::stage::service_url(stage, setup.namespace, SHOP, 8080)?;
    let longest = u32::try_from(within.as_secs())?.saturating_mul(3);
    let flow = Flow::start(stage, &front.url, RATE, longest, &[])?;
    let before = (front.starts()?, front.agents()?);
    let (mut through, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..*times {
        let probe = Flow::start(stage, &direct, RATE, longest, &[])?;
        sleep(Duration::from_millis(500));
        front.ask(*many)?;
        front.wait_for(*many, *within)?;
        sleep(Duration::from_millis(700));
        probe.finish(true)?;
        through.extend(delays(&ours, &first_requests(&front, true)?));
        beside.extend(delays(&plain, &first_requests(&front, false)?));
        go_back(&front, few, *within)?;
    }
    sleep(Duration::from_millis(500));
    let account = flow.finish(true)?;
    let after = (front.starts()?, front.agents()?);
    let lost = scale_down_undrained(&front, setup)?;
    requests(account.sent, account.lost(), lost.lost());
    account.none_lost(&format!("{few} -> {many} -> {few}"))?;
    ensure!(before.0 == after.0, "HAProxy was restarted or reloaded: {:?} became {:?}", before.0, after.0);
    let applied = applied_within(&before.1, &after.1, 0.99).context("no agent applied 99 of 100 changes")?;
    ensure!(applied <= APPLIED_WITHIN, "99 of 100 changes were applied within only {applied:.0} ms");
    let ((median, p99), (their_median, their_p99)) = (spread_of(&mut through)?, spread_of(&mut beside)?);
    figure("watch event until applied, p99 at most, ms", applied);
    figure("ready until first request, median, ms", median);
    figure("ready until first request, p99, ms", p99);
    figure("the same of kube-proxy, median, ms", their_median);
    figure("the same of kube-proxy, p99, ms", their_p99);
    Ok(format!(
        "{times} times {few} -> {many} -> {few}; control, a plain Service scaled from 8 to 4, lost {}",
        lost.why()
    ))
}

/// Scales back to few; every removed pod must have been drained.
fn go_back(front: &Front<'_>, few: u32, within: Duration) -> Result<()> {
    let pods = || -> Result<BTreeSet<String>> {
        let test = &front.test;
        let list = test.stage.cluster.list(test.namespace, "pods --selector=app=shop")?;
        Ok(list.iter().map(|pod| pod.text("/metadata/name").to_owned()).collect())
    };
    let (before, asked) = (pods()?, SystemTime::now());
    front.ask(few)?;
    front.wait_for(few, within)?;
    let drained = front.drained(asked);
    let after = pods()?;
    let undrained: Vec<_> =
        before.iter().filter(|pod| !after.contains(*pod) && !drained.contains(*pod)).collect();
    ensure!(undrained.is_empty(), "{undrained:?} were deleted undrained");
    Ok(())
}

fn scale_down_undrained(front: &Front<'_>, setup: &Setup) -> Result<Account> {
    // Each replica has ten requests in flight, so that some are certainly lost without draining.
    let slow = Setup { replicas: 8, workers: 50, service_time: "300ms", ..*setup };
    let plain = control(&front.test, &slow)?;
    let flow = Flow::start(front.test.stage, &plain, RATE, 4, &[])?;
    sleep(Duration::from_secs(1));
    front.test.kubectl(&format!("scale deployment {CONTROL} --replicas=4"))?;
    let account = flow.finish(false)?;
    account.some_lost("control")?;
    Ok(account)
}

/// Time of the first request of each pod, through a balancer or directly, in seconds since 1970.
fn first_requests(front: &Front<'_>, forwarded: bool) -> Result<BTreeMap<String, f64>> {
    let name = format!("shop_first_request_timestamp_seconds{{forwarded=\"{forwarded}\"}}");
    let mut first = BTreeMap::new();
    for pod in pods(&front.test, SHOP)? {
        let at = sample(&fetch(&format!("http://{}:8080/metrics", pod.ip))?, &name).unwrap_or(0.0);
        if at > 0.0 {
            first.insert(pod.name, at);
        }
    }
    Ok(first)
}

/// Time from the first EndpointSlice with the pod as ready until its first request, in milliseconds.
fn delays(slices: &WatchLog, first: &BTreeMap<String, f64>) -> Vec<f64> {
    let mut ready: BTreeMap<String, SystemTime> = BTreeMap::new();
    for seen in slices.all() {
        let is_ready = |endpoint: &&Value| endpoint.pointer("/conditions/ready") == Some(&json!(true));
        for endpoint in seen.list("/endpoints").iter().filter(is_ready) {
            ready.entry(endpoint.text("/targetRef/name").to_owned()).or_insert(seen.at);
        }
    }
    // The initial replicas were ready before the watch began.
    let begun = slices.all().first().map_or(0.0, |seen| unix(seen.at));
    let delay = |(pod, at): (&String, &f64)| {
        let ready = unix(*ready.get(pod)?);
        (ready > begun).then_some((at - ready) * 1e3)
    };
    first.iter().filter_map(delay).collect()
}

/// The median and the 99th percentile.
fn spread_of(delays: &mut [f64]) -> Result<(f64, f64)> {
    delays.sort_by(f64::total_cmp);
    let at = |share: usize| delays.get(delays.len() * share / 100).or(delays.last()).copied();
    at(50).zip(at(99)).context("no pod was new")
}
