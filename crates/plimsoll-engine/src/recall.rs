//! The normal number of scrape targets for a new process, whose first observation may already lack some of them.

use jiff::{SignedDuration, Timestamp};

use super::targets::{FEWER_ACCEPTED_AFTER, LASTED, TargetsSeen, missing_targets};

/// How far back numbers of scrape targets are queried: the time for which fewer of them count as missing, plus the minute
/// that shows the number before.
pub const RECALLED: SignedDuration =
    SignedDuration::from_secs(FEWER_ACCEPTED_AFTER.as_secs() + LASTED.as_secs());
/// A number of targets per pod is normal if it was reached for 1/`NORMAL_PART` of that time. The surge of a rollout is
/// shorter, and so is the time for which deleted pods are still scraped.
const NORMAL_PART: usize = 4;
/// Pause between two attempts, so that a source that has just recovered is not overloaded.
pub(super) const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// After this many failed attempts, which take at least 5 minutes, the current number of targets counts as normal.
pub(super) const GIVEN_UP_AFTER: u32 = 30;

/// State of the query for a KPI's past numbers of scrape targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Recall {
    /// It was not sent yet.
    #[default]
    Open,
    /// It failed `times` times, most recently at `at`; `why` is the last error.
    Failed { times: u32, at: Timestamp, why: String },
    /// It was answered or given up.
    Done,
}

impl Recall {
    /// Why the normal number of targets is not known, while an answer is still expected.
    pub(super) fn doubt(&self) -> Option<String> {
        match self {
            Self::Failed { why, .. } => {
                Some(format!("the normal number of scrape targets is not known yet: {why}"))
            }
            Self::Open | Self::Done => None,
        }
    }

    /// Whether to send the query now.
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

/// The normal number by past times, targets and pods, in order; `None` if they span too short a time.
pub(super) fn normal(past: &[(Timestamp, f64, f64)]) -> Option<TargetsSeen> {
    let ((first, ..), (last, ..)) = (past.first()?, past.last()?);
    if last.duration_since(*first) < LASTED {
        return None;
    }
    let per_pod = |(_, targets, pods): &(Timestamp, f64, f64)| targets / pods.max(1.0);
    let mut reached: Vec<f64> = past.iter().map(per_pod).collect();
    reached.sort_by(|a, b| b.total_cmp(a));
    let normal = *reached.get(reached.len() / NORMAL_PART)?;
    // From the last complete point on, the history is replayed as if this process had observed it.
    let complete = past.iter().rposition(|point| per_pod(point) >= normal)?;
    let (_, _, pods) = past.get(complete)?;
    let seen = TargetsSeen { per_pod: normal, pods: *pods, ..TargetsSeen::default() };
    let mut seen = Some(seen);
    for (at, targets, pods) in past.iter().skip(complete + 1) {
        missing_targets(&mut seen, *targets, *pods, *at);
    }
    seen
}
