//! The balancers and everything that they depend on are killed under load, one after the other.

use crate::{
    cases::{broken::Broken, prelude::*},
    stage::{OPERATOR_NAMESPACE, Stage},
};

/// Requests of 100 ms, so that a balancer always has some in flight when it is killed.
const SETUP: Setup = Setup { workers: 8, service_time: "100ms", ..Setup::of("traffic-killed", 4) };
const RATE: u32 = 60;
const AWAY: u32 = 15;
const MINUTE: u32 = 60;
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Seconds after HAProxy's death within which its last client has noticed.
const CUT_WITHIN: f64 = 0.5;
/// How long the agent keeps the listening sockets of a dead HAProxy open.
const BACK_WITHIN_MS: f64 = 5_000.0;
const CUT: &[&str] = &["reset", "closed"];

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    spread(&front)?;
    let stage = front.test.stage;
    let balancers = front.balancers()?;
    let (one, other) = balancers.first().zip(balancers.last()).context("no balancers")?;

    let agent = during(&front, 5, || kill(&one.uid, "lb-agent run"))?;
    let controller = during(&front, 5, || operators(stage))?;
    let api = without_api_server(&front, &other.uid, AWAY)?;
    serving(&front)?;

    let mut killed = SystemTime::now();
    let haproxy = during(&front, 7, || {
        killed = SystemTime::now();
        kill(&one.uid, "haproxy")
    })?;
    serving(&front)?;
    // Without the agent nothing holds copies of HAProxy's listening sockets.
    let control = during(&front, 7, || {
        kill(&other.uid, "lb-agent run")?;
        kill(&other.uid, "haproxy")
    })?;
    let calm = [&agent, &controller, &api];
    requests(
        calm.iter().map(|account| account.sent).sum(),
        calm.iter().map(|account| account.lost()).sum(),
        control.lost(),
    );
    agent.none_lost("an agent killed")?;
    controller.none_lost("the controllers killed")?;
    api.none_lost("the API server stopped and an agent killed")?;
    control.some_lost("HAProxy and its agent killed")?;
    let refused = control.failed(&["refused"]);
    ensure!(refused > 0, "with its agent killed too no request was refused: {}", control.why());
    let last = haproxy.last_bad.map_or(0.0, |last| last - unix(killed));
    count("HAProxy killed: cut with the process", haproxy.failed(CUT));
    figure("HAProxy's death until the last loss, s", last);
    figure("slowest request, s", haproxy.slowest_ms() / 1e3);
    only_its_own(&haproxy)?;
    ensure!(haproxy.slowest_ms() <= BACK_WITHIN_MS, "a request took {:.0} ms", haproxy.slowest_ms());
    ensure!(last <= CUT_WITHIN, "{last:.1} s after HAProxy was killed requests were lost: {}", haproxy.why());
    let (haproxy, control) = (haproxy.why(), control.why());
    Ok(format!("one HAProxy of two killed: lost {haproxy}; with its agent (the control): {control}"))
}

/// The API server is down for a minute; a change of the load is applied once it is back. How soon depends on Kubernetes too,
/// whose own programs reconnect after up to a minute (client-go's back-off).
pub fn a_minute(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &Setup { namespace: "long-api", ..SETUP }, |_| Ok(()))?;
    spread(&front)?;
    let balancers = front.balancers()?;
    let (one, other) = balancers.first().zip(balancers.last()).context("no balancers")?;
    let account = without_api_server(&front, &other.uid, MINUTE)?;
    let back = SystemTime::now();
    front.ask(6)?;
    let raised = front.target.wait("raised", Duration::from_secs(30), |seen| seen.wanted() == 6)?;
    front.test.explain(SHOP, &[])?;
    let ready = front.wait_for(6, Duration::from_secs(120))?;
    front.both_ready(READY_WITHIN)?;
    let control = during(&front, 4, || kill(&one.uid, "haproxy"))?;
    requests(account.sent, account.lost(), control.lost());
    account.none_lost("the API server stopped and an agent killed")?;
    control.some_lost("HAProxy killed")?;
    figure("load raised until replicas wanted, s", seconds(back, raised.at));
    figure("load raised until replicas ready, s", seconds(back, ready.at));
    Ok(format!("control, HAProxy killed, lost {}", control.why()))
}

/// Load while the API server is down for so many seconds; the agent of the pod with this UID is killed meanwhile.
fn without_api_server(front: &Front<'_>, agent: &str, away: u32) -> Result<Account> {
    during(front, away, || {
        let api_server = Broken::api_server(&front.test.stage.cluster)?;
        // The agent restarts without an API server.
        kill(agent, "lb-agent run")?;
        sleep(Duration::from_secs(u64::from(away) - 2));
        api_server.heal()
    })
}

/// Waits until both balancers are ready and the Service sends requests to them: kube-proxy reconnects to the API server later
/// than Plimsoll.
fn serving(front: &Front<'_>) -> Result<()> {
    front.both_ready(READY_WITHIN)?;
    wait_for("answers through the Service", READY_WITHIN, || {
        let second = Flow::start(front.test.stage, &front.url, RATE, 1, &[])?;
        Ok(second.finish(false)?.lost() == 0)
    })
}

/// Load for so many seconds; the fault happens after the first second.
fn during<T>(front: &Front<'_>, seconds: u32, fault: impl FnOnce() -> Result<T>) -> Result<Account> {
    let flow = Flow::start(front.test.stage, &front.url, RATE, seconds, &[])?;
    sleep(Duration::from_secs(1));
    fault()?;
    flow.finish(false)
}

/// A killed process may lose only its established connections.
fn only_its_own(account: &Account) -> Result<()> {
    for (failure, count) in &account.failures {
        let is_cut = CUT.contains(&failure.as_str());
        ensure!(is_cut, "{count} requests ended with {failure}, which a killed process does not cause");
    }
    ensure!(account.http_errors == 0, "requests were answered with an error: {}", account.why());
    Ok(())
}

fn operators(stage: &Stage) -> Result<()> {
    let pods = stage.cluster.list(OPERATOR_NAMESPACE, "pods --selector=app.kubernetes.io/name=plimsoll")?;
    pods.iter().try_for_each(|pod| kill(pod.text("/metadata/uid"), "plimsoll controller"))
}
