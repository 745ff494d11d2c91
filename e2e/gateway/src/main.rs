//! A stand-in for an implementation of the Gateway API, only for tests: it configures a real HAProxy from Gateways, HTTPRoutes
//! and EndpointSlices, so that real requests follow the weights of a route.
//!
//! It supports hostnames, path prefixes and weights, plain HTTP, and Services as backends. It ignores all other fields of a
//! route and requires no ReferenceGrant. An annotation makes it lie as real implementations do ([`world::Lies`]).

mod args;
mod config;
mod haproxy;
mod world;
mod written;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde_json::json;
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, sleep},
};

use crate::{args::Args, haproxy::HaProxy, world::World, written::WrittenStatuses};

/// Time between two evaluations of the watched objects.
const BEAT: Duration = Duration::from_millis(50);
/// With the lie `early`, HAProxy's configuration lags by this time.
const LATE: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // The only error is that a provider is already installed, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = Args::parse();
    let client = Client::try_default().await.context("no cluster configured")?;
    tokio::select! {
        ended = run(&args, &client) => ended,
        () = orphaned() => Ok(()),
    }
}

/// Waits until the parent process has ended: it holds our standard input open.
async fn orphaned() {
    let mut sink = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut sink).await;
}

async fn run(args: &Args, client: &Client) -> Result<()> {
    let gateways = follow(client, "gateway.networking.k8s.io", "Gateway");
    let routes = follow(client, "gateway.networking.k8s.io", "HTTPRoute");
    let slices = follow(client, "discovery.k8s.io", "EndpointSlice");
    let services = follow(client, "", "Service");
    for store in [&gateways, &routes, &slices, &services] {
        store.wait_until_ready().await.context("a watch ended")?;
    }
    let mut haproxy = HaProxy::new(&args.folder);
    let mut wanted: Option<(String, Instant)> = None;
    let mut written = WrittenStatuses::default();
    loop {
        let world = World::of(args, &gateways.state(), &routes.state(), &slices.state(), &services.state());
        let config = config::render(&world, args.address);
        let since = match &wanted {
            Some((known, since)) if *known == config => *since,
            _ => Instant::now(),
        };
        wanted = Some((config.clone(), since));
        let late = world.lies().early && since.elapsed() < LATE;
        if !late {
            haproxy.run(&config).await?;
        }
        for (object, status) in written.changed(&world, args.address) {
            if !write_status(client, &object, &status).await {
                written.forget(&object);
            }
        }
        sleep(BEAT).await;
    }
}

/// Starts a watch that never ends.
fn follow(client: &Client, group: &str, kind: &str) -> reflector::Store<DynamicObject> {
    let version = "v1";
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let writer = reflector::store::Writer::new(resource);
    let store = writer.as_reader();
    let events = watcher(api, watcher::Config::default()).default_backoff();
    tokio::spawn(reflector::reflector(writer, events).for_each(|_| async {}));
    store
}

/// Returns whether the status was written; a failed write is retried at the next beat.
async fn write_status(client: &Client, object: &world::Key, status: &serde_json::Value) -> bool {
    let gvk = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", object.kind);
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &object.namespace, &ApiResource::from_gvk(&gvk));
    let patch = Patch::Merge(json!({ "status": status }));
    let written = api.patch_status(&object.name, &PatchParams::default(), &patch).await;
    if let Err(error) = &written {
        eprintln!("status of {} {}: {error}", object.kind, object.name);
    }
    written.is_ok()
}
