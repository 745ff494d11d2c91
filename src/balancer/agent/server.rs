//! The agent's own port: `/healthz`, `/startz` and `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::metrics::AgentMetrics;
use crate::{balancer::Driver, telemetry::Health};

/// The state that is served.
#[derive(Clone)]
pub struct Served {
    /// Whether the loop makes progress.
    pub health: Health,
    /// Whether a configuration exists, so that the balancer can be started.
    pub configured: Arc<AtomicBool>,
    /// The metrics.
    pub metrics: Arc<AgentMetrics>,
    /// The driver, for its counters.
    pub driver: Arc<Driver>,
}

/// Serves until it is dropped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, served: Served) -> std::io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/startz", get(startz))
        .route("/metrics", get(metrics))
        .with_state(served);
    axum::serve(listener, app).await
}

async fn healthz(State(served): State<Served>) -> Response {
    match served.health.alive() {
        Ok(()) => "ok\n".into_response(),
        Err(complaint) => (StatusCode::SERVICE_UNAVAILABLE, format!("{complaint}\n")).into_response(),
    }
}

async fn startz(State(served): State<Served>) -> Response {
    if served.configured.load(Ordering::Relaxed) {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the configuration is not written yet\n").into_response()
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if let Some(counters) = served.driver.counters().await {
        served.metrics.counted(&counters);
    }
    ([(CONTENT_TYPE, openmetrics)], served.metrics.encode()).into_response()
}
