//! How many scrape targets are normal, for a process that did not see it itself: what a new process sees first may be what is
//! left of them.

use jiff::{SignedDuration, Timestamp};

use super::targets::{FEWER_ACCEPTED_AFTER, LASTED, TargetsSeen, missing_targets};

/// How far back numbers of scrape targets are needed: for as long as fewer of them are missed, and the minute that shows how
/// many there were before.
pub const RECALLED: SignedDuration =
    SignedDuration::from_secs(FEWER_ACCEPTED_AFTER.as_secs() + LASTED.as_secs());
/// Part of that time in which a number of targets for each pod must have been reached to be normal. The surge of a rollout
/// is shorter, and so is the time in which pods that are gone are still scraped.
const NORMAL_PART: usize = 4;
/// Pause between two questions for the past, so that a source that has just recovered is not overloaded.
pub(super) const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// After this many failed questions, which take 5 minutes at least, the current number of targets counts as normal.
pub(super) const GIVEN_UP_AFTER: u32 = 30;

/// What became of the question how many scrape targets a KPI had.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Recall {
    /// It was not asked.
    #[default]
    Open,
    /// It was asked `times` times without an answer, most recently at `at`; `why` is the last error.
    Failed { times: u32, at: Timestamp, why: String },
    /// It is answered, or given up.
    Done,
}

impl Recall {
    /// Why it is not known how many targets are normal, if an answer is still expected.
    pub(super) fn doubt(&self) -> Option<String> {
        match self {
            Self::Failed { why, .. } => {
                Some(format!("how many scrape targets are normal is not known yet: {why}"))
            }
            Self::Open | Self::Done => None,
        }
    }

    /// Whether it is to be asked now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Self::Open => true,
            Self::Failed { at, .. } => !(SignedDuration::ZERO..RETRY).contains(&now.duration_since(*at)),
            Self::Done => false,
        }
    }

    pub(super) fn failed(&self, why: String, now: Timestamp) -> Self {
        let times = match self {
            Self::Failed { times, .. } => times.saturating_add(1),
            Self::Open | Self::Done => 1,
        };
        if times >= GIVEN_UP_AFTER { Self::Done } else { Self::Failed { times, at: now, why } }
    }
}

/// What is normal by numbers of targets and pods at times in order; `None` if they are too few to tell.
pub(super) fn normal(past: &[(Timestamp, f64, f64)]) -> Option<TargetsSeen> {
    let ((first, ..), (last, ..)) = (past.first()?, past.last()?);
    if last.duration_since(*first) < LASTED {
        return None;
    }
    let per_pod = |(_, targets, pods): &(Timestamp, f64, f64)| targets / pods.max(1.0);
    let mut reached: Vec<f64> = past.iter().map(per_pod).collect();
    reached.sort_by(|a, b| b.total_cmp(a));
    let normal = *reached.get(reached.len() / NORMAL_PART)?;
    // From the last time at which all were there, it goes on as if this process had looked.
    let complete = past.iter().rposition(|point| per_pod(point) >= normal)?;
    let (_, _, pods) = past.get(complete)?;
    let seen = TargetsSeen { per_pod: normal, pods: *pods, ..TargetsSeen::default() };
    let mut seen = Some(seen);
    for (at, targets, pods) in past.iter().skip(complete + 1) {
        missing_targets(&mut seen, *targets, *pods, *at);
    }
    seen
}
