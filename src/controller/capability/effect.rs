//! A write that a capability is about to make.

/// One write, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What it is, for the log.
    pub name: &'static str,
}

impl Effect {
    /// An effect on objects of our own, or one whose result is the wanted state: nothing has to be put back.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name }
    }
}
