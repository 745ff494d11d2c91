//! Creates a namespace on the cluster of `KUBECONFIG`, which the test deletes at its end.

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
};

/// Configuration of the test cluster; `KUBECONFIG` must be set.
pub async fn config() -> Config {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "KUBECONFIG is not set; it must be the kubeconfig of a test cluster"
    );
    Config::infer().await.expect("KUBECONFIG is usable")
}

/// Creates a namespace that is named after the test, and returns its name.
pub async fn create(client: &Client, test: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("plimsoll-{test}-{}-{count}", std::process::id());
    let mut object = Namespace::default();
    object.metadata.name = Some(namespace.clone());
    Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("created namespace");
    namespace
}

/// Deletes the namespace and its content.
pub async fn delete(client: &Client, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete(namespace, &DeleteParams::default()).await.expect("deleted namespace");
}
