//! The pods of a target, as far as a decision needs them.

/// The pods of a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Pods {
    /// Only counts are known (`decide` reads them from a line).
    Counted {
        /// Pods that are ready.
        ready: i32,
    },
    /// Each pod is known.
    Listed(Vec<Pod>),
}

impl Default for Pods {
    fn default() -> Self {
        Self::Counted { ready: 0 }
    }
}

/// A pod that is not being deleted and has not terminated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name, as in the label `pod` of its series.
    pub name: String,
    /// Its condition Ready.
    pub ready: bool,
    /// Not ready and of the target's current revision: future capacity.
    pub starting: bool,
}

impl Pods {
    /// Pods that are ready.
    #[must_use]
    pub fn ready(&self) -> i32 {
        match self {
            Self::Counted { ready } => *ready,
            Self::Listed(pods) => count(pods.iter().filter(|pod| pod.ready)),
        }
    }

    /// All pods, ready or not; if only counts are known, the ready ones.
    #[must_use]
    pub fn all(&self) -> i32 {
        match self {
            Self::Counted { ready } => *ready,
            Self::Listed(pods) => count(pods.iter()),
        }
    }

    /// Pods that are not ready; if only counts are known, `replicas` minus the ready ones.
    #[must_use]
    pub fn unready(&self, replicas: i32) -> i32 {
        match self {
            Self::Counted { ready } => replicas.saturating_sub(*ready).max(0),
            Self::Listed(pods) => count(pods.iter().filter(|pod| !pod.ready)),
        }
    }

    /// Pods of the current revision that are not ready yet, at least as many as are missing from `replicas`.
    #[must_use]
    pub fn starting(&self, replicas: i32) -> i32 {
        match self {
            Self::Counted { ready } => replicas.saturating_sub(*ready).max(0),
            Self::Listed(pods) => {
                count(pods.iter().filter(|pod| pod.starting)).max(replicas - count(pods.iter()))
            }
        }
    }
}

fn count<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}
