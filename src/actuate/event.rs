//! Events of ScalableServices. Their reasons are those of status.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};

use crate::{clock::Clock, lease::Permit};
use plimsoll_api::ReasonCode;

/// The API server accepts 1024 bytes.
const NOTE_MAX: usize = 1000;
/// Time since its last occurrence within which an event with the same message is counted (as in client-go and kube: 6 min).
const COUNTED_FOR: SignedDuration = SignedDuration::from_mins(6);
/// The reporting controller.
const REPORTER: &str = "plimsoll.dev/controller";

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether its type is Warning.
    pub warning: bool,
    /// Its reason.
    pub reason: ReasonCode,
    /// Its message, a sentence.
    pub message: String,
}

/// Publishes events. A repeated event is counted instead of written again.
///
/// kube's `Recorder` is not suitable: it aggregates by reason, so that the message of a second change would be lost.
#[derive(Clone)]
pub struct Events {
    client: Client,
    instance: String,
    clock: Clock,
    published: Arc<Mutex<Published>>,
}

impl Events {
    /// A publisher for the pod `instance`, with the times of `clock`.
    #[must_use]
    pub fn new(client: Client, instance: String, clock: Clock) -> Self {
        Self { client, instance, clock, published: Arc::default() }
    }

    /// Publishes `note`. A failure is only logged, since nothing depends on events.
    pub async fn publish(&self, note: &Note, about: &ObjectReference, permit: &Permit) {
        self.publish_at(self.clock.now(), note, about, permit).await;
    }

    /// The time of day, for [`Self::publish_at`].
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Publishes `note` with the time `at`.
    pub(super) async fn publish_at(
        &self,
        at: Timestamp,
        note: &Note,
        about: &ObjectReference,
        permit: &Permit,
    ) {
        let event = self.published().next(note, about, &self.instance, at);
        let namespace = event.namespace().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let written = match &event.series {
            Some(_) => {
                let params = PatchParams::default();
                permit.write(api.patch(&event.name_any(), &params, &Patch::Merge(&event))).await
            }
            None => permit.write(api.create(&PostParams::default(), &event)).await,
        };
        if let Err(error) = written {
            tracing::debug!(%error, "an event was not written");
            self.published().forget(&event);
        }
    }

    fn published(&self) -> std::sync::MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The recently published events.
#[derive(Default)]
struct Published {
    /// By the UID of the object, reason and message.
    lately: HashMap<(Option<String>, &'static str, String), (Event, Timestamp)>,
    /// The number in the name of the last event: its time in nanoseconds, increased if necessary so that names are unique.
    named: i128,
}

impl Published {
    /// The event to write for `note` at `now`: a new one, or the last one with the same message and a higher count.
    fn next(&mut self, note: &Note, about: &ObjectReference, instance: &str, now: Timestamp) -> Event {
        self.lately.retain(|_, (_, last)| now.duration_since(*last) < COUNTED_FOR);
        let mut message = note.message.clone();
        while message.len() > NOTE_MAX {
            message.pop();
        }
        let key = (about.uid.clone(), note.reason.name(), message.clone());
        let event = match self.lately.remove(&key) {
            Some((mut event, _)) => {
                let count = event.series.as_ref().map_or(1, |series| series.count) + 1;
                event.series = Some(EventSeries { count, last_observed_time: MicroTime(now) });
                event
            }
            None => {
                self.named = now.as_nanosecond().max(self.named + 1);
                first(note, message, about, (instance, self.named), now)
            }
        };
        self.lately.insert(key, (event.clone(), now));
        event
    }

    /// Removes an event that could not be written, so that it is not counted.
    fn forget(&mut self, event: &Event) {
        self.lately.retain(|_, (known, _)| known.metadata.name != event.metadata.name);
    }
}

fn first(
    note: &Note,
    message: String,
    about: &ObjectReference,
    (instance, named): (&str, i128),
    now: Timestamp,
) -> Event {
    // Events of objects without a namespace are in `default` (events.k8s.io).
    let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = format!("{}.{named:x}", about.name.as_deref().unwrap_or_default());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        action: Some("Scale".to_owned()),
        reason: Some(note.reason.name().to_owned()),
        note: Some(message),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(about.clone()),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_the_same_message_is_counted_and_one_with_other_numbers_is_new() {
        let about = |uid: &str| ObjectReference { uid: Some(uid.into()), ..ObjectReference::default() };
        let note = |message: &str| Note {
            warning: false,
            reason: plimsoll_api::DecisionCode::ScaledUp.into(),
            message: message.into(),
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut published = Published::default();
        let mut next = |message, uid, second| {
            let event = published.next(&note(message), &about(uid), "pod", at(second));
            (event.note.unwrap(), event.series.map(|series| series.count), event.metadata.name)
        };
        let (_, series, name) = next("2 -> 8", "a", 0);
        assert_eq!(series, None);
        assert_eq!(next("8 -> 10", "a", 1).1, None, "other numbers");
        assert_eq!(next("2 -> 8", "b", 2).1, None, "another service");
        assert_eq!(next("2 -> 8", "a", 300), ("2 -> 8".to_owned(), Some(2), name.clone()));
        assert_eq!(next("2 -> 8", "a", 600), ("2 -> 8".to_owned(), Some(3), name), "6 min after the last");
        assert_eq!(next("2 -> 8", "a", 960).1, None, "a new event");
        assert_eq!(next(&"é".repeat(NOTE_MAX), "a", 961).0.len(), NOTE_MAX, "cut between characters");
    }
}
