//! The certificate is replaced several times under TLS load.

use super::front::{HOST, serve_with};
use crate::{authority::Authority, cases::prelude::*, process::run as execute, stage::service_url};

const NAMESPACE: &str = "traffic-certificate";
const SETUP: Setup = Setup {
    traffic: "listeners: [{port: 80}, {port: 443, tls: {secretName: shop-tls}}]",
    ..Setup::of(NAMESPACE, 2)
};
const POD_PORT: u16 = 10_443;
const RATE: u32 = 40;
const TIMES: usize = 20;
const LONGEST: u32 = 180;
/// Time from the change of the file in the pod until the new certificate is served.
const SERVED_WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

pub fn run(fixture: &Fixture) -> Result<String> {
    let authority = Authority::new("plimsoll-e2e")?;
    let trusted = std::env::temp_dir().join("plimsoll-traffic-certificate.crt");
    fs::write(&trusted, authority.own().certificate)?;
    let front = Front::set(fixture, &SETUP, |test| serve_with(test, &authority.server(&[HOST])?))?;
    let stage = front.test.stage;
    let url = service_url(stage, NAMESPACE, &format!("{SHOP}-lb"), 443)?.replace("http://", "https://");
    let ca = format!("--ca={}", trusted.display());
    let flags = [ca.as_str(), "--server-name=shop.example"];
    let flow = Flow::start(stage, &url, RATE, LONGEST, &flags)?;
    let mut took = Vec::new();
    for number in 1..=TIMES {
        sleep(Duration::from_millis(500));
        let next = authority.server(&[HOST])?;
        serve_with(&front.test, &next)?;
        took.extend(replaced(fixture, &front, number, &next.certificate)?);
    }
    sleep(Duration::from_secs(1));
    let account = flow.finish(true)?;
    took.sort();
    let (shortest, longest) = took.first().zip(took.last()).context("nothing was replaced")?;
    figure("served after the file's change, least, ms", shortest.as_secs_f64() * 1e3);
    figure("served after the file's change, greatest, ms", longest.as_secs_f64() * 1e3);

    // Control: a restart of HAProxy loads the certificate too.
    let flow = Flow::start(stage, &url, RATE, 4, &flags)?;
    sleep(Duration::from_secs(1));
    let balancer = front.balancers()?.into_iter().next().context("no balancer")?;
    // The agent first, because it would keep the port open meanwhile.
    kill(&balancer.uid, "lb-agent run")?;
    kill(&balancer.uid, "haproxy")?;
    let control = flow.finish(false)?;
    requests(account.sent, account.lost(), control.lost());
    control.some_lost("control, HAProxy restarted")?;
    account.none_lost("certificate replaced")?;
    ensure!(*longest <= SERVED_WITHIN, "a certificate was served only {longest:?} after its file's change");
    Ok(format!("{TIMES} times on both balancers; control, HAProxy restarted, lost {}", control.why()))
}

/// Waits until each balancer serves the new certificate. Returns the times since the change of its file.
fn replaced(fixture: &Fixture, front: &Front<'_>, number: usize, certificate: &str) -> Result<Vec<Duration>> {
    let mut waiting: Vec<(Pod, Option<Instant>)> =
        front.balancers()?.into_iter().map(|balancer| (balancer, None)).collect();
    for (balancer, _) in &waiting {
        front.touch(balancer, number)?;
    }
    let (mut took, begin) = (Vec::new(), Instant::now());
    while !waiting.is_empty() {
        let in_time = begin.elapsed() <= Duration::from_secs(8);
        ensure!(in_time, "not all balancers serve the new certificate: {waiting:?}");
        for (balancer, changed) in &mut waiting {
            if changed.is_none() && file(fixture, balancer)? == certificate.trim() {
                *changed = Some(Instant::now());
            }
        }
        let mut left = Vec::new();
        for (balancer, changed) in waiting {
            match changed {
                Some(at) if served(&balancer)? == certificate.trim() => took.push(at.elapsed()),
                _ => left.push((balancer, changed)),
            }
        }
        waiting = left;
        sleep(POLL);
    }
    Ok(took)
}

/// Content of the certificate file in the pod, read on the host.
fn file(fixture: &Fixture, balancer: &Pod) -> Result<String> {
    let pod = format!("{}/kubelet/pods/{}/volumes/kubernetes.io~secret", balancer.node, balancer.uid);
    let folder = fixture.stage.cluster.state_folder().join(pod);
    let volumes = fs::read_dir(&folder)?;
    let file = volumes.flatten().map(|volume| volume.path().join("tls.crt")).find(|file| file.exists());
    let file = file.with_context(|| format!("no volume of {} has a tls.crt", balancer.name))?;
    Ok(fs::read_to_string(file)?.trim().to_owned())
}

fn served(balancer: &Pod) -> Result<String> {
    let address = format!("{}:{POD_PORT}", balancer.ip);
    let answer = execute("openssl", &["s_client", "-connect", &address, "-servername", HOST])?;
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let inner = answer.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map(|(inner, _)| inner);
    let inner = inner.with_context(|| format!("{address} serves no certificate: {answer}"))?;
    Ok(format!("{begin}{inner}{end}"))
}
