//! The life cycle of an operator against an API server without objects, in virtual time.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};

use super::*;

/// Serves one Lease and lists without items; watches stay open and silent.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Lease>>>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn client(&self) -> Client {
        Client::new(Router::new().fallback(answer).with_state(self.clone()), "default")
    }

    fn holder(&self) -> Option<String> {
        let lease = self.lease.lock().unwrap();
        lease.as_ref()?.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn surroundings(&self, pod_name: &str) -> Surroundings {
        let health = Health::default();
        let (clock, numbers) = (Clock::new(|| jiff::Timestamp::UNIX_EPOCH), AtomicUsize::new(0));
        Surroundings {
            client: self.client(),
            evictions: self.client(),
            kpis: KpiReader::new(Vec::new()).unwrap(),
            balancers: None,
            namespaces: vec!["shop".to_owned()],
            pod_name: pod_name.to_owned(),
            pod_namespace: "plimsoll".to_owned(),
            lease: LeaseParams::default(),
            clock,
            random: Random::new(move || numbers.fetch_add(1, Ordering::Relaxed) as u64),
            metrics: Arc::new(Metrics::new("test", &health)),
            health,
        }
    }
}

async fn answer(State(server): State<Server>, method: Method, uri: Uri, body: Bytes) -> Response {
    server.requests.fetch_add(1, Ordering::Relaxed);
    if !uri.path().contains("/leases") {
        let query: BTreeMap<&str, &str> =
            uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
        if query.get("watch") == Some(&"true") {
            pending::<()>().await;
        }
        let list =
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
        return list.to_string().into_response();
    }
    let mut lease = server.lease.lock().unwrap();
    if method != Method::GET {
        *lease = Some(serde_json::from_slice(&body).unwrap());
    }
    match &*lease {
        Some(lease) => serde_json::to_vec(lease).unwrap().into_response(),
        None => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"});
            (StatusCode::NOT_FOUND, status.to_string()).into_response()
        }
    }
}

fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_stopped_operator_releases_its_lease_and_returns() {
    let server = Server::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let operator = tokio::spawn(operate(server.surroundings("first"), stopped.map(drop)));
    sleep(Duration::from_secs(30)).await;
    assert!(server.holder().is_some_and(|holder| holder.starts_with("first_")), "{:?}", server.holder());
    stop.send(()).unwrap();
    timeout(Duration::from_secs(1), operator).await.unwrap().unwrap();
    assert_eq!(server.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_operator_stops_all_work_and_the_next_leads_after_the_lease_expires() {
    let server = Server::default();
    // The clients' own tasks end with the last of their clones.
    let first = server.surroundings("first");
    let (_client, _evictions) = (first.client.clone(), first.evictions.clone());
    sleep(Duration::from_millis(1)).await;
    let before = alive();
    let late = timeout(Duration::from_secs(30), operate(first, pending())).await;
    assert!(late.is_err() && server.holder().is_some_and(|holder| holder.starts_with("first_")));
    let requests = server.requests();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((alive(), server.requests()), (before, requests));

    let second = tokio::spawn(operate(server.surroundings("second"), pending()));
    sleep(Duration::from_secs(10)).await;
    assert!(server.holder().is_some_and(|holder| holder.starts_with("first_")), "not expired yet");
    sleep(Duration::from_secs(10)).await;
    assert!(server.holder().is_some_and(|holder| holder.starts_with("second_")), "{:?}", server.holder());
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_given_twice_is_watched_once() {
    let mut requests = Vec::new();
    for namespaces in [vec!["shop"], vec!["shop", "shop"], vec!["shop", "bank"]] {
        let server = Server::default();
        let mut surroundings = server.surroundings("first");
        surroundings.namespaces = namespaces.into_iter().map(str::to_owned).collect();
        let late = timeout(Duration::from_secs(5), operate(surroundings, pending())).await;
        assert!(late.is_err());
        requests.push(server.requests());
    }
    assert_eq!(requests[0], requests[1]);
    assert!(requests[0] < requests[2], "{requests:?}");
}
