//! Weights that another client reverts: a single edit is corrected immediately, repeated ones with a growing pause.

use std::time::Duration;

use tokio::time::Instant;

use crate::balancer::gateway::Share;

/// Weights that are reverted within this time are contested.
pub(super) const UNDONE_WITHIN: Duration = Duration::from_secs(60);
/// Pause before they are set for the third time; it doubles.
const AFTER_UNDONE: Duration = Duration::from_secs(2);

/// The last weights set, and how often another client reverted them.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) shares: Vec<Share>,
    at: Option<Instant>,
    /// How often the same weights were reverted, each time within [`UNDONE_WITHIN`].
    pub(super) undone: u32,
}

impl Given {
    /// Records that the same weights were set again, or others for the first time.
    pub(super) fn again(&mut self, shares: &[Share]) {
        let soon = self.at.is_some_and(|at| at.elapsed() < UNDONE_WITHIN);
        self.undone = if soon && self.shares == shares { self.undone.saturating_add(1) } else { 0 };
        (self.shares, self.at) = (shares.to_vec(), Some(Instant::now()));
    }

    /// Pause before the same weights are set again: none after the first revert.
    pub(super) fn pause(&self, shares: &[Share]) -> Option<Duration> {
        let pause = (AFTER_UNDONE * (1 << self.undone.saturating_sub(1).min(4))).min(UNDONE_WITHIN / 2);
        let left =
            pause.saturating_sub(self.at.filter(|_| self.undone > 0 && self.shares == shares)?.elapsed());
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_api::Percent;

    use super::*;

    #[test]
    fn an_edit_is_corrected_at_once_and_contested_weights_after_growing_pauses() {
        let share = |weight| Share {
            backend: "primary".into(),
            namespace: "shop".into(),
            service: "web".into(),
            port: None,
            weight: Percent::clamped(weight),
        };
        let (all, none) = ([share(100)], [share(0)]);
        let mut given = Given::default();
        given.again(&all);
        assert_eq!(given.pause(&all), None, "the first edit");
        given.again(&all);
        let first = given.pause(&all).unwrap();
        assert!(first > Duration::from_secs(1) && first <= Duration::from_secs(2), "{first:?}");
        given.again(&all);
        assert!(given.pause(&all).unwrap() > first);
        assert_eq!(given.pause(&none), None, "other weights are set without a pause");
        (0..40).for_each(|_| given.again(&all));
        assert!(given.pause(&all).unwrap() <= UNDONE_WITHIN / 2);
        given.again(&none);
        assert_eq!(given.pause(&none), None);
    }
}
