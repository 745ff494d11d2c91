//! A bounded queue of events. A task of its own publishes them one after the other, so that a slow API server delays events
//! only.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::mpsc;

use super::{Events, Note};
use crate::lease::Leader;

/// Most events that may wait; further ones are dropped.
const WAITING_MAX: usize = 256;
/// Time limit for publishing one event.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

struct Waiting {
    at: Timestamp,
    note: Note,
    about: ObjectReference,
}

/// Takes events without waiting.
pub struct EventQueue {
    events: Events,
    sender: mpsc::Sender<Waiting>,
}

impl EventQueue {
    /// A queue in front of `events`, and the future that publishes what is in it while this process leads. The future ends
    /// when the queue is dropped and empty.
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

    /// Has `note` published, or drops it if too many others wait.
    pub fn push(&self, note: Note, about: ObjectReference) {
        let waiting = Waiting { at: self.events.now(), note, about };
        if let Err(error) = self.sender.try_send(waiting) {
            let Waiting { note, .. } = match error {
                mpsc::error::TrySendError::Full(waiting) | mpsc::error::TrySendError::Closed(waiting) => {
                    waiting
                }
            };
            tracing::warn!(reason = note.reason.name(), "an event was dropped: {WAITING_MAX} others wait");
        }
    }
}
