//! How long is waited before the API server is asked again.

use std::time::Duration;

use kube::runtime::{utils::Backoff, watcher::DefaultBackoff};

/// Pauses before an interrupted watch is begun again: as client-go's reflector (0.8 s, doubling, with jitter), but of 5 s
/// at most instead of 30: what is not heard of can't be scaled, and gets no requests.
#[derive(Default)]
pub struct Pauses(DefaultBackoff);

const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(PAUSE_MAX))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}
