//! Certificates from mounted Secrets.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    fixture::Fixture,
    served::served,
    support::{p256, self_signed, wait},
};

/// A Secret as the kubelet mounts it: files are links into `..data`, which is moved to a new folder at once.
fn mount(secret: &Path, version: &str, (crt, key): &(String, String)) {
    let folder = secret.join(version);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tls.crt"), crt).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
    let beside = secret.join("..data_tmp");
    std::os::unix::fs::symlink(version, &beside).unwrap();
    fs::rename(beside, secret.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        // They are there from the second time on.
        drop(std::os::unix::fs::symlink(format!("..data/{name}"), secret.join(name)));
    }
}

async fn within_two_seconds(front: SocketAddr, name: &str) {
    let changed = Instant::now();
    while served(front).0 != name {
        assert!(changed.elapsed() < Duration::from_secs(2), "it still serves {}", served(front).0);
        wait(20).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_is_served_within_two_seconds_and_a_wrong_one_is_told() {
    let mut fixture = Fixture::new().await;
    let secret = fixture.balancer.folder.join("certificates/shop-tls");
    fs::create_dir_all(&secret).unwrap();
    let pairs: Vec<_> = ["one", "two", "three"].map(|name| self_signed(name, &[], &p256())).into();
    mount(&secret, "..1", &pairs[0]);
    let listeners = json!([{"port": fixture.front.port(), "tls": {"secretName": "shop-tls"}}]);
    fixture.told(|known| known.endpoints = Some(plimsoll::balancer::Endpoints::default()));
    fixture.tell(1, 1, &json!({"listeners": listeners}));
    fixture.until("HAProxy is missed", |status| status.message.is_some()).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(fixture.balancer.folder.join("shop-tls.pem")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    fixture.balancer.spawn();
    fixture.until("it is in sync", |status| status.in_sync).await;
    assert_eq!(served(fixture.front).0, "one");

    mount(&secret, "..2", &pairs[1]);
    within_two_seconds(fixture.front, "two").await;

    // A key that is another certificate's.
    mount(&secret, "..3", &(pairs[2].0.clone(), pairs[0].1.clone()));
    let status = fixture.until("it is told", |status| status.message.is_some()).await;
    assert!(status.message.unwrap().contains("shop-tls"), "by name");
    assert_eq!(served(fixture.front).0, "two");
    mount(&secret, "..4", &pairs[2]);
    fixture.until("it is in sync", |status| status.in_sync && status.message.is_none()).await;
    assert_eq!(served(fixture.front).0, "three");

    // While a newer spec is refused, since its Secret is not there, the one that runs goes on to be followed.
    fixture.tell(
        2,
        1,
        &json!({"listeners": [{"port": fixture.front.port(), "tls": {"secretName": "other-tls"}}]}),
    );
    fixture.until("it is refused", |status| status.message.is_some()).await;
    mount(&secret, "..5", &pairs[0]);
    within_two_seconds(fixture.front, "one").await;
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 0.0);
}
