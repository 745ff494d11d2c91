//! A namespace of its own on the cluster of `KUBECONFIG`, for a test that deletes it at its end.

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
};

/// The configuration of a cluster for tests, whose name must have been given.
pub async fn config() -> Config {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "KUBECONFIG is not set; it must name the kubeconfig of a cluster for tests"
    );
    Config::infer().await.expect("KUBECONFIG names a cluster that can be used")
}

/// Makes a namespace that is named after the test; its name.
pub async fn create(client: &Client, test: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("plimsoll-{test}-{}-{count}", std::process::id());
    let mut object = Namespace::default();
    object.metadata.name = Some(namespace.clone());
    Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace can be made");
    namespace
}

/// Deletes it, with what is in it.
pub async fn delete(client: &Client, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete(namespace, &DeleteParams::default()).await.expect("the namespace can be deleted");
}
