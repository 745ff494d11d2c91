//! What `kubectl plimsoll explain` says at the decisive moment of a story.

use std::time::Duration;

use kube::core::DynamicObject;
use plimsoll::cli::{explain, read::Listed, style::Style};

use crate::world::World;

/// The status follows the replicas within this time.
const WITHIN: Duration = Duration::from_secs(5);

impl World {
    /// Waits until `kubectl plimsoll explain` names the replicas that there are, and all of `words`. Returns what it
    /// says.
    ///
    /// # Panics
    /// If it does not within 5 s.
    pub async fn explain(&self, namespace: &str, name: &str, words: &[&str]) -> String {
        let mut said = String::new();
        let what = format!("`kubectl plimsoll explain {name}` says {words:?}");
        let explained = self.until(&what, WITHIN, || {
            let object = self.objects.get("scalableservices", namespace, name)?;
            // A target that is refused has no replicas in the status.
            let replicas = object.pointer("/status/replicas");
            let number =
                replicas.map_or_else(String::new, |replicas| format!("{name} has {replicas} replica"));
            let object: DynamicObject = serde_json::from_value(object).expect("an object");
            said = explain::render(&Listed::read(&object), self.clock.now(), &Style::default());
            let complete = std::iter::once(number.as_str()).chain(words.iter().copied());
            complete.into_iter().all(|word| said.contains(word)).then(|| said.clone())
        });
        explained.await.0
    }
}
