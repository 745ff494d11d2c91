//! `queue`: jobs in memory, delivered at least once. A job that is taken and not done in
//! time returns to the queue, so a crashed worker loses none.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use prometheus_client::metrics::{counter::ConstCounter, gauge::ConstGauge};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::args::QueueArgs;
use crate::exposition::{self, Page};
use crate::http;
use crate::signal::Stop;

/// Most jobs in the queue: about 100 MiB.
const MOST_JOBS: u64 = 10_000_000;
/// Most jobs that one call adds or takes.
const MOST_AT_ONCE: u64 = 1_000_000;

/// Jobs by number: the answer to a take, and the body of a done.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub jobs: Vec<u64>,
}

pub async fn run(args: QueueArgs, stop: Stop) -> anyhow::Result<()> {
    let listener = http::listen(args.listen).await?;
    http::serve(listener, router(args.visibility), stop).await
}

/// The whole service, with an empty queue.
pub fn router(visibility: Duration) -> Router {
    Router::new()
        .route("/jobs", post(add))
        .route("/take", post(take))
        .route("/done", post(done))
        .route("/", get(show))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { http::line(StatusCode::OK, "ok") }))
        .route("/readyz", get(|| async { http::line(StatusCode::OK, "ready") }))
        .with_state(Arc::new(Queue { jobs: Mutex::new(Jobs::default()), visibility }))
}

struct Queue {
    jobs: Mutex<Jobs>,
    visibility: Duration,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<u64>,
    /// Taken and not done, with the time at which each returns.
    taken: BTreeMap<u64, Instant>,
    added: u64,
    done: u64,
    returned: u64,
}

impl Queue {
    /// The present jobs; expired ones are back in the queue.
    fn now(&self) -> MutexGuard<'_, Jobs> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.give_back(Instant::now());
        jobs
    }
}

impl Jobs {
    fn open(&self) -> u64 {
        self.waiting.len() as u64 + self.taken.len() as u64
    }

    fn add(&mut self, count: u64) -> Result<(), String> {
        let open = self.open();
        if open + count > MOST_JOBS {
            return Err(format!(
                "the queue holds {open} jobs; {count} more would exceed its limit of {MOST_JOBS}"
            ));
        }
        self.waiting.extend(self.added + 1..=self.added + count);
        self.added += count;
        Ok(())
    }

    fn take(&mut self, most: usize, returns_at: Instant) -> Vec<u64> {
        let jobs: Vec<u64> = self.waiting.drain(..most.min(self.waiting.len())).collect();
        self.taken.extend(jobs.iter().map(|job| (*job, returns_at)));
        jobs
    }

    /// Marks taken jobs as done, and returns their number.
    fn finish(&mut self, jobs: &[u64]) -> u64 {
        let done = jobs.iter().filter(|job| self.taken.remove(job).is_some()).count() as u64;
        self.done += done;
        done
    }

    fn give_back(&mut self, now: Instant) {
        let Self { waiting, taken, returned, .. } = self;
        taken.retain(|job, returns_at| {
            let stays = now < *returns_at;
            if !stays {
                waiting.push_front(*job);
                *returned += 1;
            }
            stays
        });
    }
}

async fn add(State(queue): State<Arc<Queue>>, uri: Uri) -> Response {
    let count = match http::number_in(&uri, "n", 1, MOST_AT_ONCE) {
        Ok(count) => count,
        Err(error) => return http::line(StatusCode::BAD_REQUEST, &error),
    };
    match queue.now().add(count) {
        Ok(()) => http::json(&json!({ "added": count })),
        Err(error) => http::line(StatusCode::INSUFFICIENT_STORAGE, &error),
    }
}

async fn take(State(queue): State<Arc<Queue>>, uri: Uri) -> Response {
    match http::number_in(&uri, "max", 1, MOST_AT_ONCE) {
        Ok(most) => {
            http::json(&Batch { jobs: queue.now().take(most as usize, Instant::now() + queue.visibility) })
        }
        Err(error) => http::line(StatusCode::BAD_REQUEST, &error),
    }
}

/// A job that is not taken (any more) does not count as done: another worker will do it.
async fn done(State(queue): State<Arc<Queue>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Batch>(&body) {
        Ok(batch) => {
            let done = queue.now().finish(&batch.jobs);
            http::json(&json!({ "done": done, "notTaken": batch.jobs.len() as u64 - done }))
        }
        Err(error) => {
            http::line(StatusCode::BAD_REQUEST, &format!("the body is not {{\"jobs\": [1, 2]}}: {error}"))
        }
    }
}

async fn show(State(queue): State<Arc<Queue>>) -> Response {
    let jobs = queue.now();
    let (waiting, taken) = (jobs.waiting.len(), jobs.taken.len());
    http::json(&json!({
        "waiting": waiting, "taken": taken, "added": jobs.added, "done": jobs.done, "returned": jobs.returned,
    }))
}

async fn metrics(State(queue): State<Arc<Queue>>) -> Page {
    let jobs = queue.now();
    let mut shown = Registry::default();
    let (open, taken) = (ConstGauge::new(jobs.open()), ConstGauge::new(jobs.taken.len()));
    shown.register("shop_queue_jobs", "Jobs that wait, or are taken and not done", open);
    shown.register("shop_queue_taken", "Jobs that are taken and not done", taken);
    shown.register("shop_queue_added", "Jobs that were added", ConstCounter::new(jobs.added));
    shown.register("shop_queue_done", "Jobs that are done", ConstCounter::new(jobs.done));
    let help = "Jobs that were taken, not done in time, and returned to the queue";
    shown.register("shop_queue_returned", help, ConstCounter::new(jobs.returned));
    exposition::page(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue { jobs: Mutex::new(Jobs::default()), visibility: Duration::from_secs(30) }
    }

    fn take(queue: &Queue, most: usize) -> Vec<u64> {
        queue.now().take(most, Instant::now() + queue.visibility)
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_are_taken_in_order_and_counted_until_done() {
        let queue = queue();
        queue.now().add(5).expect("room");
        assert_eq!(take(&queue, 2), [1, 2]);
        assert_eq!(queue.now().open(), 5, "taken jobs are not done");
        assert_eq!(queue.now().finish(&[1, 2, 2, 9]), 2, "each once, and only taken ones");
        assert_eq!(queue.now().open(), 3);
        assert_eq!(take(&queue, 9), [3, 4, 5]);
        assert!(take(&queue, 1).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_is_not_done_returns_and_is_next() {
        let queue = queue();
        queue.now().add(3).expect("room");
        assert_eq!(take(&queue, 1), [1]);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(take(&queue, 1), [2]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(queue.now().finish(&[1]), 0, "too late: it is back in the queue");
        assert_eq!(queue.now().returned, 1);
        assert_eq!(queue.now().open(), 3);
        assert_eq!(take(&queue, 9), [1, 3]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut jobs = Jobs::default();
        jobs.add(MOST_JOBS - 1).expect("room");
        let error = jobs.add(2).expect_err("full");
        assert!(error.contains("10000000"), "{error}");
    }
}
