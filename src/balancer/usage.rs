//! How much of what a balancer can take is in use.

use plimsoll_api::Percent;

/// Shares of what a balancer can take; `None` where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open connections of clients, of the most that it accepts.
    pub connections: Option<Percent>,
    /// Requests that are with a replica or wait for one, of the most that it takes. With HTTP/2 a connection has several.
    pub requests: Option<Percent>,
    /// Time that it did not wait for anything, over the last second; NGINX does not say.
    pub cpu: Option<Percent>,
}

impl Usage {
    /// Percent of `most` that `used` is; nothing of nothing is not known.
    #[must_use]
    pub fn percent(used: u64, most: u64) -> Option<Percent> {
        let percent = used.saturating_mul(100).checked_div(most)?;
        Some(Percent::clamped(i64::try_from(percent).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn a_percentage_is_never_above_a_hundred_and_is_unknown_without_a_limit() {
        let percent = |used, most| Usage::percent(used, most).map(u8::from);
        assert_eq!(percent(45, 60), Some(75));
        assert_eq!(percent(u64::MAX, 2), Some(100));
        assert_eq!(percent(3, 0), None);
    }
}
