//! The operator's own port: `/livez`, `/readyz` and `/metrics`.

use std::{fmt::Write as _, future::Future, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch, time::sleep};

use super::{Health, Metrics};

/// The media type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long connections may take to finish after a shutdown began.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Serves `/livez`, `/readyz` and `/metrics` on `listener` until `shutdown`, then finishes requests in progress for at most
/// 3 s.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(App { health, metrics });
    let (stop, mut stopped) = watch::channel(());
    let signal = async move {
        shutdown.await;
        drop(stop);
    };
    let overdue = async move {
        // Ends with an error on shutdown, since the sender is dropped then.
        while stopped.changed().await.is_ok() {}
        sleep(DRAIN_MAX).await;
    };
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(signal) => served,
        () = overdue => Ok(()),
    }
}

#[derive(Clone)]
struct App {
    health: Health,
    metrics: Arc<Metrics>,
}

async fn livez(State(app): State<App>) -> Response {
    match app.health.alive() {
        Ok(()) => "ok\n".into_response(),
        Err(complaint) => (StatusCode::SERVICE_UNAVAILABLE, format!("{complaint}\n")).into_response(),
    }
}

/// Lists the checks if one fails or with `?verbose`, like Kubernetes' own components.
async fn readyz(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let ready = app.health.is_ready();
    if ready && !query.is_some_and(|query| asks_for_all(&query)) {
        return "ok\n".into_response();
    }
    let mut text = String::new();
    let watches = app.health.watches();
    for (name, synced) in &watches {
        let line = if *synced { format!("[+]{name} ok\n") } else { format!("[-]{name} not synced\n") };
        text.push_str(&line);
    }
    if watches.is_empty() {
        text.push_str("[-]watches not started\n");
    }
    let verdict = if ready { "passed" } else { "failed" };
    // Writing to a String can't fail.
    let _ = writeln!(text, "readyz check {verdict}");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

fn asks_for_all(query: &str) -> bool {
    query.split('&').any(|part| matches!(part, "verbose" | "verbose=" | "verbose=true" | "verbose=1"))
}

/// Encodes on a thread for blocking work: with ten thousand services it takes too long for an async task.
async fn metrics_text(State(app): State<App>) -> Response {
    match tokio::task::spawn_blocking(move || app.metrics.encode()).await {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            let complaint = format!("failed to encode the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, complaint).into_response()
        }
    }
}
