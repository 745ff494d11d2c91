//! The expected number of scrape targets, to detect missing ones.

use jiff::{SignedDuration, Timestamp};

/// Below this share of the expected scrape targets, a sample is partial. Above it, the missing targets are assumed to carry
/// the same load as the others, so that a pod restart is not an outage.
pub(super) const COMPLETE_SHARE: f64 = 0.8;
/// Rounding error of a division.
const ROUNDING: f64 = 1e-9;
/// After this time a higher number of targets per pod counts as normal. It is longer than terminating pods are still scraped.
pub(super) const LASTED: SignedDuration = SignedDuration::from_secs(60);
/// After this time a lower number of targets per pod counts as normal.
pub(super) const FEWER_ACCEPTED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// The normal number of scrape targets per pod.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TargetsSeen {
    /// The normal number.
    pub per_pod: f64,
    /// Pods at the last complete answer, without those deleted since. Pods added since are not expected yet.
    pub pods: f64,
    /// Since when `per_pod` is assumed; `None` once it is confirmed.
    pub new_since: Option<Timestamp>,
    /// A higher number per pod: the lowest of them, and since when.
    pub rising: Option<(f64, Timestamp)>,
    /// Whether so many targets are missing that the sample is partial, and since when.
    pub missing: Option<(bool, Timestamp)>,
}

/// The expected number of targets, if fewer answered.
///
/// The expectation shrinks with the pods. A target that is lost while its pod exists is missing evidence, not a smaller load,
/// until [`FEWER_ACCEPTED_AFTER`] has passed. The expectation grows only with a number that lasts ([`LASTED`]), since
/// terminating pods are still scraped after they stop counting. For the same reason the very first number is only assumed
/// until it has lasted.
pub(super) fn missing_targets(
    targets_seen: &mut Option<TargetsSeen>,
    targets: f64,
    pods: f64,
    now: Timestamp,
) -> Option<f64> {
    let per_pod = targets / pods.max(1.0);
    let first = TargetsSeen { per_pod, pods, new_since: Some(now), ..TargetsSeen::default() };
    let seen = targets_seen.get_or_insert(first);
    seen.pods = seen.pods.min(pods);
    if per_pod >= seen.per_pod {
        seen.pods = pods;
        seen.missing = None;
        seen.lasts(now);
        seen.grow(per_pod, now);
        return None;
    }
    seen.rising = None;
    let expected = seen.per_pod * seen.pods;
    let few = targets < expected * COMPLETE_SHARE;
    if !few {
        seen.lasts(now);
    }
    if targets >= expected * (1.0 - ROUNDING) {
        seen.missing = None;
        return None;
    }
    let since = seen.missing.filter(|(too, _)| *too == few).map_or(now, |(_, since)| since);
    seen.missing = Some((few, since));
    let patience = if seen.new_since.is_some() { LASTED } else { FEWER_ACCEPTED_AFTER };
    if now.duration_since(since) >= patience {
        *seen = first;
        return None;
    }
    Some(expected)
}

impl TargetsSeen {
    /// Limits all times to `now`.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let rising = self.rising.as_mut().map(|(_, since)| since);
        let missing = self.missing.as_mut().map(|(_, since)| since);
        for at in self.new_since.as_mut().into_iter().chain(rising).chain(missing) {
            *at = now.min(*at);
        }
    }

    /// Confirms the assumed number: about as many targets as expected answered.
    fn lasts(&mut self, now: Timestamp) {
        self.new_since = self.new_since.filter(|since| now.duration_since(*since) < LASTED);
    }

    /// Adopts a higher number of targets per pod once it has lasted: the lowest of that time.
    fn grow(&mut self, per_pod: f64, now: Timestamp) {
        let (lowest, since) = self.rising.unwrap_or((per_pod, now));
        let lowest = lowest.min(per_pod);
        self.rising = Some((lowest, since));
        if now.duration_since(since) >= LASTED {
            self.per_pod = lowest;
            self.rising = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{TargetsSeen, missing_targets};

    /// Observes targets and pods over time.
    struct Watch {
        seen: Option<TargetsSeen>,
        now: Timestamp,
    }

    impl Watch {
        fn new() -> Self {
            Self { seen: None, now: Timestamp::from_second(1_000_000).unwrap() }
        }

        /// The last of `seconds` observations of the same numbers, one per second.
        fn observe(&mut self, seconds: i64, targets: f64, pods: f64) -> Option<f64> {
            let mut missing = None;
            for _ in 0..seconds {
                self.now += SignedDuration::from_secs(1);
                missing = missing_targets(&mut self.seen, targets, pods, self.now);
            }
            missing
        }
    }

    #[test]
    fn missing_targets_are_reported_for_an_hour() {
        let mut watch = Watch::new();
        assert_eq!(watch.observe(100, 10.0, 10.0), None);
        assert_eq!(watch.observe(1, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.observe(1, 7.0, 10.0), Some(10.0), "no creeping acceptance");
        assert_eq!(watch.observe(1, 9.0, 10.0), Some(10.0), "one pod restarts");
        assert_eq!(watch.observe(3600, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.observe(2, 5.0, 10.0), None, "accepted after an hour");
    }

    #[test]
    fn one_missing_target_of_ten_is_accepted_after_an_hour() {
        let mut watch = Watch::new();
        assert_eq!(watch.observe(100, 10.0, 10.0), None);
        assert_eq!(watch.observe(3600, 9.0, 10.0), Some(10.0));
        assert_eq!(watch.observe(2, 9.0, 10.0), None);
    }

    #[test]
    fn the_first_number_of_targets_is_assumed_for_a_minute() {
        let mut watch = Watch::new();
        assert_eq!(watch.observe(1, 10.0, 10.0), None);
        assert_eq!(watch.observe(60, 5.0, 10.0), Some(10.0), "targets missing right after a start");
        assert_eq!(watch.observe(1, 5.0, 10.0), None, "or five were terminating at first");
        assert_eq!(watch.observe(61, 5.0, 10.0), None);
        assert_eq!(watch.observe(61, 2.0, 10.0), Some(5.0), "confirmed by now");
    }

    #[test]
    fn added_and_deleted_pods_are_not_missing_targets() {
        let mut watch = Watch::new();
        watch.observe(100, 10.0, 10.0);
        assert_eq!(watch.observe(30, 10.0, 5.0), None, "terminating pods are still scraped");
        assert_eq!(watch.observe(100, 5.0, 5.0), None);
        assert_eq!(watch.observe(1, 2.0, 5.0), Some(5.0));
        assert_eq!(watch.observe(30, 5.0, 10.0), None, "new ones are not scraped yet");
        assert_eq!(watch.observe(1, 10.0, 10.0), None);
        assert_eq!(watch.observe(1, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.observe(10, 13.0, 13.0), None, "the surge of a rollout");
        assert_eq!(watch.observe(1, 10.0, 10.0), None);
    }

    #[test]
    fn targets_of_a_separate_exporter_do_not_depend_on_the_pods() {
        let mut watch = Watch::new();
        for pods in [10.0, 3.0, 0.0, 8.0, 1.0] {
            assert_eq!(watch.observe(100, 1.0, pods), None, "{pods}");
        }
        let mut watch = Watch::new();
        assert_eq!(watch.observe(100, 4.0, 10.0), None);
        assert_eq!(watch.observe(1, 2.0, 10.0), Some(4.0), "half of the balancers");
    }
}
