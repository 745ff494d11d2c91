//! Whatever makes the balancers work dies under load, one after the other.

use std::{
    thread::sleep,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};

use super::{
    flow::{Account, Flow},
    front::{Front, Setup, spread, unix},
    processes::kill,
};
use crate::{
    cases::{Theatre, away::Away},
    process::wait_for,
    stage::{OPERATOR_NAMESPACE, Stage},
};

const SETUP: Setup = Setup::of("traffic-killed", 4);
/// Requests a second on kept and on fresh connections.
const RATE: u32 = 60;
/// How long the API server is away.
const AWAY: u32 = 15;
/// Within this time of HAProxy's death nothing is sent to it any more.
const NOTICED_WITHIN: f64 = 3.0;

pub fn run(theatre: &Theatre) -> Result<String> {
    let front = Front::set(theatre, &SETUP, |_| Ok(()))?;
    spread(&front)?;
    let stage = front.scene.stage;
    let balancers = front.balancers()?;
    let (one, other) = balancers.first().zip(balancers.last()).context("no balancers")?;

    let agent = during(&front, 5, || kill(&one.uid, "lb-agent run"))?;
    agent.none_lost("an agent killed")?;
    let controller = during(&front, 5, || operators(stage))?;
    controller.none_lost("the controllers killed")?;
    let api = during(&front, AWAY, || {
        let away = Away::of(&stage.cluster)?;
        // What starts now has nobody to ask.
        kill(&other.uid, "lb-agent run")?;
        sleep(Duration::from_secs(u64::from(AWAY) - 2));
        away.end()
    })?;
    api.none_lost("the API server stopped and an agent killed")?;
    wait_for("two ready balancers", Duration::from_secs(30), || {
        Ok(front.balancers()?.iter().filter(|balancer| balancer.ready).count() == 2)
    })?;

    let killed = SystemTime::now();
    let haproxy = during(&front, 7, || kill(&one.uid, "haproxy"))?;
    haproxy.some_lost("HAProxy killed")?;
    let last = haproxy.last_bad().context("nothing was lost")? - unix(killed);
    ensure!(
        last <= 1.0 + NOTICED_WITHIN,
        "{last:.1} s after HAProxy was killed requests were lost: {}",
        haproxy.why()
    );
    only_its_own(&haproxy)?;
    Ok(format!(
        "agent killed: {} requests, none lost; both controllers: {}, none; API server away for {AWAY} s and an agent \
         killed meanwhile: {}, none; one HAProxy of two killed (the control): lost {}, the last {:.1} s after it",
        agent.sent(),
        controller.sent(),
        api.sent(),
        haproxy.why(),
        last - 1.0
    ))
}

/// Load for so many seconds, in whose first second nothing happens.
fn during<T>(front: &Front<'_>, seconds: u32, fault: impl FnOnce() -> Result<T>) -> Result<Account> {
    let flow = Flow::start(front.scene.stage, &front.url, RATE, seconds, &[])?;
    sleep(Duration::from_secs(1));
    fault()?;
    flow.finish(false)
}

/// A process that dies takes its connections along, and until that is noticed new ones find nobody. No more.
fn only_its_own(account: &Account) -> Result<()> {
    for (failure, count) in account.kept.failures.iter().chain(&account.fresh.failures) {
        ensure!(
            ["refused", "reset", "closed"].contains(&failure.as_str()),
            "{count} requests ended with {failure}, which is no end of a killed process"
        );
    }
    let answered = account.kept.http_errors + account.fresh.http_errors;
    ensure!(answered == 0, "{answered} requests were answered with an error: {}", account.why());
    Ok(())
}

fn operators(stage: &Stage) -> Result<()> {
    let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
    let uids = stage.cluster.kubectl(&[
        &namespace,
        "get",
        "pods",
        "--selector=app.kubernetes.io/name=plimsoll",
        "--output=jsonpath={.items[*].metadata.uid}",
    ])?;
    uids.split_whitespace().try_for_each(|uid| kill(uid, "plimsoll controller").map(drop))
}
