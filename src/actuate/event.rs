//! Events on a ScalableService, with the reasons of status.

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
/// Within this time of the last one an event with the same words is counted (client-go's and kube's series: 6 min).
const COUNTED_FOR: SignedDuration = SignedDuration::from_mins(6);
/// Who reports.
const REPORTER: &str = "plimsoll.dev/controller";

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should look.
    pub warning: bool,
    /// What happened.
    pub reason: ReasonCode,
    /// In a sentence.
    pub message: String,
}

/// Publishes events; a repeated one is counted instead of written again.
///
/// Not kube's `Recorder`: that one counts by reason, so that the numbers of the second change would never be seen.
#[derive(Clone)]
pub struct Events {
    client: Client,
    instance: String,
    clock: Clock,
    said: Arc<Mutex<Published>>,
}

impl Events {
    /// As `plimsoll`, from the given pod, with the times of `clock`.
    #[must_use]
    pub fn new(client: Client, instance: String, clock: Clock) -> Self {
        Self { client, instance, clock, said: Arc::default() }
    }

    /// Publishes `note`. An event that can't be written is only logged: nothing depends on it.
    pub async fn publish(&self, note: &Note, about: &ObjectReference, permit: &Permit) {
        self.publish_at(self.clock.now(), note, about, permit).await;
    }

    /// The time of day, for [`Self::publish_at`].
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Publishes what happened `at` a time.
    pub(super) async fn publish_at(
        &self,
        at: Timestamp,
        note: &Note,
        about: &ObjectReference,
        permit: &Permit,
    ) {
        let event = self.said().next(note, about, &self.instance, at);
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
            self.said().forget(&event);
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Published> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was said lately, by whom it is about, its reason and its words.
#[derive(Default)]
struct Published {
    lately: HashMap<(Option<String>, &'static str, String), (Event, Timestamp)>,
    /// The number in the name of the last event: its time in nanoseconds, raised so that no two names are the same.
    named: i128,
}

impl Published {
    /// The event to write for `note` at `now`: a new one, or the last one with the same words, counted.
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

    /// An event that was not written is not there to be counted.
    fn forget(&mut self, event: &Event) {
        self.lately.retain(|_, (said, _)| said.metadata.name != event.metadata.name);
    }
}

fn first(
    note: &Note,
    message: String,
    about: &ObjectReference,
    (instance, named): (&str, i128),
    now: Timestamp,
) -> Event {
    // An event about something without a namespace lives in `default` (events.k8s.io).
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
    fn the_same_words_are_counted_and_other_numbers_are_an_event_of_their_own() {
        let about = |uid: &str| ObjectReference { uid: Some(uid.into()), ..ObjectReference::default() };
        let note = |message: &str| Note {
            warning: false,
            reason: plimsoll_api::DecisionCode::ScaledUp.into(),
            message: message.into(),
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut said = Published::default();
        let mut next = |message, uid, second| {
            let event = said.next(&note(message), &about(uid), "pod", at(second));
            (event.note.unwrap(), event.series.map(|series| series.count), event.metadata.name)
        };
        let (_, series, name) = next("2 -> 8", "a", 0);
        assert_eq!(series, None);
        assert_eq!(next("8 -> 10", "a", 1).1, None, "other numbers");
        assert_eq!(next("2 -> 8", "b", 2).1, None, "another service");
        assert_eq!(next("2 -> 8", "a", 300), ("2 -> 8".to_owned(), Some(2), name.clone()));
        assert_eq!(next("2 -> 8", "a", 600), ("2 -> 8".to_owned(), Some(3), name), "6 min after the last");
        assert_eq!(next("2 -> 8", "a", 960).1, None, "a story of its own");
        assert_eq!(next(&"é".repeat(NOTE_MAX), "a", 961).0.len(), NOTE_MAX, "cut between characters");
    }
}
