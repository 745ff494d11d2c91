//! A zone loses power: its only node fails with every pod on it.

use crate::cases::{broken::Broken, prelude::*};

/// Eight replicas of ten requests a second each, four in each zone: half of them cannot serve the load.
const SETUP: Setup = Setup {
    workers: 1,
    service_time: "100ms",
    traffic: "listeners: [{port: 80}]\nhealthCheck: {path: /readyz, interval: 1s}",
    ..Setup::of("recovery-zone", REPLICAS)
};
const REPLICAS: u32 = 8;
/// Requests a second on kept and, as many, on fresh connections; the same through the balancers' Service and directly to one
/// balancer. The control gets twice the rate. No request may be slower than the objective.
const RATE: u32 = 15;
const SECONDS: u32 = 120;
const OBJECTIVE: [&str; 1] = ["--objective=1s"];
/// Container port of listener 80 in a balancer's pod, which may not bind port 80.
const PORT: u16 = 10_080;
const BEFORE: Duration = Duration::from_secs(8);
/// Duration of the outage, longer than the limits below; Kubernetes evicts after 300 s.
const AWAY: Duration = Duration::from_secs(66);
/// Seconds until the balancer has found the replicas down, others have started, and the held requests are served. If the
/// leader of the controllers fails with the zone, another one takes over first.
const WITHIN: f64 = 50.0;
/// Seconds until Kubernetes has removed the balancer in the dead zone from the Service, which it does once the node is
/// NotReady, and the requests that were sent there have timed out.
const SERVICE_WITHIN: f64 = 60.0;
const END: f64 = 10.0;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spread(&front)?;
    let (test, stage) = (&front.test, front.test.stage);
    let plain = control(test, &SETUP)?;
    let (here, there) = (on_node(test, SHOP, "plimsoll-1")?, on_node(test, SHOP, "plimsoll-2")?);
    ensure!(here >= 2 && there >= 2, "{here} replicas are on node 1 and {there} on node 2");
    ensure!(on_node(test, CONTROL, "plimsoll-2")? >= 2, "the control is not spread");
    let balancer = front.balancers()?.into_iter().find(|balancer| balancer.node == "plimsoll-1");
    let balancer = balancer.context("no balancer is on node 1")?;
    let stays = format!("http://{}:{PORT}", balancer.ip);
    let flow = |url: &str, rate| Flow::start(stage, url, rate, SECONDS, &OBJECTIVE);
    let (through, load, beside) = (flow(&front.url, RATE)?, flow(&stays, RATE)?, flow(&plain, 2 * RATE)?);
    let begin = Instant::now();
    sleep(BEFORE);
    let at = SystemTime::now();
    let (cut, dark) = (begin.elapsed().as_secs_f64(), Broken::node_2(&stage.cluster)?);
    let lost = front.service.wait("with a lost zone", Duration::from_secs(45), |seen| {
        seen.says("ZonesServing").starts_with("False ZoneLost")
    })?;
    let noticed = begin.elapsed().as_secs_f64() - cut;
    let raised = front.target.wait("raised", Duration::from_secs(45), |seen| {
        seen.at >= at && seen.wanted() > i64::from(REPLICAS)
    })?;
    test.explain(SHOP, &["ZoneLost", "is lost with"])?;
    let raised = (raised.wanted(), begin.elapsed().as_secs_f64() - cut);
    sleep(AWAY.saturating_sub(begin.elapsed().saturating_sub(BEFORE)));
    let ended = begin.elapsed().as_secs_f64();
    let evicted = there.saturating_sub(on_node(test, SHOP, "plimsoll-2")?);
    dark.heal()?;
    front.service.wait("without a lost zone", Duration::from_secs(60), |seen| {
        seen.at > lost.at && seen.is("ZonesServing")
    })?;
    let late = [&through, &load, &beside].map(Flow::late);
    let (through, account, without) = (through.finish(true)?, load.finish(true)?, beside.finish(true)?);
    ensure!(through.ok > 0 && account.ok > 0, "no request succeeded");
    ensure!(evicted == 0, "{evicted} replicas were evicted, which may have healed the service");
    let until = |seconds: &[f64]| seconds.iter().copied().filter(|at| *at <= ended).fold(cut, f64::max);
    let [served, healed, sick] = late.each_ref().map(|seconds| until(seconds) - cut);
    ensure!(through.late > 0, "no request was late or lost, so the case proves nothing");
    ensure!(healed <= WITHIN, "requests to the remaining balancer were late or lost for {healed:.0} s");
    ensure!(served <= SERVICE_WITHIN, "requests through the Service were late or lost for {served:.0} s");
    let well = ended - cut - sick;
    ensure!(well <= END, "the control had recovered {well:.0} s before the power returned");
    figure("power cut until noticed, s", noticed);
    figure("power cut until raised, s", raised.1);
    figure("until within the objective, balancer, s", healed);
    figure("until within the objective, Service, s", served);
    count("requests to the balancer", account.sent);
    count("late or lost", account.late);
    count("requests through the Service", through.sent);
    count("late or lost through it", through.late);
    count("late or lost in the control", without.late);
    figure("late in the control for, s", sick);
    Ok(format!("zone lost with {there} of {REPLICAS} replicas, raised to {}", raised.0))
}

fn on_node(test: &TestNamespace<'_>, app: &str, node: &str) -> Result<usize> {
    Ok(pods(test, app)?.iter().filter(|pod| pod.node == node).count())
}
