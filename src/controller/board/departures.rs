//! Limits the departures from primaries by KPIs within a minute: one wrong query could move every service.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::super::key::ServiceKey;

/// Period for which departures are counted.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// Number of services that may always leave within a minute by the KPIs of one source.
const ALWAYS: usize = 2;
/// With many services, one in this many may leave.
const ONE_IN: usize = 5;

/// A departure of a service from its primary by KPIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its time.
    pub at: Timestamp,
    /// The sources of these KPIs; empty if it left for another reason.
    pub sources: BTreeSet<String>,
}

/// The granted departures, the newest last. Departures because of a dead primary or an annotation don't count towards the
/// limit.
#[derive(Debug, Default)]
pub struct Departures(VecDeque<(ServiceKey, Left)>);

impl Departures {
    /// Records a granted departure.
    pub fn grant(&mut self, key: &ServiceKey, left: Left) {
        self.0.push_back((key.clone(), left));
    }

    /// The sources whose KPIs moved so many other services within a minute that the source may be wrong, or that this
    /// namespace has used up its share. `claimants`: the number of services with a failover, and of those in this namespace.
    pub fn correlated_failures(
        &mut self,
        key: &ServiceKey,
        claimants: (usize, usize),
        now: Timestamp,
    ) -> BTreeSet<String> {
        // A departure in the far future was recorded before the clock was set back.
        self.0.retain(|(_, left)| now.duration_since(left.at).abs() < MINUTE);
        let (limit, share) = limits(claimants);
        let mut left: BTreeMap<&String, HashSet<&ServiceKey>> = BTreeMap::new();
        for (other, by) in self.0.iter().filter(|(other, _)| other != key) {
            for source in &by.sources {
                left.entry(source).or_default().insert(other);
            }
        }
        let correlated_failures = left.into_iter().filter(|(_, others)| {
            let near = others.iter().filter(|other| other.namespace == key.namespace).count();
            others.len() >= limit || near >= share
        });
        correlated_failures.map(|(source, _)| source.clone()).collect()
    }

    /// Removes the departures of all services for which `kept` is false.
    pub fn retain(&mut self, kept: impl Fn(&ServiceKey) -> bool) {
        self.0.retain(|(key, _)| kept(key));
    }
}

/// How many services may leave within a minute by KPIs of one source, and how many of one namespace: in proportion to its
/// services, and never all if other namespaces have services too.
fn limits((all, own): (usize, usize)) -> (usize, usize) {
    let limit = ALWAYS.max(all / ONE_IN);
    if own == all {
        return (limit, limit);
    }
    (limit, (limit * own).div_ceil(all).clamp(1, limit - 1))
}
