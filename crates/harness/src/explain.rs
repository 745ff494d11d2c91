//! The output of `kubectl plimsoll explain` at the decisive moment of a story.

use std::time::Duration;

use kube::core::DynamicObject;
use plimsoll::cli::{explain, read::Listed, style::Style};

use crate::world::World;

/// The status follows the replicas within this time.
const WITHIN: Duration = Duration::from_secs(5);

impl World {
    /// Waits until `kubectl plimsoll explain` shows the current replicas and all of `words`. Returns its output.
    ///
    /// # Panics
    /// If that takes longer than 5 s.
    pub async fn explain(&self, namespace: &str, name: &str, words: &[&str]) -> String {
        let mut output = String::new();
        let what = format!("`kubectl plimsoll explain {name}` shows {words:?}");
        let explained = self.until(&what, WITHIN, || {
            let object = self.objects.get("scalableservices", namespace, name)?;
            // The status has no replicas for a refused target.
            let replicas = object.pointer("/status/replicas");
            let number =
                replicas.map_or_else(String::new, |replicas| format!("{name} has {replicas} replica"));
            let object: DynamicObject = serde_json::from_value(object).expect("an object");
            output = explain::render(&Listed::read(&object), self.clock.now(), &Style::default());
            let complete = std::iter::once(number.as_str()).chain(words.iter().copied());
            complete.into_iter().all(|word| output.contains(word)).then(|| output.clone())
        });
        explained.await.0
    }
}
