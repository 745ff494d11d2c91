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

/// A Secret as the kubelet mounts it: files are links into `..data`, which is atomically switched to a new folder.
fn mount(secret: &Path, version: &str, (crt, key): &(String, String)) {
    let folder = secret.join(version);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tls.crt"), crt).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
    let beside = secret.join("..data_tmp");
    std::os::unix::fs::symlink(version, &beside).unwrap();
    fs::rename(beside, secret.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        // The links exist from the second time on.
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
async fn a_changed_secret_is_served_within_two_seconds_and_an_invalid_one_is_reported() {
    let mut fixture = Fixture::new().await;
    let secret = fixture.balancer.folder.join("certificates/shop-tls");
    fs::create_dir_all(&secret).unwrap();
    let pairs: Vec<_> = ["one", "two", "three"].map(|name| self_signed(name, &[], &p256())).into();
    mount(&secret, "..1", &pairs[0]);
    let listeners = json!([{"port": fixture.front.port(), "tls": {"secretName": "shop-tls"}}]);
    fixture.update(|known| known.endpoints = Some(plimsoll::balancer::Endpoints::default()));
    fixture.set_spec(1, 1, &json!({"listeners": listeners}));
    fixture.until("HAProxy is missing", |status| status.message.is_some()).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(fixture.balancer.folder.join("shop-tls.pem")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    fixture.balancer.spawn();
    fixture.until("it is in sync", |status| status.in_sync).await;
    assert_eq!(served(fixture.front).0, "one");

    mount(&secret, "..2", &pairs[1]);
    within_two_seconds(fixture.front, "two").await;

    // The key of another certificate.
    mount(&secret, "..3", &(pairs[2].0.clone(), pairs[0].1.clone()));
    let status = fixture.until("it is reported", |status| status.message.is_some()).await;
    assert!(status.message.unwrap().contains("shop-tls"), "by name");
    assert_eq!(served(fixture.front).0, "two");
    mount(&secret, "..4", &pairs[2]);
    fixture.until("it is in sync", |status| status.in_sync && status.message.is_none()).await;
    assert_eq!(served(fixture.front).0, "three");

    // While a newer spec is refused because its Secret is missing, the Secret of the running spec is still followed.
    fixture.set_spec(
        2,
        1,
        &json!({"listeners": [{"port": fixture.front.port(), "tls": {"secretName": "other-tls"}}]}),
    );
    fixture.until("it is refused", |status| status.message.is_some()).await;
    mount(&secret, "..5", &pairs[0]);
    within_two_seconds(fixture.front, "one").await;
    assert_eq!(fixture.metric("plimsoll_balancer_reloads_total"), 0.0);
}
