//! A write that a capability is about to make.

/// One write, or several that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What it is, for the log.
    pub name: &'static str,
    /// Whether it changes what is not ours, so that it has to be put back when the service is deleted.
    pub is_restored: bool,
}

impl Effect {
    /// An effect on objects of our own, or one whose result is the wanted state: nothing has to be put back.
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
