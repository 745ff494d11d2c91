//! A thousand simultaneous requests without a replica: twice, the second time half of them on connections from the first.

use crate::{
    cases::prelude::*,
    stage::{Load, Summary, service_url},
};

/// 100 connections a replica, so that 1,000 requests ask for ten.
const SETUP: Setup = Setup {
    workers: 10,
    window: 12,
    traffic: "listeners: [{port: 80}]\nlimits: {connectionsPerReplica: 100, queueTimeout: 30s}",
    ..Setup::of("traffic-zero", 0)
};
/// A thousand within 50 ms.
const AT_ONCE: &str = "20000@50ms";
/// Half of the requests, on fresh connections.
const FRESH: &str = "10000@50ms";
/// The other half on kept connections, and the same again once the shop is at zero.
const KEPT: &str = "10000@50ms,0@35s,10000@50ms";
/// Time from the first half of [`KEPT`] to the second.
const APART: Duration = Duration::from_secs(35);
const FLAGS: [&str; 3] = ["--timeout=30s", "--requests-per-connection=1", "--arrivals=uniform"];
/// Seconds from readiness to the first answer. While ten pods start on two cores, one write to the API server may take 100 ms.
const FASTER_WITHIN: f64 = 0.3;
const EACH_WITHIN: f64 = 1.0;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let stage = front.test.stage;
    let plain = service_url(stage, SETUP.namespace, SHOP, 8080)?;
    // No endpoint accepts these requests.
    let flags = [&FLAGS[..], &["--timeout=5s"]].concat();
    let control = Load::start(stage, &plain, AT_ONCE, &flags)?.finish(false)?;
    ensure!(control.lost() > 0, "control, a plain Service: none of {} was lost", control.sent);

    let pods = WatchLog::of_all(&stage.cluster, SETUP.namespace, "pods", "app=shop")?;
    sleep(Duration::from_secs(1));
    let begin = Instant::now();
    let flags = [&FLAGS[..], &["--requests-per-connection=1000"]].concat();
    let kept = Load::start(stage, &front.url, KEPT, &flags)?;
    let first = Wake::by_fresh(&front, &pods)?;
    let asleep = front.target.wait("at zero again", APART, |seen| {
        seen.at > first.woken.at && seen.wanted() == 0 && seen.number("/status/replicas") == 0
    })?;
    let remaining = APART.checked_sub(begin.elapsed()).context("the shop was at zero again too late")?;
    sleep(remaining);
    let again = Wake::by_fresh(&front, &pods)?;
    let (kept, by_second) = kept.finish_by_second(false)?;
    let on_kept: Vec<f64> = by_second.iter().filter_map(|second| second.first_ok).collect();

    let all = Summary::of(&[&first.fresh, &again.fresh, &kept]);
    let (first_answer, second_answer) = (first.answered(&on_kept)?, again.answered(&on_kept)?);
    requests(all.sent, all.lost(), control.lost());
    for (wake, answered) in [(&first, first_answer), (&again, second_answer)] {
        figure("first pod ready after, s", seconds(wake.woken.at, wake.ready.at));
        figure("first answer after readiness, ms", answered * 1e3);
    }
    figure("last answer, s", all.slowest_ms() / 1e3);
    count("kept connections", kept.connections);
    figure("at zero again after, s", seconds(first.woken.at, asleep.at));
    ensure!(all.lost() == 0, "{} of {} lost: {}", all.lost(), all.sent, why(&all));
    let (sent, connections) = (kept.sent, kept.connections);
    ensure!(
        connections <= sent * 6 / 10,
        "{sent} requests took {connections} connections: they were not kept"
    );
    let (faster, slower) = (f64::min(first_answer, second_answer), f64::max(first_answer, second_answer));
    let in_time = faster <= FASTER_WITHIN && slower <= EACH_WITHIN;
    let (faster, slower) = (faster * 1e3, slower * 1e3);
    ensure!(in_time, "the first answers came {faster:.0} and {slower:.0} ms after the first pod was ready");
    Ok(format!("0 -> {} replicas; control, a plain Service, lost {}", first.woken.wanted(), why(&control)))
}

struct Wake {
    fresh: Summary,
    woken: Snapshot,
    ready: Snapshot,
}

impl Wake {
    /// Sends the requests on fresh connections, while the others are sent on kept ones.
    fn by_fresh(front: &Front<'_>, pods: &WatchLog) -> Result<Self> {
        let begin = SystemTime::now();
        let fresh = Load::start(front.test.stage, &front.url, FRESH, &FLAGS)?.finish(false)?;
        let since = |watch_log: &WatchLog, fits: fn(&Snapshot) -> bool| {
            watch_log.all().into_iter().find(|seen| seen.at >= begin && fits(seen))
        };
        let woken = since(&front.target, |seen| seen.wanted() > 0).context("never woken")?;
        let ready = since(pods, |pod| pod.is("Ready") && !pod.is_going()).context("no pod was ever ready")?;
        Ok(Self { fresh, woken, ready })
    }

    /// Seconds from the readiness of the first pod to the first answer; `on_kept` has the time of the first answer on a kept
    /// connection in each second.
    fn answered(&self, on_kept: &[f64]) -> Result<f64> {
        let ready = unix(self.ready.at);
        let all = on_kept.iter().copied().filter(|at| *at >= unix(self.woken.at)).chain(self.fresh.first_ok);
        Ok(all.reduce(f64::min).context("nothing was answered")? - ready)
    }
}
