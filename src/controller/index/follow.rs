//! Feeds an index from a watch, and shares it.

use std::sync::{Arc, PoisonError, RwLock};

use futures::{Stream, StreamExt};
use kube::runtime::watcher;
use plimsoll_api::ScaleTargetRef;
use tokio::sync::mpsc;

/// An index that one watch of `K` feeds.
pub trait Follow<K>: Default {
    /// Adds or updates an object. Returns the workload that it concerns, if any.
    fn apply(&mut self, object: K) -> Option<Workload>;
    /// Removes a deleted object. Returns the workload that it concerns, if any.
    fn delete(&mut self, object: &K) -> Option<Workload>;
}

/// A workload whose changes trigger turns of its services.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Kind, for example `Deployment`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// The target of a ScalableService in `namespace`.
    #[must_use]
    pub fn target(namespace: &str, reference: &ScaleTargetRef) -> Self {
        let ScaleTargetRef { kind, name, .. } = reference;
        Self { kind: kind.clone(), namespace: namespace.to_owned(), name: name.clone() }
    }
}

/// A shared index.
pub type SharedIndex<I> = Arc<RwLock<I>>;

/// Reads an index. A poisoned lock is ignored.
pub fn read<I: ?Sized, T>(index: &SharedIndex<I>, look: impl FnOnce(&I) -> T) -> T {
    look(&index.read().unwrap_or_else(PoisonError::into_inner))
}

/// Feeds `index` from `events` until the stream ends. `synced` is called after each complete list.
pub async fn follow<K, I: Follow<K>>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send,
    index: SharedIndex<I>,
    changed: Option<mpsc::Sender<Workload>>,
    mut synced: impl FnMut(),
    what: &'static str,
) {
    let mut fresh = I::default();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let concerned = match event {
            Ok(watcher::Event::Init) => {
                fresh = I::default();
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                fresh.apply(object);
                None
            }
            Ok(watcher::Event::InitDone) => {
                write(&index, |index| *index = std::mem::take(&mut fresh));
                synced();
                None
            }
            Ok(watcher::Event::Apply(object)) => write(&index, |index| index.apply(object)),
            Ok(watcher::Event::Delete(object)) => write(&index, |index| index.delete(&object)),
            Err(error) => {
                tracing::warn!(%error, "watch of {what} interrupted; retrying with backoff");
                None
            }
        };
        if let (Some(workload), Some(changed)) = (concerned, &changed) {
            // If the queue is full, the change is dropped: the service is evaluated when it is due.
            let _ = changed.try_send(workload);
        }
    }
}

/// Changes an index. A poisoned lock is ignored.
pub fn write<I, T>(index: &SharedIndex<I>, change: impl FnOnce(&mut I) -> T) -> T {
    change(&mut index.write().unwrap_or_else(PoisonError::into_inner))
}
