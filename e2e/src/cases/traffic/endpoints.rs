//! Replicas come and go under load, again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    flow::{Account, Flow},
    front::{CARELESS, CONTROL, Front, SHOP, Setup, control, unix, victims},
};
use crate::cases::{Theatre, scene::Trail};

const SETUP: Setup = Setup { more: CARELESS, ..Setup::of("traffic-endpoints", 4) };
/// Requests a second on kept and on fresh connections, as many again beside them on the plain Service.
const RATE: u32 = 150;
const MANY: u32 = 20;
const TIMES: usize = 2;

pub fn run(theatre: &Theatre) -> Result<String> {
    let front = Front::set(theatre, &SETUP, |_| Ok(()))?;
    let stage = front.scene.stage;
    let slices = |service: String| {
        let label = format!("kubernetes.io/service-name={service}");
        Trail::of_all(&stage.cluster, SETUP.namespace, "endpointslices", &label)
    };
    let (ours, plain) = (slices(format!("{SHOP}-endpoints"))?, slices(SHOP.to_owned())?);
    let direct = crate::stage::service_url(stage, SETUP.namespace, SHOP, 8080)?;
    let flow = Flow::start(stage, &front.url, RATE, 60, &[])?;
    let before = starts(&front)?;
    let (mut through, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let probe = Flow::start(stage, &direct, RATE, 60, &[])?;
        sleep(Duration::from_millis(500));
        front.ask(MANY)?;
        front.wait_for(MANY, Duration::from_secs(20))?;
        sleep(Duration::from_millis(700));
        probe.finish(true)?;
        let first = first_requests(&front)?;
        through.extend(delays(&ours, &first.forwarded));
        beside.extend(delays(&plain, &first.direct));
        undrained(&front)?;
    }
    sleep(Duration::from_millis(500));
    let account = flow.finish(true)?;
    account.none_lost("4 -> 20 -> 4")?;
    let after = starts(&front)?;
    ensure!(before == after, "HAProxy was started anew or reloaded: {before:?} became {after:?}");
    let lost = lowered_at_once(&front)?;
    Ok(format!(
        "{TIMES} times 4 -> {MANY} -> 4: {} requests, none lost, no reload; from ready to the first request: balancers \
         {}, kube-proxy {}; control, a plain Service lowered from 8 to 4 at once, lost {}",
        account.sent(),
        spread(&mut through)?,
        spread(&mut beside)?,
        lost.why()
    ))
}

/// Goes back to four; whoever goes must have been drained.
fn undrained(front: &Front<'_>) -> Result<()> {
    let pods = || -> Result<BTreeSet<String>> {
        let names = front.scene.kubectl(&["get", "pods", "--selector=app=shop", "--output=name"])?;
        Ok(names.lines().map(|name| name.trim_start_matches("pod/").to_owned()).collect())
    };
    let (before, asked) = (pods()?, SystemTime::now());
    front.ask(4)?;
    front.wait_for(4, Duration::from_secs(20))?;
    let drained: BTreeSet<String> =
        front.service.all().iter().filter(|sight| sight.at >= asked).flat_map(victims).collect();
    let after = pods()?;
    let undrained: Vec<_> =
        before.iter().filter(|pod| !after.contains(*pod) && !drained.contains(*pod)).collect();
    ensure!(undrained.is_empty(), "{undrained:?} were deleted without having been drained");
    Ok(())
}

fn lowered_at_once(front: &Front<'_>) -> Result<Account> {
    // Each replica has ten requests in hand, so that it can't be luck that none is lost.
    let slow = Setup { replicas: 8, workers: 50, service_time: "300ms", ..SETUP };
    let plain = control(&front.scene, &slow)?;
    let flow = Flow::start(front.scene.stage, &plain, RATE, 4, &[])?;
    sleep(Duration::from_secs(1));
    front.scene.kubectl(&["scale", "deployment", CONTROL, "--replicas=4"])?;
    let account = flow.finish(false)?;
    account.some_lost("control")?;
    Ok(account)
}

/// When each HAProxy process began to serve, as it tells itself, by pod; a reload is a new process.
fn starts(front: &Front<'_>) -> Result<BTreeMap<String, String>> {
    let of = |balancer: &super::front::Balancer| {
        let text = fetch(&format!("http://{}:9101/metrics", balancer.ip))?;
        let start = sample(&text, "haproxy_process_start_time_seconds").context("no start time")?;
        Ok((balancer.name.clone(), format!("{start:.0}")))
    };
    front.balancers()?.iter().map(of).collect()
}

/// When the first request came to each pod, in seconds since 1970.
struct First {
    forwarded: BTreeMap<String, f64>,
    direct: BTreeMap<String, f64>,
}

fn first_requests(front: &Front<'_>) -> Result<First> {
    let template = r#"jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}"#;
    let pods = front.scene.kubectl(&["get", "pods", "--selector=app=shop", "--output", template])?;
    let mut first = First { forwarded: BTreeMap::new(), direct: BTreeMap::new() };
    for (pod, ip) in pods.lines().filter_map(|line| line.split_once(' ')) {
        let text = fetch(&format!("http://{ip}:8080/metrics"))?;
        let name = "shop_first_request_timestamp_seconds";
        for (forwarded, into) in [("true", &mut first.forwarded), ("false", &mut first.direct)] {
            let at = sample(&text, &format!("{name}{{forwarded=\"{forwarded}\"}}")).unwrap_or(0.0);
            if at > 0.0 {
                into.insert(pod.to_owned(), at);
            }
        }
    }
    Ok(first)
}

/// From the first sight of each pod as ready in an EndpointSlice until its first request, in milliseconds.
fn delays(slices: &Trail, first: &BTreeMap<String, f64>) -> Vec<f64> {
    let mut ready: BTreeMap<String, SystemTime> = BTreeMap::new();
    for sight in slices.all() {
        let endpoints =
            sight.object.pointer("/endpoints").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_ready =
            |endpoint: &&Value| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) == Some(true);
        for endpoint in endpoints.iter().filter(is_ready) {
            let pod = endpoint.pointer("/targetRef/name").and_then(Value::as_str).unwrap_or_default();
            ready.entry(pod.to_owned()).or_insert(sight.at);
        }
    }
    // The replicas of the beginning were ready before the trail began.
    let begun = slices.all().first().map_or(0.0, |sight| unix(sight.at));
    let delay = |(pod, at): (&String, &f64)| {
        let ready = unix(*ready.get(pod)?);
        (ready > begun).then_some((at - ready) * 1e3)
    };
    first.iter().filter_map(delay).collect()
}

fn spread(delays: &mut [f64]) -> Result<String> {
    delays.sort_by(f64::total_cmp);
    let at = |share: usize| delays.get(delays.len() * share / 100).or(delays.last()).copied();
    let (median, p99) = at(50).zip(at(99)).context("no pod was new")?;
    Ok(format!("median {median:.0} ms, p99 {p99:.0} ms of {} pods", delays.len()))
}

fn fetch(url: &str) -> Result<String> {
    Ok(ureq::get(url).call().with_context(|| url.to_owned())?.body_mut().read_to_string()?)
}

/// The value of a sample, given with its labels as in the text.
fn sample(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}
