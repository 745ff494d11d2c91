//! The demo: Plimsoll keeps a shop within its objectives while the load rises, jumps and falls.

mod context;
mod place;

use self::place::Place;
use crate::{
    prelude::*,
    stage::{Load, Second, Shop, Summary, scalable_service},
};
use std::io::Write;

pub use self::context::Target;

const NAME: &str = "checkout";
/// A pod has 4 workers of 50 ms: it serves at most 80 requests a second; the target is 50.
const SHAPE: &str = "40@15s,40..300@45s,300@20s,650@25s,300@15s,300..40@20s,40@40s";
const OBJECTIVE_S: f64 = 0.25;
/// Seconds after the jump in which late answers do not count: pods need time to start.
const REACTION_S: f64 = 12.0;
const JUMP_S: f64 = 80.0;

const SPEC: &str = r#"kpis:
- name: demand # requests served and queued: an overloaded service serves less than the demand
  type: Load
  query: sum(rate(http_requests_total{namespace="NAMESPACE", app="checkout"}[15s])) + sum(http_queue_length{namespace="NAMESPACE", app="checkout"})
  perReplica: "50"
- name: latency-p99
  type: Objective
  query: histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="NAMESPACE", app="checkout"}[15s]))) >= 0
  atMost: "0.25"
  onEmpty: Zero # without requests there is no percentile, and no slow answer
behavior:
  scaleDown: {stabilizationWindowSeconds: 30}"#;

#[derive(Debug)]
pub enum On {
    /// On the local cluster, created with this number of nodes unless it is running.
    Machine(u8),
    Context(Target),
}

pub fn run(on: &On) -> Result<()> {
    let begin = Instant::now();
    let place = match on {
        On::Machine(nodes) => {
            say(begin, "building the programs, a cluster, and installing Plimsoll by its chart");
            Place::machine(*nodes)?
        }
        On::Context(target) => {
            say(begin, &format!("building the programs and their images for context {}", target.context));
            Place::context(target)?
        }
    };
    say(begin, "deploying the shop and its ScalableService");
    let shop = Shop::of(place.namespace, NAME, 2);
    place.deploy(&Shop { service_time: "50ms", startup: "2s", more: &["--queue-limit=400"], ..shop })?;
    let spec = SPEC.replace("NAMESPACE", place.namespace);
    let target = "{kind: Deployment, name: checkout}";
    place.client.apply(&scalable_service((place.namespace, NAME), target, 2..=20, &spec))?;
    place.kubectl("wait --for=condition=Ready ssvc/checkout --timeout=60s")?;
    say(begin, "three minutes of load: a rise, a jump to more than twice as much, a fall");
    let objective = format!("--objective={OBJECTIVE_S}s");
    // A Service balances connections, not requests: a long-lived connection would keep its load on an old pod.
    let flags = [&objective, "--timeout=5s", "--requests-per-connection=1"];
    let load = place.load(NAME, SHAPE, &flags)?;
    let (account, seconds, peak) = watch(&place, load)?;
    println!();
    println!("{}", place.kubectl("get ssvc checkout")?);
    conclude(&place, &account, &seconds, peak)
}

/// Prints a line every few seconds until the load ends. Returns its account, and the most ready replicas.
fn watch(place: &Place, mut load: Load) -> Result<(Summary, Vec<Second>, i64)> {
    println!();
    println!("{:>6} {:>9} {:>9} {:>8} {:>9} {:>6}  why", "time", "req/s", "wanted", "ready", "p99", "lost");
    let (mut shown, mut peak) = (0, 0);
    while load.runs()? {
        sleep(Duration::from_millis(500));
        let seconds = load.seconds();
        let Some(last) = seconds.last().filter(|_| seconds.len() >= shown + 4) else { continue };
        shown = seconds.len();
        let (wanted, ready) = replicas(place)?;
        peak = peak.max(ready);
        let lost: u64 = seconds.iter().map(Second::lost).sum();
        let object = place.client.get(place.namespace, "ssvc", NAME)?;
        let why = object.text("/status/summary/why");
        println!(
            "{:>5.0}s {:>9.0} {wanted:>9} {ready:>8} {:>7.0}ms {lost:>6}  {why}",
            last.t,
            last.offered,
            last.p99.unwrap_or_default() * 1e3
        );
        std::io::stdout().flush()?;
    }
    let (account, seconds) = load.finish_by_second(false)?;
    Ok((account, seconds, peak))
}

fn conclude(place: &Place, account: &Summary, seconds: &[Second], peak: i64) -> Result<()> {
    let after_jump = |second: &&Second| (JUMP_S..JUMP_S + REACTION_S).contains(&second.t);
    let outside: Vec<_> = seconds.iter().filter(|second| !after_jump(second)).collect();
    let (sent, late) =
        outside.iter().fold((0, 0), |(sent, late), second| (sent + second.sent, late + second.late));
    let in_time = 100.0 * (1.0 - late as f64 / sent.max(1) as f64);
    let lost = account.lost();
    println!("requests          {} sent = {} answered + {lost} lost", account.sent, account.ok);
    println!(
        "within {:.0} ms     {in_time:.2} % outside of the {REACTION_S:.0} s after the jump",
        OBJECTIVE_S * 1e3
    );
    println!("p99 of all        {:.0} ms", account.p99.unwrap_or_default() * 1e3);
    println!("replicas          2 -> {peak} -> {}", replicas(place)?.0);
    println!();
    println!("Everything keeps running. Explore it with:");
    place.exports.iter().for_each(|line| println!("  {line}"));
    let (kubectl, namespace) = (&place.kubectl, place.namespace);
    println!("  {kubectl} -n {namespace} get ssvc -w");
    println!("  {kubectl} plimsoll -n {namespace} explain {NAME}");
    println!("  {kubectl} -n {namespace} describe ssvc {NAME}");
    println!("and remove it with");
    place.removal.iter().for_each(|line| println!("  {line}"));
    let is_kept = in_time >= 99.0 && lost == 0;
    ensure!(is_kept, "the shop was not kept within its objectives: {in_time:.2} % in time, {lost} lost");
    Ok(())
}

fn replicas(place: &Place) -> Result<(i64, i64)> {
    let deployment = place.client.get(place.namespace, "deployment", NAME)?;
    Ok((deployment.wanted(), deployment.number("/status/readyReplicas")))
}

fn say(begin: Instant, what: &str) {
    println!("[{:>4.0}s] {what}", begin.elapsed().as_secs_f64());
}
