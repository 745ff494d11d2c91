//! Standbys: shares are applied, switches lose no request, and requests queued for a dead primary are served.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use plimsoll::balancer::{Epoch, ServerState::Ready, Standby, Wanted, haproxy::AdminState};
use serde_json::{Value, json};

use crate::support::{
    Balancer, Client, Load, Reached as _, Replica, eventually, steps, unused_address, wait, wanted,
};

const DELAY: Duration = Duration::from_millis(2);

fn shared(wanted: &Wanted, standbys: impl IntoIterator<Item = Standby>) -> Wanted {
    Wanted { standbys: standbys.into_iter().collect(), ..wanted.clone() }
}

struct Fixture {
    primary: Replica,
    east: Replica,
    west: Replica,
    only_primary: Wanted,
}

impl Fixture {
    async fn new(more: Value) -> Self {
        let primary = Replica::start("primary", DELAY).await;
        let (east, west) = (Replica::start("east", DELAY).await, Replica::start("west", DELAY).await);
        let only_primary = wanted(more).with([primary.server(Ready)]);
        Self { primary, east, west, only_primary }
    }

    /// The wanted state with shares for both standbys.
    fn with(&self, east: u8, west: u8) -> Wanted {
        shared(&self.only_primary, [self.east.standby(east), self.west.standby(west)])
    }
}

/// Sends `requests`; returns the number of answers by name.
async fn names(front: SocketAddr, requests: usize) -> std::collections::BTreeMap<String, usize> {
    let mut client = Client::new(front);
    let mut names = std::collections::BTreeMap::new();
    for _ in 0..requests {
        *names.entry(client.get("/", &[]).await.unwrap().body).or_default() += 1;
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_applied_and_change_without_a_reload() {
    let fixture = Fixture::new(json!({"healthCheck": {"interval": "500ms"}})).await;
    let balancer = Balancer::start(&fixture.with(0, 0)).await;
    let epoch = balancer.driver.epoch().await.unwrap();
    for (east, west) in [(0, 0), (30, 0), (30, 60), (0, 100), (100, 0), (10, 0)] {
        let wanted = fixture.with(east, west);
        let report = balancer.sync(&wanted).await;
        assert!(!report.reloaded);
        let names = names(wanted.front(), 2000).await;
        for (name, percent) in [("east", east), ("west", west), ("primary", 100 - east - west)] {
            let got = names.get(name).copied().unwrap_or(0) as f64 / 20.0;
            // 4.5 standard deviations of 2,000 draws are at most 5; shares of 0 and 100 must be exact.
            let off = if percent == 0 || percent == 100 { 0.0 } else { 5.0 };
            assert!((got - f64::from(percent)).abs() <= off, "{name} got {got} % of {percent} %: {names:?}");
        }
        assert_eq!(balancer.sync(&wanted).await.steps, [], "in sync: no step is left");
    }
    assert_eq!(balancer.driver.epoch().await.unwrap(), epoch, "the same process");
}

async fn flips(keep_alive: bool) -> (usize, usize, Vec<Duration>) {
    let fixture = Fixture::new(json!({"retries": {"attempts": 0}})).await;
    let balancer = Balancer::start(&fixture.with(0, 0)).await;
    let load = Load::start(fixture.only_primary.front(), 8, keep_alive, "/");
    let mut first = Vec::new();
    for flip in 0..100 {
        let (wanted, to) =
            if flip % 2 == 0 { (fixture.with(100, 0), "east") } else { (fixture.with(0, 0), "primary") };
        let front = wanted.front();
        let begin = Instant::now();
        let prober = tokio::spawn(async move {
            let mut client = Client::new(front);
            while client.get("/", &[]).await.unwrap().body != to {}
            begin.elapsed()
        });
        assert!(!balancer.sync(&wanted).await.reloaded);
        first.push(prober.await.unwrap());
    }
    let account = load.finish().await;
    assert!(account.sent > 300, "{}", account.sent);
    (account.lost(), account.sent, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_switches_under_load_lose_no_request() {
    for keep_alive in [true, false] {
        let (lost, sent, mut first) = flips(keep_alive).await;
        first.sort();
        println!(
            "keep-alive {keep_alive}: {lost} of {sent} lost; switch to first answer: median {:?}, p99 {:?}",
            first[50], first[98]
        );
        assert_eq!(lost, 0, "of {sent}, keep-alive {keep_alive}");
        assert!(first[98] < Duration::from_millis(250), "{first:?}");
    }
}

/// Control: without a loss here the test above proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn control_a_standby_that_dies_under_load_loses_requests() {
    let fixture = Fixture::new(json!({"retries": {"attempts": 0}})).await;
    let _balancer = Balancer::start(&fixture.with(100, 0)).await;
    let load = Load::start(fixture.only_primary.front(), 8, true, "/20ms");
    eventually("it is busy", || async { (fixture.east.working() > 0).then_some(()) }).await;
    fixture.east.die();
    wait(200).await;
    assert!(load.finish().await.lost() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_haproxy_has_the_shares_before_the_first_sync() {
    let fixture = Fixture::new(json!({})).await;
    let mut balancer = Balancer::start(&fixture.with(0, 0)).await;
    let all = fixture.with(0, 100);
    balancer.sync(&all).await;
    balancer.kill().await;
    balancer.spawn();
    balancer.up().await;
    assert_eq!(names(all.front(), 50).await, [("west".to_owned(), 50)].into());
    let report = balancer.sync(&all).await;
    assert_eq!((steps(&report), report.reloaded), (vec![], false), "the file has everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_standby_address_is_followed_and_an_unknown_one_gets_no_requests() {
    let fixture = Fixture::new(json!({"healthCheck": {"interval": "100ms", "rise": 10, "fall": 1}})).await;
    let unknown = Standby { addresses: Vec::new(), ..fixture.east.standby(100) };
    let balancer = Balancer::start(&shared(&fixture.only_primary, [unknown])).await;
    let epoch: Epoch = balancer.driver.epoch().await.unwrap();
    let front = fixture.only_primary.front();
    assert_eq!(names(front, 50).await, [("primary".to_owned(), 50)].into());
    balancer.sync(&shared(&fixture.only_primary, [fixture.east.standby(100)])).await;
    assert_eq!(names(front, 50).await, [("east".to_owned(), 50)].into());
    // It dies and moves: results of the health check for the old address do not count.
    fixture.east.die();
    eventually("the health check finds it down", || async {
        let seen = balancer.driver.observe().await.unwrap();
        (!seen.standbys["_standby_east"].up).then_some(())
    })
    .await;
    let moved = Standby { addresses: vec![fixture.west.address], ..fixture.east.standby(100) };
    assert!(!balancer.sync(&shared(&fixture.only_primary, [moved])).await.reloaded);
    assert_eq!(names(front, 50).await, [("west".to_owned(), 50)].into());
    assert_eq!(balancer.driver.epoch().await.unwrap(), epoch, "the same process");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_standby_are_used_and_a_dead_one_loses_no_request() {
    let fixture = Fixture::new(json!({})).await;
    let at = |addresses: &[SocketAddr]| {
        let standby = Standby { addresses: addresses.to_vec(), ..fixture.east.standby(100) };
        shared(&fixture.only_primary, [standby])
    };
    let (east, west) = (fixture.east.address, fixture.west.address);
    let both = at(&[east, west]);
    let balancer = Balancer::start(&both).await;
    assert_eq!(balancer.sync(&both).await.steps, [], "the file has everything");
    assert_eq!(names(both.front(), 50).await, [("east".to_owned(), 25), ("west".to_owned(), 25)].into());
    fixture.east.die();
    wait(200).await;
    assert_eq!(names(both.front(), 50).await, [("west".to_owned(), 50)].into());
    // DNS returns other addresses: a remaining one keeps its server, and no reload is needed.
    let other = at(&[west, fixture.primary.address]);
    let report = balancer.sync(&other).await;
    assert!(!report.reloaded && balancer.sync(&other).await.steps.is_empty());
    assert!(steps(&report).iter().all(|step| !format!("{step:?}").contains("_standby_east_2")), "{report:?}");
    assert_eq!(names(both.front(), 50).await, [("primary".to_owned(), 25), ("west".to_owned(), 25)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_changes_of_the_shares_are_reverted() {
    let fixture = Fixture::new(json!({})).await;
    let balancer = Balancer::start(&fixture.with(100, 0)).await;
    let map = balancer.driver.paths().shares.display().to_string();
    let wanted = fixture.with(100, 0);
    for tampering in [
        format!("set map {map} east 0"),
        format!("add map {map} east 3"),
        format!("del map {map} east"),
        format!("clear map {map}"),
        "set server checkout_east/_standby_east state maint".to_owned(),
        "set server checkout/_instead_east state maint".to_owned(),
        "set server checkout/_instead_west state ready".to_owned(),
        "set server checkout_east/_standby_east addr 127.0.0.1 port 9".to_owned(),
    ] {
        balancer.ask(&tampering).await;
        // Since 3.0 a server has its new address a moment after the answer.
        let reverted = || async {
            let report = balancer.sync(&wanted).await;
            (!report.steps.is_empty()).then_some(report)
        };
        let report = eventually(&format!("`{tampering}` is reverted"), reverted).await;
        assert!(!report.reloaded, "{tampering}: {report:#?}");
        assert_eq!(names(wanted.front(), 30).await, [("east".to_owned(), 30)].into(), "{tampering}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_primary_is_left_immediately_and_a_new_standby_needs_a_reload() {
    let fixture = Fixture::new(json!({})).await;
    let balancer = Balancer::start(&fixture.only_primary).await;
    fixture.primary.die();
    let front = fixture.only_primary.front();
    assert!(Client::new(front).get("/", &[]).await.unwrap().status >= 500);
    let report = balancer.sync(&fixture.with(0, 0)).await;
    assert!(report.reloaded, "a new backend needs a reload");
    let status = Client::new(front).get("/", &[]).await.unwrap().status;
    assert!(status >= 500, "{status}: there is no switch yet");
    let begin = Instant::now();
    assert!(!balancer.sync(&fixture.with(100, 0)).await.reloaded);
    assert_eq!(names(front, 50).await, [("east".to_owned(), 50)].into());
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// Requests in the primary's queue at the switch, because its replica is full.
#[tokio::test(flavor = "multi_thread")]
async fn requests_queued_for_the_primary_are_served_by_the_standby() {
    let fixture = Fixture::new(json!({"limits": {"connectionsPerReplica": 1, "queueTimeout": "20s"}})).await;
    let balancer = Balancer::start(&fixture.with(0, 0)).await;
    let front = fixture.only_primary.front();
    let ask = |path: &'static str| tokio::spawn(async move { Client::new(front).get(path, &[]).await });
    let stuck = ask("/15000ms");
    eventually("the replica is full", || async { (fixture.primary.working() == 1).then_some(()) }).await;
    let waiting: Vec<_> = (0..50).map(|_| ask("/")).collect();
    eventually("all are queued", || async {
        (balancer.driver.observe().await.unwrap().queued == 50).then_some(())
    })
    .await;
    let begin = Instant::now();
    // The limit is one request at a time.
    balancer.sync(&fixture.with(100, 0)).await;
    for answer in waiting {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "east"));
    }
    println!("50 queued requests were served within {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(!stuck.is_finished(), "a request in flight stays at the primary");
    stuck.abort();
    let report = balancer.sync(&fixture.with(0, 0)).await;
    assert_eq!(report.seen.standbys["_instead_east"].admin, AdminState::Maint, "the redirection must end");
}

/// The same for held requests of a service at zero: at the gate and behind it.
#[tokio::test(flavor = "multi_thread")]
async fn requests_held_behind_the_gate_are_served_by_the_standby() {
    let gate = tokio::net::TcpListener::bind(unused_address()).await.unwrap();
    for algorithm in ["LeastConnections", "SourceHash"] {
        let fixture = Fixture::new(json!({"algorithm": algorithm})).await;
        let none = fixture.only_primary.with([]);
        let none = Wanted { gate: Some(gate.local_addr().unwrap()), ..none };
        let with = |weight| shared(&none, [fixture.east.standby(weight)]);
        let balancer = Balancer::start(&with(0)).await;
        let front = none.front();
        let waiting: Vec<_> =
            (0..20).map(|_| tokio::spawn(async move { Client::new(front).get("/", &[]).await })).collect();
        let (held, _) = gate.accept().await.unwrap();
        eventually("they wait", || async { (balancer.driver.held().await.unwrap() == 20).then_some(()) })
            .await;
        // With a hash they are queued for the gate's own server, which forwards them.
        let east = fixture.east.address;
        let passes = async {
            loop {
                let (mut waited, _) = gate.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut onward = tokio::net::TcpStream::connect(east).await.unwrap();
                    tokio::io::copy_bidirectional(&mut waited, &mut onward).await
                });
            }
        };
        balancer.sync(&with(100)).await;
        let all = eventually("all but the one at the gate are served", || async {
            let done = waiting.iter().filter(|answer| answer.is_finished()).count();
            (done == 19).then_some(done)
        });
        let served = tokio::select! {
            served = all => served,
            () = passes => unreachable!(),
        };
        assert_eq!((served, fixture.east.served()), (19, 19), "{algorithm}");
        drop(held);
    }
}

/// The frontend sets the priority, so it also applies in a standby's queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_has_the_limit_of_its_replicas_and_sheds_by_priority() {
    let fixture = Fixture::new(json!({
        "limits": {"connectionsPerReplica": 2, "queueTimeout": "1s"},
        "priorities": [{"match": {"pathPrefix": "/100ms"}, "criticality": "Sheddable"}],
    }))
    .await;
    let balancer = Balancer::start(&fixture.with(100, 0)).await;
    let front = fixture.only_primary.front();
    let ask = |path: &'static str| {
        tokio::spawn(async move { Client::new(front).get(path, &[]).await.unwrap().status })
    };
    let optional: Vec<_> = (0..80).map(|_| ask("/100ms")).collect();
    wait(200).await;
    let essential: Vec<_> = (0..10).map(|_| ask("/99ms")).collect();
    for answer in essential {
        assert_eq!(answer.await.unwrap(), 200);
    }
    let mut shed = 0;
    for answer in optional {
        shed += usize::from(answer.await.unwrap() == 503);
    }
    assert!(shed > 20, "{shed} of 80 requests of 100 ms were shed: two at a time, within a second");
    assert_eq!(fixture.east.most.load(std::sync::atomic::Ordering::SeqCst), 2);
    // With twice as many replicas the limit doubles.
    let mut wanted = fixture.with(100, 0);
    wanted.standbys[0].replicas = 2;
    let report = balancer.sync(&wanted).await;
    assert_eq!((report.seen.standbys["_standby_east"].maxconn, report.reloaded), (4, false));
    wanted.standbys[0].replicas = 0;
    let report = balancer.sync(&wanted).await;
    let any = if report.seen.version.starts_with("2.") { 0 } else { 100_000 };
    assert_eq!(report.seen.standbys["_standby_east"].maxconn, any, "no limit without known replicas");
}

/// The cookies of an answer, as the client returns them.
fn cookies(head: &str) -> String {
    let lines = head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    lines.collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_cookie_moves_once_to_the_standby_and_once_back() {
    let fixture = Fixture::new(json!({"sessionPersistence": {"cookie": "SID"}})).await;
    let balancer = Balancer::start(&fixture.with(0, 0)).await;
    let front = fixture.only_primary.front();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let head = Client::new(front).get("/", &[]).await.unwrap().head;
        let cookie = cookies(&head);
        assert!(cookie.contains("SID=") && cookie.contains("SID-draw="), "{head}");
        clients.push(format!("cookie: {cookie}; theme=dark"));
    }
    let mut before = vec![false; clients.len()];
    for (weight, rises) in [(30, true), (60, true), (100, true), (60, false), (0, false)] {
        balancer.sync(&fixture.with(weight, 0)).await;
        let mut moved = 0;
        for (client, there) in clients.iter().zip(&mut before) {
            let first = Client::new(front).get("/", &[client]).await.unwrap().body == "east";
            let again = Client::new(front).get("/", &[client]).await.unwrap().body == "east";
            assert_eq!(first, again, "a client does not move while shares are constant");
            assert!(first == *there || first == rises, "clients move in one direction only");
            *there = first;
            moved += usize::from(first);
        }
        let percent = moved as f64 / 2.0;
        assert!((percent - f64::from(weight)).abs() <= 16.0, "{percent} % of the clients for {weight} %");
    }
    let heads = fixture.east.heads.lock().unwrap().concat();
    assert!(heads.contains("theme=dark") && !heads.contains("SID-draw"), "the draw is not forwarded");
    // An invalid draw is ignored.
    let answer = Client::new(front).get("/", &["cookie: SID-draw=1000"]).await.unwrap();
    assert!(cookies(&answer.head).contains("SID-draw="), "{}", answer.head);
}
