//! How much of what a balancer can take is in use.

/// Percent of what a balancer can take, 0 to 100; `None` where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open connections of clients, of the most that it accepts.
    pub connections: Option<u8>,
    /// Requests that are with a replica or wait for one, of the most that it takes. With HTTP/2 a connection has several.
    pub requests: Option<u8>,
    /// Time that it did not wait for anything, over the last second; NGINX does not say.
    pub cpu: Option<u8>,
}

impl Usage {
    /// Percent of `most` that `used` is; nothing of nothing is not known.
    #[must_use]
    pub fn percent(used: u64, most: u64) -> Option<u8> {
        u8::try_from(used.saturating_mul(100).checked_div(most)?.min(100)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn a_percentage_is_never_above_a_hundred_and_is_unknown_without_a_limit() {
        assert_eq!(Usage::percent(45, 60), Some(75));
        assert_eq!(Usage::percent(u64::MAX, 2), Some(100));
        assert_eq!(Usage::percent(3, 0), None);
    }
}
