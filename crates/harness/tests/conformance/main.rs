//! The in-memory API server responds to every call of the controller like the real kube-apiserver.
//!
//! The same steps run on both servers through kube's client; `real` compares the two transcripts. It needs the programs
//! built by `cargo xtask test`.
// Clippy exempts test functions, but not their helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod controller;
mod play;
mod projection;
mod stage;
mod steps;
mod writers;

use std::collections::BTreeSet;

use jiff::Timestamp;
use plimsoll_harness::apiserver::{ApiServer, CALLS};

use controller::Controller;
use play::{Play, Transcript};
use stage::Stage;

/// Runs all steps on a new in-memory server, in paused time.
fn play_in_memory() -> (ApiServer, Transcript) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let server = ApiServer::new(Timestamp::now);
        let client = server.client_without_retries("conformance");
        let transcript =
            steps::all(Play::new(Controller::lead(client).await, Stage::Memory(server.clone()))).await;
        (server, transcript)
    })
}

#[test]
fn every_call_is_compared() {
    let (server, _) = play_in_memory();
    let made: BTreeSet<String> = server.calls().into_iter().map(|call| call.shape).collect();
    let missing: Vec<&&str> = CALLS.iter().filter(|call| !made.contains(**call)).collect();
    assert!(missing.is_empty(), "no step makes these calls: {missing:?}");
}

#[cfg(feature = "real")]
#[test]
fn real() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let server = plimsoll_e2e::cluster::BareApiServer::start(folder.path()).unwrap();
    let definition = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/scalableservices.plimsoll.dev.yaml");
    server.kubectl(&["apply", "--server-side", "--filename", definition], "").unwrap();
    server.kubectl(&["create", "namespace", stage::NAMESPACE], "").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let real = runtime.block_on(async {
        let config = kube::config::Kubeconfig::read_from(server.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
        let client = plimsoll::actuate::client_without_retries(config).unwrap();
        stage::served(&client, "scalableservices").await;
        steps::all(Play::new(Controller::lead(client.clone()).await, Stage::Real(client))).await
    });
    let (_, in_memory) = play_in_memory();
    let differences = real.differences(&in_memory);
    assert!(differences.is_empty(), "- is the real server, + the in-memory one\n{differences}");
}
