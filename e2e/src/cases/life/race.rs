//! Somebody else writes the replicas all the time, also between the read and the write of a decision.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::cases::{
    Theatre,
    scene::{Dial, Scene, Trail, idle_pods},
};

const SOON: Duration = Duration::from_secs(15);
/// How long the other hand writes: Plimsoll may write once a second, and is often too late.
const RACE: Duration = Duration::from_secs(25);
/// Between two writes of the other hand: about as long as a decision's read and write take together.
const PAUSE: Duration = Duration::from_millis(12);
/// What the other hand writes in turn.
const OTHERS: [i64; 2] = [2, 5];
/// Most that Plimsoll may add, so that what it writes tells what it was decided on.
const STEP: i64 = 2;
/// Writes of Plimsoll that are enough to see: without a check about every second one would be wrong.
const ENOUGH: usize = 5;

/// The load asks for 20.
const SERVICE: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: web, namespace: life-race}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: web}
  minReplicas: 1
  maxReplicas: 10
  period: 1s
  kpis:
  - {name: dial, type: Load, query: 'sum(shop_queue_jobs{namespace="life-race", app="dial"})', perReplica: "10"}
  behavior: {scaleUp: {policies: [{type: Pods, value: 2, periodSeconds: 1}]}}
"#;

pub fn run(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, "life-race")?;
    let dial = Dial::deploy(&scene)?;
    dial.set(200)?;
    // Pods that fit no node, one after the other: what is written changes nothing but a number.
    let pods = idle_pods("web").replace("    spec:\n", "    spec:\n      nodeSelector: {nowhere: at-all}\n");
    scene.apply(&format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: web, namespace: life-race}}\nspec:\n  replicas: 2\n  \
         serviceName: web\n{pods}"
    ))?;
    let set = scene.follow("statefulset", "web")?;
    let hand = Hand::of(&scene)?;
    hand.write(OTHERS[0])?;
    scene.apply(SERVICE)?;
    set.wait("raised by the limit's step", SOON, |sight| sight.wanted() == OTHERS[0] + STEP)?;
    let (begin, mut others) = (Instant::now(), 0);
    for replicas in OTHERS.iter().cycle().take_while(|_| begin.elapsed() < RACE) {
        hand.write(*replicas)?;
        others += 1;
        sleep(PAUSE);
    }
    let own = own_writes(&set);
    set.wait("at maxReplicas, now that it is left alone", SOON, |sight| sight.wanted() == 10)?;
    scene.explain("web", &["has 10 replicas", "maxReplicas is 10", "dial"])?;
    let wrong: Vec<_> = own.iter().filter(|(before, after)| *after != before + STEP).collect();
    ensure!(
        wrong.is_empty(),
        "of {} writes {} are of decisions on other replicas than there were: {wrong:?}",
        own.len(),
        wrong.len()
    );
    ensure!(
        own.len() >= ENOUGH,
        "only {} writes among {others} of the other hand: too few to tell",
        own.len()
    );
    Ok(format!("{} writes among {others} of another hand, none on replicas that it did not see", own.len()))
}

/// Replicas before and after each write of Plimsoll while the other hand wrote.
fn own_writes(set: &Trail) -> Vec<(i64, i64)> {
    let mut writes: Vec<_> = set.all().iter().map(|sight| (sight.generation(), sight.wanted())).collect();
    writes.dedup();
    let next = writes.iter().skip(1);
    let pairs = writes.iter().zip(next).filter(|((before, _), (after, _))| before + 1 == *after);
    pairs.map(|((_, from), (_, to))| (*from, *to)).filter(|(_, to)| !OTHERS.contains(to)).collect()
}

/// Somebody with a fast pen.
struct Hand {
    proxy: Child,
    url: String,
}

impl Hand {
    fn of(scene: &Scene<'_>) -> Result<Self> {
        let cluster = &scene.stage.cluster;
        let mut command = Command::new(cluster.program("kubectl")?);
        command.env("KUBECONFIG", cluster.kubeconfig()).args(["proxy", "--port=0"]).stdout(Stdio::piped());
        let mut proxy = command.spawn().context("cannot start `kubectl proxy`")?;
        let output = proxy.stdout.take();
        let mut hand = Self { proxy, url: String::new() };
        let mut line = String::new();
        BufReader::new(output.context("`kubectl proxy` has no output")?).read_line(&mut line)?;
        let (_, address) =
            line.trim().rsplit_once(' ').with_context(|| format!("`kubectl proxy` said {line:?}"))?;
        let namespace = scene.namespace;
        hand.url = format!("http://{address}/apis/apps/v1/namespaces/{namespace}/statefulsets/web/scale");
        Ok(hand)
    }

    fn write(&self, replicas: i64) -> Result<()> {
        let patch = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
        let request = ureq::patch(&self.url).header("content-type", "application/merge-patch+json");
        request.send(patch).with_context(|| self.url.clone()).map(drop)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _gone_is_fine = self.proxy.kill();
        let _gone_is_fine = self.proxy.wait();
    }
}
