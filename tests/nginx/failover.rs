//! Standbys with NGINX: each new share is a reload that loses no request.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use plimsoll::balancer::{ServerState::Ready, Standby, Wanted};
use plimsoll_api::{Percent, StandbyTls};
use serde_json::json;

use crate::{
    proxy::{MOMENT, Proxy, wanted},
    support::{Client, Load, Reached as _, Replica},
    terminator::Certificate,
};

fn with(wanted: &Wanted, standby: &Replica, weight: u8) -> Wanted {
    let standby = Standby { replicas: 0, ..standby.standby(weight) };
    Wanted { standbys: vec![standby], ..wanted.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_applied_and_a_shift_and_its_return_lose_no_request() {
    let delay = Duration::from_millis(2);
    let (primary, east) = (Replica::start("primary", delay).await, Replica::start("east", delay).await);
    let only = wanted(&json!({"retries": {"attempts": 0}})).with([primary.server(Ready)]);
    let proxy = Proxy::start(&with(&only, &east, 0)).await;
    let loads = [true, false].map(|keep_alive| Load::start(only.front(), 4, keep_alive, "/"));
    for weight in [30, 100, 0] {
        let begin = Instant::now();
        assert!(proxy.sync(&with(&only, &east, weight)).await.reloaded);
        println!("{weight} % served after {:?}", begin.elapsed());
        let mut client = Client::new(only.front());
        let mut got = 0;
        for _ in 0..1000 {
            got += u32::from(client.get("/", &[]).await.unwrap().body == "east");
        }
        let percent = f64::from(got) / 10.0;
        let off = if weight == 30 { 6.5 } else { 0.0 };
        assert!((percent - f64::from(weight)).abs() <= off, "{percent} % of {weight} %");
        tokio::time::sleep(MOMENT).await;
    }
    for load in loads {
        let account = load.finish().await;
        assert!(account.sent > 500, "{}", account.sent);
        assert_eq!(account.lost(), 0, "of {}", account.sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_standby_are_used_and_a_dead_one_loses_no_request() {
    let (primary, east, west) = (
        Replica::start("primary", Duration::ZERO).await,
        Replica::start("east", Duration::ZERO).await,
        Replica::start("west", Duration::ZERO).await,
    );
    let only = wanted(&json!({})).with([primary.server(Ready)]);
    let both = Standby { addresses: vec![east.address, west.address], replicas: 0, ..east.standby(100) };
    let _proxy = Proxy::start(&Wanted { standbys: vec![both], ..only.clone() }).await;
    let names = |front| async move {
        let mut names = BTreeSet::new();
        for _ in 0..50 {
            let answer = Client::new(front).get("/", &[]).await.unwrap();
            assert_eq!(answer.status, 200);
            names.insert(answer.body);
        }
        names
    };
    assert_eq!(names(only.front()).await, ["east".to_owned(), "west".to_owned()].into());
    east.die();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(names(only.front()).await, ["west".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_replicas_fails_only_its_own_share() {
    let east = Replica::start("east", Duration::ZERO).await;
    let none = wanted(&json!({}));
    let mut proxy = Proxy::start(&with(&none, &east, 50)).await;
    let statuses = |front| async move {
        let mut failed = 0;
        for _ in 0..400 {
            failed += u32::from(Client::new(front).get("/", &[]).await.unwrap().status == 503);
        }
        failed
    };
    let failed = statuses(none.front()).await;
    assert!((140..260).contains(&failed), "{failed} of 400: there is no switch");
    proxy.sync(&with(&none, &east, 100)).await;
    assert_eq!(statuses(none.front()).await, 0);
    proxy.restart().await;
    assert_eq!(statuses(none.front()).await, 0, "the file has the running configuration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_over_tls_gets_its_share_while_its_certificate_is_trusted() {
    let (primary, east) =
        (Replica::start("primary", Duration::ZERO).await, Replica::start("east", Duration::ZERO).await);
    let only = wanted(&json!({"retries": {"attempts": 0}})).with([primary.server(Ready)]);
    let proxy = Proxy::start(&only).await;
    let certificate = Certificate::of("east.example");
    let address = certificate.in_front_of(east.address).await;
    let file = proxy.folder.join("authorities.pem");
    std::fs::write(&file, &certificate.pem).unwrap();
    let authorities = BTreeMap::from([("east-ca".to_owned(), file)]);
    let over_tls = |hostname: &str, weight| {
        let tls = StandbyTls { hostname: hostname.to_owned(), ca_secret_name: "east-ca".to_owned() };
        let standby = Standby {
            name: "east".to_owned(),
            addresses: vec![address],
            weight: Percent::clamped(weight),
            replicas: 0,
            tls: Some(tls),
        };
        only.clone().and_standbys(vec![standby], authorities.clone())
    };
    let bodies = || async {
        let mut bodies = BTreeSet::new();
        for _ in 0..100 {
            bodies.insert(Client::new(only.front()).get("/", &[]).await.unwrap().body);
        }
        bodies
    };
    proxy.sync(&over_tls("east.example", 50)).await;
    assert_eq!(bodies().await, BTreeSet::from(["east".to_owned(), "primary".to_owned()]), "{}", proxy.log());
    proxy.sync(&over_tls("east.example", 100)).await;
    assert_eq!(bodies().await, BTreeSet::from(["east".to_owned()]));
    proxy.sync(&over_tls("west.example", 100)).await;
    let served = east.served();
    assert_eq!(Client::new(only.front()).get("/", &[]).await.unwrap().status, 502);
    assert_eq!(east.served(), served);
}
