//! Weights that somebody else takes back: an edit is put right at once, and nobody is raced.

use std::time::Duration;

use tokio::time::Instant;

use crate::balancer::gateway::Share;

/// Weights that are taken back within this time are fought over.
pub(super) const UNDONE_WITHIN: Duration = Duration::from_secs(60);
/// Pause before they are given for the third time; it doubles.
const AFTER_UNDONE: Duration = Duration::from_secs(2);

/// Weights that were given, and how often somebody else took them back.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) shares: Vec<Share>,
    at: Option<Instant>,
    /// How often the same weights were taken back, each time within [`UNDONE_WITHIN`].
    pub(super) undone: u32,
}

impl Given {
    /// The same weights were given again, or others for the first time.
    pub(super) fn again(&mut self, shares: &[Share]) {
        let soon = self.at.is_some_and(|at| at.elapsed() < UNDONE_WITHIN);
        self.undone = if soon && self.shares == shares { self.undone.saturating_add(1) } else { 0 };
        (self.shares, self.at) = (shares.to_vec(), Some(Instant::now()));
    }

    /// How long not to give the same weights again: an edit is put right at once, but nobody is raced.
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
    fn an_edit_is_put_right_at_once_and_a_fight_is_not_kept_up() {
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
        assert_eq!(given.pause(&none), None, "other weights wait for nothing");
        (0..40).for_each(|_| given.again(&all));
        assert!(given.pause(&all).unwrap() <= UNDONE_WITHIN / 2);
        given.again(&none);
        assert_eq!(given.pause(&none), None);
    }
}
