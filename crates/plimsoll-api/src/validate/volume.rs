//! The minimum number of requests behind a value: `requestVolume` and `volumeQuery`.

/// Source of the number of requests behind a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VolumeRule {
    /// The number is not used.
    #[default]
    Unused,
    /// The query of the value, if it is a ratio, an average or a quantile.
    OfQuery,
    /// A separate query.
    Query(String),
}

impl VolumeRule {
    /// `query`, if it is set.
    pub(super) fn of(query: Option<&String>) -> Self {
        query.map_or(Self::OfQuery, |query| Self::Query(query.clone()))
    }
}

/// Checks `requestVolume`.
pub(super) fn least(path: &str, least: i32, errors: &mut Vec<String>) {
    if least < 0 {
        errors.push(format!("{path}.requestVolume is {least}; it must be at least 0"));
    }
}

/// Checks `volumeQuery`.
pub(super) fn query(path: &str, query: Option<&String>, errors: &mut Vec<String>) {
    if query.is_some_and(|query| query.trim().is_empty()) {
        errors.push(format!("{path}.volumeQuery is empty; it must be PromQL, or be left out"));
    }
}
