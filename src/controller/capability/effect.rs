//! A write that a capability is about to make.

/// When in a turn effects are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What a look decided: where requests go, how many replicas there are. The next look is planned after it.
    Decision,
    /// Objects beside the target that are kept as they should be; the status says how they are.
    Upkeep,
    /// What nobody waits for, after the status.
    Cleanup,
}

/// One write, or several that belong together. A capability has at most one in each phase, and knows what it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What it is, for the log.
    pub name: &'static str,
    /// Whether it changes what is not ours, so that it has to be put back when the service is deleted.
    pub is_restored: bool,
}

impl Effect {
    /// An effect on the target or on objects of our own: its result is the wanted state.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, is_restored: false }
    }

    /// An effect on an object of somebody else. It is carried out only once the service has its finalizer, and the act itself
    /// records in the same patch what was there before: so neither a crash nor a deletion loses what has to be put back.
    #[must_use]
    pub fn restored(name: &'static str) -> Self {
        Self { name, is_restored: true }
    }
}
