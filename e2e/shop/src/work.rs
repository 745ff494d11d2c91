//! `work`: takes jobs from the queue, one at a time. It stops only between two jobs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, Uri};
use axum::routing::get;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::registry::Registry;

use crate::args::WorkArgs;
use crate::exposition::{self, Page};
use crate::http::{self, HttpClient};
use crate::queue::Batch;
use crate::signal::Stop;

/// Timeout of one call of the queue.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the report of a done job is tried before the job is left to be repeated.
const REPORTS: u32 = 10;

/// Works until stopped, finishes the current job, and returns.
pub async fn run(args: WorkArgs, stop: Stop) -> anyhow::Result<()> {
    let listener = http::listen(args.listen).await?;
    let worker = Arc::new(Worker {
        client: http::client(),
        take: http::join(&args.queue, "/take?max=1")?,
        done: http::join(&args.queue, "/done")?,
        job_time: args.job_time,
        pause: args.poll_interval,
        finished: Counter::default(),
        failed_calls: Counter::default(),
        busy: Gauge::default(),
    });
    let (close, closed) = Stop::by_hand();
    let server = tokio::spawn(http::serve(listener, router(Arc::clone(&worker), stop.clone()), closed));
    worker.work(&stop).await;
    close.send_replace(true);
    server.await?
}

struct Worker {
    client: HttpClient,
    take: Uri,
    done: Uri,
    job_time: Duration,
    pause: Duration,
    finished: Counter,
    failed_calls: Counter,
    busy: Gauge,
}

fn router(worker: Arc<Worker>, stop: Stop) -> Router {
    let ready = move || async move {
        match stop.is_requested() {
            true => http::line(StatusCode::SERVICE_UNAVAILABLE, "finishing the last job"),
            false => http::line(StatusCode::OK, "ready"),
        }
    };
    Router::new()
        .route("/healthz", get(|| async { http::line(StatusCode::OK, "ok") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(worker): State<Arc<Worker>>| async move { worker.page() }))
        .with_state(worker)
}

impl Worker {
    async fn work(&self, stop: &Stop) {
        while !stop.is_requested() {
            // Not interrupted by a stop: a take in flight may already own a job.
            let jobs = match self.call(&self.take, Body::empty()).await.and_then(|body| batch(&body)) {
                Ok(batch) => batch.jobs,
                Err(error) => {
                    self.failed_calls.inc();
                    eprintln!("no job was taken: {error:#}");
                    Vec::new()
                }
            };
            if jobs.is_empty() {
                tokio::select! {
                    () = stop.requested() => {}
                    () = tokio::time::sleep(self.pause) => {}
                }
            }
            for job in jobs {
                self.busy.set(1);
                tokio::time::sleep(self.job_time).await;
                self.report(job).await;
                self.busy.set(0);
            }
        }
    }

    async fn report(&self, job: u64) {
        let body = format!("{{\"jobs\":[{job}]}}");
        for _ in 0..REPORTS {
            match self.call(&self.done, Body::from(body.clone())).await {
                Ok(_) => {
                    self.finished.inc();
                    return;
                }
                Err(error) => {
                    self.failed_calls.inc();
                    eprintln!("job {job} is not reported as done: {error:#}");
                    tokio::time::sleep(self.pause).await;
                }
            }
        }
    }

    async fn call(&self, url: &Uri, body: Body) -> anyhow::Result<bytes::Bytes> {
        let request = Request::post(url.clone()).body(body)?;
        let (status, body) = http::call(&self.client, request, CALL_TIMEOUT).await?;
        if !status.is_success() {
            bail!("{url} answered {status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    }

    fn page(&self) -> Page {
        let mut shown = Registry::default();
        let help = "Jobs that were done and reported";
        shown.register("shop_work_jobs_done", help, self.finished.clone());
        shown.register("shop_work_busy", "1 while a job is worked on", self.busy.clone());
        let help = "Calls of the queue that failed";
        shown.register("shop_work_queue_errors", help, self.failed_calls.clone());
        exposition::page(shown)
    }
}

fn batch(body: &[u8]) -> anyhow::Result<Batch> {
    serde_json::from_slice(body).context("the queue answered something else than jobs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue;

    async fn serve(router: Router) -> Uri {
        let listener = http::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url.parse().expect("url")
    }

    async fn text(url: &Uri, path: &str, method: &str) -> String {
        let request = Request::builder().method(method).uri(http::join(url, path).expect("url"));
        let request = request.body(Body::empty()).expect("request");
        let (_, body) = http::call(&http::client(), request, CALL_TIMEOUT).await.expect("answer");
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_stop_finishes_the_current_job_and_takes_no_other() {
        let queue = serve(queue::router(Duration::from_secs(30))).await;
        text(&queue, "/jobs?n=100", "POST").await;
        let (stop, stopped) = Stop::by_hand();
        let args = WorkArgs {
            queue: queue.clone(),
            job_time: Duration::from_millis(50),
            poll_interval: Duration::from_millis(10),
            listen: ([127, 0, 0, 1], 0).into(),
        };
        let worker = tokio::spawn(run(args, stopped));
        let at_fourth = |state: &str| state.contains("\"done\":3,") && state.contains("\"taken\":1,");
        while !at_fourth(&text(&queue, "/", "GET").await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send_replace(true);
        worker.await.expect("no panic").expect("a clean end");
        let left = text(&queue, "/", "GET").await;
        let wanted = r#"{"added":100,"done":4,"returned":0,"taken":0,"waiting":96}"#;
        assert_eq!(left.trim(), wanted, "the current job is done");
        assert!(text(&queue, "/metrics", "GET").await.contains("\nshop_queue_jobs 96\n"));
    }
}
