//! Utilization of a balancer.

use plimsoll_api::Percent;

/// Utilization of a balancer's capacity; `None` where it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open client connections, as a percentage of the limit.
    pub connections: Option<Percent>,
    /// Requests at a replica or waiting for one, as a percentage of the limit. An HTTP/2 connection has several.
    pub requests: Option<Percent>,
    /// Busy time over the last second; unknown for NGINX.
    pub cpu: Option<Percent>,
}

impl Usage {
    /// `used` as a percentage of `most`; unknown if `most` is 0.
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
    fn a_percentage_is_at_most_100_and_unknown_without_a_limit() {
        let percent = |used, most| Usage::percent(used, most).map(u8::from);
        assert_eq!(percent(45, 60), Some(75));
        assert_eq!(percent(u64::MAX, 2), Some(100));
        assert_eq!(percent(3, 0), None);
    }
}
