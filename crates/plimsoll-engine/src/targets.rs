//! How many scrape targets answer when none is missing.

use jiff::{SignedDuration, Timestamp};

/// Below this share of the scrape targets that are to be expected, an answer is partial. Above it, a pod that restarts
/// is no outage: those that are missing are taken to carry what the others do.
pub(super) const COMPLETE_SHARE: f64 = 0.8;
/// What a division may be off by is no target.
const ROUNDING: f64 = 1e-9;
/// What was seen for this time has lasted: longer than pods take to go and to be forgotten. More targets for each pod
/// count as what is normal then.
pub(super) const LASTED: SignedDuration = SignedDuration::from_secs(60);
/// After this time fewer targets than what had lasted count as what is normal.
pub(super) const FEWER_ACCEPTED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// How many scrape targets answer for each pod when none is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct TargetsSeen {
    /// What is normal.
    pub per_pod: f64,
    /// Pods of the last complete answer; those that were added since are not expected yet.
    pub pods: f64,
    /// Since when it is believed, until it has lasted.
    pub new_since: Option<Timestamp>,
    /// Since when there are more, and the lowest number of that time.
    pub rising: Option<(f64, Timestamp)>,
    /// Since when some are missing, and whether so many that the answer is partial.
    pub missing: Option<(bool, Timestamp)>,
}

/// The number of targets to be expected, if fewer answered.
///
/// The expectation shrinks with the pods and with nothing else: a target that is lost while its pod is still there
/// is a hole in the evidence, not a smaller load. It grows only with what lasted: pods that are on their way out are
/// scraped for a while after they stopped counting. So what the first look of all saw is believed at once, but no
/// longer than it could last itself.
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
    /// What was noted ahead of `now` counts as noted now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let rising = self.rising.as_mut().map(|(_, since)| since);
        let missing = self.missing.as_mut().map(|(_, since)| since);
        for at in self.new_since.as_mut().into_iter().chain(rising).chain(missing) {
            *at = now.min(*at);
        }
    }

    /// About as many targets as expected answered.
    fn lasts(&mut self, now: Timestamp) {
        self.new_since = self.new_since.filter(|since| now.duration_since(*since) < LASTED);
    }

    /// Takes a higher number of targets for each pod once it lasted: the lowest of that time.
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

    /// Targets and pods as they are seen for a while.
    struct Watch {
        seen: Option<TargetsSeen>,
        now: Timestamp,
    }

    impl Watch {
        fn new() -> Self {
            Self { seen: None, now: Timestamp::from_second(1_000_000).unwrap() }
        }

        /// The last of `seconds` looks at the same numbers.
        fn look(&mut self, seconds: i64, targets: f64, pods: f64) -> Option<f64> {
            let mut missing = None;
            for _ in 0..seconds {
                self.now += SignedDuration::from_secs(1);
                missing = missing_targets(&mut self.seen, targets, pods, self.now);
            }
            missing
        }
    }

    #[test]
    fn half_of_the_targets_is_a_hole_for_an_hour_unless_the_pods_went_too() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(100, 10.0, 10.0), None);
        assert_eq!(watch.look(1, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.look(1, 7.0, 10.0), Some(10.0), "no creeping acceptance");
        assert_eq!(watch.look(1, 9.0, 10.0), Some(10.0), "one pod restarts");
        assert_eq!(watch.look(3600, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.look(2, 5.0, 10.0), None, "after an hour it is how things are");
    }

    #[test]
    fn one_of_ten_that_never_answers_is_how_things_are_after_an_hour() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(100, 10.0, 10.0), None);
        assert_eq!(watch.look(3600, 9.0, 10.0), Some(10.0));
        assert_eq!(watch.look(2, 9.0, 10.0), None);
    }

    #[test]
    fn what_only_the_first_looks_saw_is_believed_for_a_minute() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(1, 10.0, 10.0), None);
        assert_eq!(watch.look(60, 5.0, 10.0), Some(10.0), "a hole right after a start");
        assert_eq!(watch.look(1, 5.0, 10.0), None, "or five that were on their way out at the first look");
        assert_eq!(watch.look(61, 5.0, 10.0), None);
        assert_eq!(watch.look(61, 2.0, 10.0), Some(5.0), "which has lasted by now");
    }

    #[test]
    fn pods_that_come_and_go_are_no_hole() {
        let mut watch = Watch::new();
        watch.look(100, 10.0, 10.0);
        assert_eq!(watch.look(30, 10.0, 5.0), None, "on their way out they are still scraped");
        assert_eq!(watch.look(100, 5.0, 5.0), None);
        assert_eq!(watch.look(1, 2.0, 5.0), Some(5.0));
        assert_eq!(watch.look(30, 5.0, 10.0), None, "new ones are not scraped yet");
        assert_eq!(watch.look(1, 10.0, 10.0), None);
        assert_eq!(watch.look(1, 5.0, 10.0), Some(10.0));
        assert_eq!(watch.look(10, 13.0, 13.0), None, "the surge of a rollout");
        assert_eq!(watch.look(1, 10.0, 10.0), None);
    }

    #[test]
    fn an_exporter_of_its_own_does_not_depend_on_the_pods() {
        let mut watch = Watch::new();
        for pods in [10.0, 3.0, 0.0, 8.0, 1.0] {
            assert_eq!(watch.look(100, 1.0, pods), None, "{pods}");
        }
        let mut watch = Watch::new();
        assert_eq!(watch.look(100, 4.0, 10.0), None);
        assert_eq!(watch.look(1, 2.0, 10.0), Some(4.0), "half of the balancers");
    }
}
