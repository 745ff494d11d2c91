//! A write that a capability is about to make.

/// When in a turn effects are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Writes of a decision: shares and replicas. The next evaluation is planned after it.
    Decision,
    /// Reconciliation of other objects, before the status is written.
    Upkeep,
    /// Low-priority writes, after the status.
    Cleanup,
}

/// One write, or several that belong together. A capability has at most one effect in each phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its name in the log.
    pub name: &'static str,
    /// Whether it changes an object of another owner, so that it has to be undone when the service is deleted.
    pub is_restored: bool,
}

impl Effect {
    /// An effect on the target or on our own objects, which is not undone.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, is_restored: false }
    }

    /// An effect on an object of another owner. It is carried out only once the service has its finalizer, and its patch also
    /// records the original values. So neither a crash nor a deletion loses them.
    #[must_use]
    pub fn restored(name: &'static str) -> Self {
        Self { name, is_restored: true }
    }
}
