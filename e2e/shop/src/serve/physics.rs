//! The model of the service: a fixed number of workers, a bounded first-come-first-served
//! queue, and a service time, independent of HTTP.
//!
//! With N workers and a mean service time s the capacity is N/s requests a second, whatever
//! the resolution of timers: a worker that finds a request waiting starts it at the moment
//! the last one was due to end, not when the timer happened to fire.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Parameters of the service.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub workers: u32,
    /// Most waiting requests; one more is refused.
    pub queue_limit: usize,
    /// Mean time that a request of cost 1 occupies a worker.
    pub service_time: Duration,
    /// 0..=1: the time is uniform within ± this share of its mean.
    pub jitter: f64,
    /// 0..=1: this share of the time is burnt as CPU time.
    pub cpu_share: f64,
    pub seed: u64,
}

/// All workers are busy and the queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

pub struct Physics {
    shape: Shape,
    free: Arc<Semaphore>,
    /// For each free worker, when its last request was due to end.
    idle: Mutex<VecDeque<Instant>>,
    waiting: AtomicUsize,
    random: Mutex<SmallRng>,
}

impl Physics {
    pub fn new(shape: Shape) -> Self {
        let workers = shape.workers as usize;
        Self {
            shape,
            free: Arc::new(Semaphore::new(workers)),
            idle: Mutex::new(VecDeque::from(vec![Instant::now(); workers])),
            waiting: AtomicUsize::new(0),
            random: Mutex::new(SmallRng::seed_from_u64(shape.seed)),
        }
    }

    pub fn workers(&self) -> u32 {
        self.shape.workers
    }

    /// Requests that wait for a worker.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a worker, in order of arrival. Dropping the future leaves the queue.
    pub async fn enter(self: &Arc<Self>) -> Result<Worker, QueueFull> {
        let arrived = Instant::now();
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _place = Place::take(self)?;
                Arc::clone(&self.free).acquire_owned().await.map_err(|_| QueueFull)?
            }
        };
        let idle_since = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let clock = idle_since.map_or(arrived, |free| free.max(arrived));
        Ok(Worker { physics: Arc::clone(self), clock, _permit: permit })
    }

    /// How long a request of this cost takes: mean × cost, with jitter.
    pub fn draw_time(&self, cost: f64) -> Duration {
        let spread = self.shape.jitter * (2.0 * self.draw() - 1.0);
        self.shape.service_time.mul_f64((cost * (1.0 + spread)).max(0.0))
    }

    /// A uniform number in [0, 1).
    pub fn draw(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>()
    }
}

/// A place in the queue, left when dropped.
struct Place<'a>(&'a Physics);

impl<'a> Place<'a> {
    fn take(physics: &'a Physics) -> Result<Self, QueueFull> {
        let limit = physics.shape.queue_limit;
        let more = |waiting| (waiting < limit).then_some(waiting + 1);
        match physics.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(physics)),
            Err(_) => Err(QueueFull),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker that serves one request; it is free again when this is dropped.
pub struct Worker {
    physics: Arc<Physics>,
    /// The moment up to which this worker's time is used.
    clock: Instant,
    // Declared last, so that the idle time is back in its list before the worker can be taken.
    _permit: OwnedSemaphorePermit,
}

impl Worker {
    /// Works for `time`, burning the configured share of it as CPU time of this process. Where
    /// the CPU is short (a cgroup's limit), the work takes as long as the CPU time takes to get.
    pub async fn occupy(&mut self, time: Duration) {
        self.clock += time;
        let burn = time.mul_f64(self.physics.shape.cpu_share);
        if !burn.is_zero() {
            // The thread cannot panic; if it is cancelled, the process is ending.
            let _ = tokio::task::spawn_blocking(move || burn_cpu(burn)).await;
        }
        if Instant::now() < self.clock {
            tokio::time::sleep_until(self.clock).await;
        } else if !burn.is_zero() {
            self.clock = Instant::now();
        }
    }

    /// Call this after waiting for an external event, which used this worker's time too.
    pub fn waited(&mut self) {
        self.clock = self.clock.max(Instant::now());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.physics.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.clock);
    }
}

fn burn_cpu(time: Duration) {
    let used = || {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
    };
    let end = used() + time;
    let mut sum = 0_u64;
    while used() < end {
        for step in 0..1_000_u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(step));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn physics(workers: u32, queue_limit: usize, millis: u64, jitter: f64) -> Arc<Physics> {
        let service_time = Duration::from_millis(millis);
        Arc::new(Physics::new(Shape { workers, queue_limit, service_time, jitter, cpu_share: 0.0, seed: 7 }))
    }

    async fn serve(physics: Arc<Physics>) -> Result<Instant, QueueFull> {
        let mut worker = physics.enter().await?;
        let time = physics.draw_time(1.0);
        worker.occupy(time).await;
        Ok(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn throughput_is_workers_over_service_time() {
        for (workers, jitter) in [(1, 0.0), (4, 0.0), (4, 0.5), (16, 0.2)] {
            let physics = physics(workers, 100_000, 20, jitter);
            let begun = Instant::now();
            let all: Vec<_> = (0..4_000).map(|_| tokio::spawn(serve(Arc::clone(&physics)))).collect();
            for one in all {
                one.await.expect("no panic").expect("the queue is long enough");
            }
            let rate = 4_000.0 / begun.elapsed().as_secs_f64();
            let wanted = f64::from(workers) / 0.020;
            assert!((rate / wanted - 1.0).abs() < 0.02, "{workers} workers: {rate}/s, not {wanted}/s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn timer_resolution_does_not_reduce_capacity() {
        // Tokio's timer rounds 3.3 ms up to 4 ms, which would lose a sixth.
        let service_time = Duration::from_micros(3_300);
        let shape =
            Shape { workers: 2, queue_limit: 5_000, service_time, jitter: 0.0, cpu_share: 0.0, seed: 1 };
        let physics = Arc::new(Physics::new(shape));
        let begun = Instant::now();
        let all: Vec<_> = (0..2_000).map(|_| tokio::spawn(serve(Arc::clone(&physics)))).collect();
        for one in all {
            one.await.expect("no panic").expect("admitted");
        }
        let taken = begun.elapsed().as_secs_f64();
        assert!((taken - 3.3).abs() < 0.01, "{taken} s, not 3.3 s");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_beyond_workers_and_queue_are_refused_immediately() {
        let physics = physics(2, 3, 20, 0.0);
        let begun = Instant::now();
        let all: Vec<_> = (0..9).map(|_| tokio::spawn(serve(Arc::clone(&physics)))).collect();
        let mut ends = Vec::new();
        let mut refused = 0;
        for one in all {
            match one.await.expect("no panic") {
                Ok(end) => ends.push((end - begun).as_millis()),
                Err(QueueFull) => refused += 1,
            }
        }
        assert_eq!(refused, 4);
        assert_eq!(ends, [20, 20, 40, 40, 60], "first come, first served");
        assert_eq!(physics.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn leaving_the_queue_frees_its_place() {
        let physics = physics(1, 1, 20, 0.0);
        let worker = physics.enter().await.expect("free");
        let gone = tokio::time::timeout(Duration::from_millis(5), physics.enter()).await;
        assert!(gone.is_err(), "it had to wait");
        assert_eq!(physics.waiting(), 0);
        drop(worker);
        assert!(physics.enter().await.is_ok(), "the worker is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_worker_does_not_accumulate_time() {
        let physics = physics(1, 1, 20, 0.0);
        serve(Arc::clone(&physics)).await.expect("free");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        serve(physics).await.expect("free");
        assert_eq!(begun.elapsed(), Duration::from_millis(20));
    }

    #[test]
    fn the_same_seed_draws_the_same_times() {
        let (one, two) = (physics(1, 1, 20, 0.2), physics(1, 1, 20, 0.2));
        let times: Vec<_> = (0..1_000).map(|_| one.draw_time(1.0)).collect();
        assert!(times.iter().all(|time| *time == two.draw_time(1.0)));
        assert!(times.iter().all(|time| (16..=24).contains(&time.as_millis())));
        let mean = times.iter().sum::<Duration>().as_secs_f64() / 1_000.0;
        assert!((mean - 0.020).abs() < 0.000_5, "{mean}");
    }

    #[tokio::test]
    async fn the_cpu_share_is_used() {
        let service_time = Duration::from_millis(60);
        let shape = Shape { workers: 1, queue_limit: 1, service_time, jitter: 0.0, cpu_share: 0.5, seed: 1 };
        let physics = Arc::new(Physics::new(shape));
        let used = || {
            let used = clock_gettime(ClockId::ProcessCPUTime);
            used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
        };
        let (before, begun) = (used(), Instant::now());
        serve(physics).await.expect("free");
        assert!(used() - before >= 0.030, "{}", used() - before);
        assert!(begun.elapsed() >= service_time);
    }
}
