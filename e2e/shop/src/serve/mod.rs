//! `serve`: an HTTP service with a known capacity, probes, metrics and fault switches.

mod faults;
mod metrics;
mod physics;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::args::ServeArgs;
use crate::http::{self, HttpClient};
use crate::signal::Stop;

use self::faults::{Fault, Faults};
use self::metrics::{Ended, Metrics};
use self::physics::{Physics, QueueFull, Shape, Worker};

/// Multiplies the service time of one request, above 0 and at most 1000.
const COST_HEADER: &str = "x-shop-cost";
/// Names the pod that answers.
const POD_HEADER: &str = "x-shop-pod";

/// Serves until stopped, drains, and returns when no request is in flight.
pub async fn run(args: ServeArgs, stop: Stop) -> anyhow::Result<()> {
    let listener = http::listen(args.listen).await?;
    run_on(listener, args, stop).await
}

struct Shop {
    physics: Arc<Physics>,
    metrics: Arc<Metrics>,
    faults: Arc<Faults>,
    ready_at: Instant,
    draining: AtomicBool,
    downstream: Option<Downstream>,
    /// Name of the pod, which is the host name in its containers.
    pod: String,
}

struct Downstream {
    client: HttpClient,
    url: Uri,
    timeout: Duration,
}

async fn run_on(listener: TcpListener, args: ServeArgs, stop: Stop) -> anyhow::Result<()> {
    let shop = Arc::new(Shop::new(&args));
    let (close, closed) = Stop::by_hand();
    let mut server = tokio::spawn(http::serve(listener, router(Arc::clone(&shop)), closed));
    tokio::select! {
        () = stop.requested() => {}
        ended = &mut server => return ended?,
    }
    shop.draining.store(true, Ordering::Relaxed);
    eprintln!(
        "draining: unready for {:?}, {} requests in flight",
        args.drain_delay,
        shop.metrics.in_flight()
    );
    tokio::time::sleep(args.drain_delay).await;
    close.send_replace(true);
    match tokio::time::timeout(args.shutdown_grace, server).await {
        Ok(ended) => ended?,
        Err(_) => bail!(
            "{} requests were still in flight {:?} after the drain delay",
            shop.metrics.in_flight(),
            args.shutdown_grace
        ),
    }
}

fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { http::line(StatusCode::OK, "ok") }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(shop): State<Arc<Shop>>| async move { shop.metrics.page(&shop.physics) }),
        )
        .route("/fault", get(show_fault).post(set_fault))
        .route(
            "/stream",
            get(|State(shop): State<Arc<Shop>>, uri: Uri| async move {
                stream::answer(&shop.metrics, &shop.pod, &uri)
            }),
        )
        .fallback(work)
        .with_state(shop)
}

async fn ready(State(shop): State<Arc<Shop>>) -> Response {
    match shop.not_ready() {
        Some(why) => http::line(StatusCode::SERVICE_UNAVAILABLE, why),
        None => http::line(StatusCode::OK, "ready"),
    }
}

async fn show_fault(State(shop): State<Arc<Shop>>) -> Response {
    http::json(&shop.faults.current())
}

async fn set_fault(State(shop): State<Arc<Shop>>, body: Bytes) -> Response {
    match Fault::parse(&body) {
        Ok(fault) => {
            shop.faults.set(fault);
            http::json(&shop.faults.current())
        }
        Err(error) => http::line(StatusCode::BAD_REQUEST, &error),
    }
}

async fn work(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let request = shop.metrics.begin();
    shop.metrics.record_first(headers.contains_key("x-forwarded-for"));
    let (ended, text) = shop.answer(&headers).await;
    request.end(ended);
    let status = StatusCode::from_u16(ended as u16).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = http::line(status, &text);
    if let Ok(pod) = HeaderValue::from_str(&shop.pod) {
        response.headers_mut().insert(POD_HEADER, pod);
    }
    if shop.draining.load(Ordering::Relaxed) {
        // Lets a client that reuses connections open another one before this one is closed.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Shop {
    fn new(args: &ServeArgs) -> Self {
        let shape = Shape {
            workers: args.workers,
            queue_limit: args.queue_limit,
            service_time: args.service_time,
            jitter: args.service_jitter,
            cpu_share: args.cpu_share,
            seed: args.seed.unwrap_or_else(any_seed),
        };
        let downstream = args.downstream.clone();
        Self {
            physics: Arc::new(Physics::new(shape)),
            metrics: Arc::new(Metrics::default()),
            faults: Faults::new(),
            ready_at: Instant::now() + args.startup,
            draining: AtomicBool::new(false),
            pod: std::env::var("HOSTNAME").unwrap_or_default(),
            downstream: downstream.map(|url| Downstream {
                client: http::client(),
                url,
                timeout: args.downstream_timeout,
            }),
        }
    }

    fn not_ready(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            Some("draining")
        } else if Instant::now() < self.ready_at {
            Some("starting")
        } else if self.faults.current().unready {
            Some("unready by a fault")
        } else {
            None
        }
    }

    async fn answer(self: &Arc<Self>, headers: &HeaderMap) -> (Ended, String) {
        let cost = match cost_of(headers) {
            Ok(cost) => cost,
            Err(error) => return (Ended::Refused, error),
        };
        if Instant::now() < self.ready_at {
            return (Ended::Rejected, "starting".to_owned());
        }
        let worker = match self.physics.enter().await {
            Ok(worker) => worker,
            Err(QueueFull) => return (Ended::Rejected, "the queue is full".to_owned()),
        };
        // In a separate task: a worker finishes its request even if the client closes the connection.
        match tokio::spawn(Arc::clone(self).perform(worker, cost)).await {
            Ok(answer) => answer,
            Err(error) => (Ended::Failed, error.to_string()),
        }
    }

    async fn perform(self: Arc<Self>, mut worker: Worker, cost: f64) -> (Ended, String) {
        if self.faults.current().hang {
            self.faults.released().await;
            worker.waited();
        }
        let called = match &self.downstream {
            Some(downstream) => {
                let called = downstream.call().await;
                worker.waited();
                called
            }
            None => Ok(()),
        };
        let fault = self.faults.current();
        let time = self.physics.draw_time(cost * fault.slow);
        worker.occupy(time).await;
        match called {
            Err(error) => (Ended::Failed, format!("{error:#}")),
            Ok(()) if fault.errors > 0.0 && self.physics.draw() < fault.errors => {
                (Ended::Failed, "injected error".to_owned())
            }
            Ok(()) => (Ended::Served, "ok".to_owned()),
        }
    }
}

impl Downstream {
    async fn call(&self) -> anyhow::Result<()> {
        let request = Request::get(self.url.clone()).body(Body::empty())?;
        let (status, _) = http::call(&self.client, request, self.timeout).await?;
        if status.is_server_error() {
            bail!("{} answered {status}", self.url);
        }
        Ok(())
    }
}

fn cost_of(headers: &HeaderMap) -> Result<f64, String> {
    let Some(value) = headers.get(COST_HEADER) else { return Ok(1.0) };
    match value.to_str().map(str::parse::<f64>) {
        Ok(Ok(cost)) if cost > 0.0 && cost <= 1_000.0 => Ok(cost),
        _ => Err(format!("{COST_HEADER} is {value:?}, but must be a number above 0 and at most 1000")),
    }
}

fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() ^ (u64::from(now.subsec_nanos()) << 32) ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests;
