//! Certificates: a new one causes a reload, an invalid one does not.

use std::fs;

use plimsoll::balancer::{CertificateChange, DriverError, ServerState::Ready};
use serde_json::json;

use crate::{
    proxy::{Proxy, wanted},
    served::served,
    support::{Reached as _, Replica, TLS12, eventually, p256, rsa2048, self_signed, takes_tls12},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_after_a_reload_and_an_invalid_one_changes_nothing() {
    let a = Replica::start("a", std::time::Duration::ZERO).await;
    let mut proxy = Proxy::new();
    let [one, two] = ["one", "two"].map(|name| self_signed(name, &[], &p256()));
    let file = proxy.folder.join("shop-tls.pem");
    let listeners = json!([{"port": 443, "tls": {"secretName": "shop-tls"}}]);
    let mut wanted = wanted(&json!({"listeners": listeners})).with([a.server(Ready)]);
    wanted.listeners[0].certificate = Some(file.clone());
    let set = |pair: &(String, String)| {
        let (driver, file, (crt, key)) = (&proxy.driver, &file, pair.clone());
        async move { driver.set_certificate(file, &crt, &key).await }
    };
    assert_eq!(set(&one).await.unwrap(), CertificateChange::Written);
    assert_eq!(set(&one).await.unwrap(), CertificateChange::None);
    assert!(proxy.driver.sync(&wanted).await.unwrap_err().is_down());
    proxy.spawn();
    proxy.up(&wanted).await;
    let front = wanted.front();
    assert_eq!(served(front), ("one".to_owned(), true));

    let set = |pair: &(String, String)| {
        let (driver, file, (crt, key)) = (&proxy.driver, &file, pair.clone());
        async move { driver.set_certificate(file, &crt, &key).await }
    };
    let error = set(&(two.0.clone(), one.1.clone())).await.unwrap_err();
    assert!(matches!(error, DriverError::Certificate { by: "NGINX", .. }), "{error}");
    assert!(!proxy.sync(&wanted).await.reloaded, "the key does not match: nothing changed");
    let error = set(&("no PEM".to_owned(), String::new())).await.unwrap_err();
    assert!(matches!(error, DriverError::Pem(_)), "{error}");

    assert_eq!(set(&two).await.unwrap(), CertificateChange::Written);
    assert!(proxy.sync(&wanted).await.reloaded);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    eventually("the new one is served", || async { (served(front).0 == "two").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_12_suites_without_forward_secrecy_are_refused() {
    let a = Replica::start("a", std::time::Duration::ZERO).await;
    let proxy = Proxy::new();
    let (crt, key) = self_signed("one", &[], &rsa2048());
    let file = proxy.folder.join("shop-tls.pem");
    fs::write(&file, format!("{crt}{key}")).unwrap();
    let mut wanted = wanted(&json!({})).with([a.server(Ready)]);
    wanted.listeners[0].certificate = Some(file);
    let _proxy = proxy.run(&wanted).await;
    for (suite, fits) in TLS12 {
        assert_eq!(takes_tls12(wanted.front(), suite), fits, "{suite}");
    }
}
