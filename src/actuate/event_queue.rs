//! A bounded queue of events. A separate task publishes them one after the other, so that a slow API server delays only
//! events.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::mpsc;

use super::{Events, Note};
use crate::lease::Leader;

/// Capacity of the queue; further events are dropped.
const WAITING_MAX: usize = 256;
/// Time limit for publishing one event.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

struct Waiting {
    at: Timestamp,
    note: Note,
    about: ObjectReference,
}

/// Accepts events without blocking.
pub struct EventQueue {
    events: Events,
    sender: mpsc::Sender<Waiting>,
}

impl EventQueue {
    /// A queue in front of `events`, and the future that publishes its events while this process leads. The future ends when
    /// the queue is dropped and empty.
    pub fn new(events: Events, leader: Leader) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, mut waiting) = mpsc::channel::<Waiting>(WAITING_MAX);
        let publisher = events.clone();
        let publishing = async move {
            while let Some(Waiting { at, note, about }) = waiting.recv().await {
                let permit = leader.permit(PUBLISH_TIMEOUT);
                publisher.publish_at(at, &note, &about, &permit).await;
            }
        };
        (Self { events, sender }, publishing)
    }

    /// Queues `note`, or drops it if the queue is full.
    pub fn push(&self, note: Note, about: ObjectReference) {
        let waiting = Waiting { at: self.events.now(), note, about };
        if let Err(error) = self.sender.try_send(waiting) {
            let Waiting { note, .. } = match error {
                mpsc::error::TrySendError::Full(waiting) | mpsc::error::TrySendError::Closed(waiting) => {
                    waiting
                }
            };
            tracing::warn!(reason = note.reason.name(), "an event was dropped: {WAITING_MAX} are queued");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use axum::{Router, body::Bytes};
    use kube::Client;
    use tokio::{task::yield_now, time::sleep};

    use super::*;
    use crate::clock::Clock;
    use plimsoll_api::DecisionCode;

    /// An API server that does not answer until `speaks`, and counts the accepted events.
    #[derive(Clone, Default)]
    struct Server {
        speaks: Arc<AtomicBool>,
        taken: Arc<AtomicUsize>,
    }

    impl Server {
        fn events(&self) -> Events {
            let server = self.clone();
            let answer = move |event: Bytes| async move {
                while !server.speaks.load(Ordering::Relaxed) {
                    sleep(Duration::from_secs(1)).await;
                }
                server.taken.fetch_add(1, Ordering::Relaxed);
                event
            };
            let client = Client::new(Router::new().fallback(answer), "default");
            Events::new(client, "plimsoll-0".to_owned(), Clock::new(|| Timestamp::UNIX_EPOCH))
        }
    }

    fn note(number: usize) -> Note {
        Note { warning: false, reason: DecisionCode::ScaledUp.into(), message: format!("note {number}") }
    }

    #[tokio::test(start_paused = true)]
    async fn events_beyond_the_capacity_are_dropped_while_the_api_server_is_silent() {
        let server = Server::default();
        let (queue, publishing) = EventQueue::new(server.events(), Leader::for_good());
        let publishing = tokio::spawn(publishing);
        let about = || ObjectReference { name: Some("web".to_owned()), ..ObjectReference::default() };
        queue.push(note(0), about());
        // Let the publisher take the first event out of the queue.
        for _ in 0..10 {
            yield_now().await;
        }
        let begin = tokio::time::Instant::now();
        (1..300).for_each(|number| queue.push(note(number), about()));
        assert_eq!(begin.elapsed(), Duration::ZERO, "no push blocks");
        assert_eq!(server.taken.load(Ordering::Relaxed), 0);
        server.speaks.store(true, Ordering::Relaxed);
        drop(queue);
        publishing.await.unwrap();
        assert_eq!(server.taken.load(Ordering::Relaxed), WAITING_MAX + 1);
    }
}
