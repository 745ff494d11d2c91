//! The server's record of an open watch.

/// The state of an open watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// The connection broke.
    Dropped,
    /// No more events arrive, and neither side notices.
    HalfOpen,
}

/// A watch that is open.
#[derive(Debug)]
pub(crate) struct OpenWatch {
    pub(crate) id: u64,
    pub(crate) client: String,
    pub(crate) resource: &'static str,
    pub(crate) mode: Mode,
}
