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

/// One pod that is not being deleted and did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name, as in the label `pod` of its series.
    pub name: String,
    /// Its condition Ready.
    pub ready: bool,
    /// Not ready and of the target's current revision: capacity to come.
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

    /// Pods at all, ready or not; where only counts are known, those that are ready.
    #[must_use]
    pub fn all(&self) -> i32 {
        match self {
            Self::Counted { ready } => *ready,
            Self::Listed(pods) => count(pods.iter()),
        }
    }

    /// Pods that are not ready, for `replicas` wanted: where only counts are known, those that are missing.
    #[must_use]
    pub fn unready(&self, replicas: i32) -> i32 {
        match self {
            Self::Counted { ready } => replicas.saturating_sub(*ready).max(0),
            Self::Listed(pods) => count(pods.iter().filter(|pod| !pod.ready)),
        }
    }

    /// Pods of the current revision that are not ready yet; for `replicas` wanted, those that are missing.
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
