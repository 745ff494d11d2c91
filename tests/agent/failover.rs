//! Failover in the agent: shares from the status, requests at the gate, and probes of the standbys.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{Client, Load, Replica, eventually},
};

impl Fixture {
    /// Sets the only standby and its share, as the controller does.
    fn shift(&self, standby: &Replica, weight: u8) {
        let standby = standby.standby(weight);
        self.update(|known| known.service.as_mut().unwrap().standbys = vec![standby]);
    }

    /// Adds a new standby.
    async fn first(&mut self, standby: &Replica) {
        self.shift(standby, 0);
        self.has_first(&standby.name).await;
    }

    /// Waits until the first standby answers and HAProxy has its backend, which takes a reload.
    pub async fn has_first(&mut self, name: &str) {
        self.until("it answers", |status| status.answering == [name]).await;
        let reloaded = || async { (self.metric("plimsoll_balancer_reloads_total") == 1.0).then_some(()) };
        eventually("HAProxy has its backend", reloaded).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_status_is_served_within_milliseconds() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _primary = fixture.replica(1, Duration::from_millis(1)).await;
    let east = Replica::start("east", Duration::from_millis(1)).await;
    fixture.programmed(1).await;
    fixture.first(&east).await;
    let load = Load::start(fixture.front, 4, true, "/");
    let mut took = Vec::new();
    for flip in 0..40 {
        let front = fixture.front;
        let to = if flip % 2 == 0 { "east" } else { "checkout-1" };
        let begin = Instant::now();
        let prober = tokio::spawn(async move {
            let mut client = Client::new(front);
            while client.get("/", &[]).await.unwrap().body != to {}
            begin.elapsed()
        });
        fixture.shift(&east, if flip % 2 == 0 { 100 } else { 0 });
        took.push(prober.await.unwrap());
    }
    took.sort();
    println!("status event to first answer: median {:?}, max {:?}", took[20], took[39]);
    assert!(took[20] < Duration::from_millis(50), "{took:?}");
    let account = load.finish().await;
    assert_eq!(account.lost(), 0, "of {}", account.sent);
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 1.0, "the first one");
    fixture.shift(&east, 40);
    fixture.until("in sync", |status| status.in_sync).await;
    let share = "plimsoll_balancer_standby_share_ratio{standby=\"east\"}";
    let reported = async {
        while fixture.metric(share) != 0.4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reported).await.expect("the metric of the share");
    assert_eq!(fixture.metric("plimsoll_balancer_standby_answering{standby=\"east\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_requests_are_served_by_the_standby_also_those_at_the_gate() {
    let mut fixture = Fixture::running(0, &json!({})).await;
    let east = Replica::start("east", Duration::from_millis(1)).await;
    fixture.first(&east).await;
    let front = fixture.front;
    let waiting: Vec<_> =
        (0..20).map(|_| tokio::spawn(async move { Client::new(front).get("/", &[]).await })).collect();
    fixture.until("all wait", |status| status.held == 20).await;
    let begin = Instant::now();
    fixture.shift(&east, 100);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().body, "east");
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    fixture.until("nothing is held", |status| status.held == 0).await;
    // The marker keeps another balancer from forwarding these requests again, including those from the gate.
    let heads = east.heads.lock().unwrap().clone();
    let of_clients = heads.iter().filter(|head| head.to_lowercase().contains("host: shop.example\r\n"));
    let mut by_gate = 0;
    for head in of_clients {
        let head = head.to_lowercase();
        let marker = head.lines().find_map(|line| line.strip_prefix("plimsoll-server: "));
        assert!(marker.is_some_and(|marker| marker.starts_with('_')), "{head}");
        by_gate += usize::from(marker == Some("_gate"));
    }
    assert!(by_gate > 0, "the gate must forward the first request: {heads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_stops_answering_is_reported_and_a_new_address_is_probed_from_scratch() {
    let checks = json!({"healthCheck": {"path": "/", "interval": "100ms", "rise": 2, "fall": 3}});
    let mut fixture = Fixture::running(1, &checks).await;
    let east = Replica::start("east", Duration::ZERO).await;
    fixture.shift(&east, 0);
    fixture.until("it answers", |status| status.answering == ["east"]).await;
    let head = east.heads.lock().unwrap().concat();
    assert!(head.contains("GET / HTTP/1.1") && head.contains("Host: checkout.shop"), "{head}");
    let begin = Instant::now();
    east.die();
    fixture.until("it does not answer", |status| status.answering.is_empty()).await;
    assert!(begin.elapsed() > Duration::from_millis(200), "three in a row: {:?}", begin.elapsed());
    // A slow answer does not count either.
    let slow = Replica::start("east", Duration::from_secs(1)).await;
    fixture.shift(&slow, 0);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(fixture.status.borrow().answering.is_empty());
    let again = Replica::start("east", Duration::ZERO).await;
    fixture.shift(&again, 0);
    fixture.until("it answers again", |status| status.answering == ["east"]).await;
    fixture.update(|known| known.service.as_mut().unwrap().standbys.clear());
    fixture.until("there is none", |status| status.answering.is_empty()).await;
}
