//! How many requests an answer must be made of: `requestVolume` and `volumeQuery`.

/// Where the number of requests behind an answer is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VolumeRule {
    /// Nobody asks for it.
    #[default]
    Unused,
    /// The query of the answer says it, if it is a share, an average or a quantile.
    OfQuery,
    /// A query of its own.
    Query(String),
}

impl VolumeRule {
    /// By `query`, if there is one.
    pub(super) fn of(query: Option<&String>) -> Self {
        query.map_or(Self::OfQuery, |query| Self::Query(query.clone()))
    }
}

/// Checks `requestVolume`.
pub(super) fn least(path: &str, least: i32, wrong: &mut Vec<String>) {
    if least < 0 {
        wrong.push(format!("{path}.requestVolume is {least}; it must be at least 0"));
    }
}

/// Checks `volumeQuery`.
pub(super) fn query(path: &str, query: Option<&String>, wrong: &mut Vec<String>) {
    if query.is_some_and(|query| query.trim().is_empty()) {
        wrong.push(format!("{path}.volumeQuery is empty; it must be PromQL, or be left out"));
    }
}
