//! The history of one object: all its versions, so that changes between two polls are not missed.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::world::{World, condition};

/// An object whose versions are followed by a story.
pub struct History<'a> {
    world: &'a World,
    plural: &'static str,
    namespace: &'static str,
    name: String,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Version(pub Value);

impl Version {
    /// An integer at a JSON pointer; 0 if there is none.
    #[must_use]
    pub fn number(&self, pointer: &str) -> i64 {
        self.0.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    /// A text at a JSON pointer; empty if there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `spec.replicas`.
    #[must_use]
    pub fn replicas(&self) -> i64 {
        self.number("/spec/replicas")
    }

    /// `metadata.generation`.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.number("/metadata/generation")
    }

    /// Status, reason and message of a condition, as `True Steady …`; empty without it.
    #[must_use]
    pub fn condition(&self, type_: &str) -> String {
        condition(&self.0, type_)
    }
}

impl World {
    /// Follows an object.
    pub fn follow(&self, plural: &'static str, namespace: &'static str, name: &str) -> History<'_> {
        History { world: self, plural, namespace, name: name.to_owned() }
    }
}

impl History<'_> {
    /// Every version so far, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Version> {
        self.world.objects.history(self.plural, self.namespace, &self.name).into_iter().map(Version).collect()
    }

    /// The number of versions so far: a mark for [`Self::since`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.all().len()
    }

    /// The version at `mark`, and all later ones.
    #[must_use]
    pub fn since(&self, mark: usize) -> Vec<Version> {
        self.all().into_iter().skip(mark.saturating_sub(1)).collect()
    }

    /// The latest version of the object.
    ///
    /// # Panics
    /// If the object never existed.
    #[must_use]
    pub fn last(&self) -> Version {
        self.all().pop().expect("the object exists")
    }

    /// The successive values of `spec.replicas`.
    #[must_use]
    pub fn replicas(&self) -> Vec<i64> {
        let mut replicas: Vec<i64> = self.all().iter().map(Version::replicas).collect();
        replicas.dedup();
        replicas
    }

    /// Fewest replicas since `mark`.
    #[must_use]
    pub fn fewest(&self, mark: usize) -> i64 {
        self.since(mark).iter().map(Version::replicas).min().expect("the object exists")
    }

    /// The number of changes of a condition's status since `mark`.
    #[must_use]
    pub fn flaps(&self, mark: usize, type_: &str) -> usize {
        let statuses = self.since(mark).into_iter().map(|version| {
            let condition = version.condition(type_);
            condition.split(' ').next().unwrap_or_default().to_owned()
        });
        let mut statuses: Vec<String> = statuses.collect();
        statuses.dedup();
        statuses.len().saturating_sub(1)
    }

    /// Waits until the latest version fits. Returns it and the elapsed time.
    ///
    /// # Panics
    /// If it takes longer than `within`.
    pub async fn wait(
        &self,
        should: &str,
        within: Duration,
        fits: impl Fn(&Version) -> bool,
    ) -> (Version, Duration) {
        let what = format!("{} {} {should}", self.plural, self.name);
        self.world.until(&what, within, || self.all().pop().filter(|version| fits(version))).await
    }

    /// Lets time pass, during which every version of the object must fit.
    ///
    /// # Panics
    /// If a version does not fit.
    pub async fn stays(&self, should: &str, duration: Duration, fits: impl Fn(&Version) -> bool) {
        let mark = self.mark();
        sleep(duration).await;
        if let Some(other) = self.since(mark).iter().find(|version| !fits(version)) {
            panic!("{} {} did not stay {should}: {}", self.plural, self.name, other.0);
        }
    }
}
