//! A standby over TLS gets client requests, held requests and checks only while its certificate is trusted.

use std::{fs, net::SocketAddr, time::Duration};

use plimsoll::balancer::Standby;
use plimsoll_api::{Percent, StandbyTls};
use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{Client, Replica, eventually},
    terminator::Certificate,
};

const SECRET: &str = "east-ca";

impl Fixture {
    fn trust(&self, certificates: &str) {
        let folder = self.balancer.folder.join("authorities").join(SECRET);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ca.crt"), certificates).unwrap();
    }

    /// Sets the standby at this address, whose certificate must be for `hostname`, and its share.
    fn shift_over_tls(&self, address: SocketAddr, hostname: &str, weight: u8) {
        let tls = StandbyTls { hostname: hostname.to_owned(), ca_secret_name: SECRET.to_owned() };
        let standby = Standby {
            name: "east".to_owned(),
            addresses: vec![address],
            weight: Percent::clamped(weight.into()),
            replicas: 1,
            tls: Some(tls),
        };
        self.update(|known| known.service.as_mut().unwrap().standbys = vec![standby]);
    }

    /// Adds a trusted standby with this share; returns it and the address of its TLS listener.
    async fn trusted_standby(&mut self, weight: u8) -> (Replica, SocketAddr) {
        let east = Replica::start("east", Duration::ZERO).await;
        let certificate = Certificate::of("east.example");
        let address = certificate.in_front_of(east.address).await;
        self.trust(&certificate.pem);
        self.shift_over_tls(address, "east.example", weight);
        self.has_first("east").await;
        (east, address)
    }

    async fn refused(&mut self, words: &str) {
        let status = self
            .until("the standby is refused", |status| {
                status.not_answering.first().is_some_and(|standby| standby.message.contains(words))
            })
            .await;
        assert!(status.answering.is_empty() && status.not_answering[0].name == "east", "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_standby_with_a_trusted_certificate_gets_requests() {
    let checks = json!({"healthCheck": {"path": "/", "interval": "200ms", "rise": 1, "fall": 1}});
    let mut fixture = Fixture::running(1, &checks).await;
    let _primary = fixture.replica(1, Duration::ZERO).await;
    fixture.programmed(1).await;
    let east = Replica::start("east", Duration::ZERO).await;
    let certificate = Certificate::of("east.example");
    let address = certificate.in_front_of(east.address).await;
    let get = |fixture: &Fixture| Client::new(fixture.front);

    fixture.shift_over_tls(address, "east.example", 100);
    fixture.refused("Secret east-ca has no usable ca.crt: No such file").await;
    assert_eq!(get(&fixture).get("/", &[]).await.unwrap().body, "checkout-1", "no certificate is trusted");

    fixture.trust(&certificate.pem);
    fixture.until("it answers", |status| status.answering == ["east"]).await;
    let front = fixture.front;
    eventually("the standby serves", || async {
        let answer = Client::new(front).get("/", &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        (answer.body == "east").then_some(())
    })
    .await;

    fixture.shift_over_tls(address, "west.example", 100);
    fixture.refused("not valid for name").await;
    let none = || async { (Client::new(front).get("/", &[]).await.unwrap().status == 503).then_some(()) };
    eventually("another hostname gets no requests", none).await;
    let served = east.served();
    assert_eq!(get(&fixture).get("/", &[]).await.unwrap().status, 503);
    assert_eq!(east.served(), served);

    // Another authority: the previous one is no longer trusted.
    let other = Certificate::of("east.example");
    fixture.shift_over_tls(address, "east.example", 100);
    fixture.until("it answers", |status| status.answering == ["east"]).await;
    fixture.trust(&other.pem);
    fixture.refused("invalid peer certificate").await;
    eventually("HAProxy no longer trusts it either", none).await;
    fixture.trust(&format!("{}{}", other.pem, certificate.pem));
    fixture.until("it answers again", |status| status.answering == ["east"]).await;
    eventually("the standby serves again", || async {
        (Client::new(front).get("/", &[]).await.unwrap().body == "east").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_requests_are_served_over_tls_too() {
    let mut fixture = Fixture::running(0, &json!({})).await;
    let (east, address) = fixture.trusted_standby(0).await;
    let front = fixture.front;
    let waiting: Vec<_> =
        (0..20).map(|_| tokio::spawn(async move { Client::new(front).get("/", &[]).await })).collect();
    fixture.until("all wait", |status| status.held == 20).await;
    fixture.shift_over_tls(address, "east.example", 100);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().body, "east");
    }
    assert!(east.served() >= 20, "{}", east.served());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_spec_does_not_change_the_authorities_of_the_running_spec() {
    let mut fixture = Fixture::running(1, &json!({})).await;
    let _east = fixture.trusted_standby(100).await;
    // The Secret of its listener is missing.
    let listeners = json!([{"port": fixture.front.port(), "tls": {"secretName": "shop-tls"}}]);
    let traffic = fixture.traffic(&json!({"listeners": listeners}));
    fixture.update(|known| {
        let service = known.service.as_mut().unwrap();
        (service.generation, service.traffic) = (2, traffic);
        service.standbys[0].tls.as_mut().unwrap().ca_secret_name = "west-ca".to_owned();
    });
    fixture.until("it is refused", |status| status.message.is_some()).await;
    let _primary = fixture.replica(1, Duration::ZERO).await;
    fixture.until("the running spec is followed", |status| status.programmed == 1).await;
    assert_eq!(Client::new(fixture.front).get("/", &[]).await.unwrap().body, "east");
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 1.0, "the first one");
}
