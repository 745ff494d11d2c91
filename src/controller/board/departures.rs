//! Departures from primaries by KPIs: how many are granted within a minute. One wrong query could move every service.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::super::key::ServiceKey;

/// Departures are counted for so long.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// So many services may leave within a minute by the KPIs of one source, whatever the number of services.
const ALWAYS: usize = 2;
/// Of many services, one in so many.
const ONE_IN: usize = 5;

/// A departure of a service from its primary by KPIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// When.
    pub at: Timestamp,
    /// The sources of these KPIs; none if it left for another reason.
    pub sources: BTreeSet<String>,
}

/// The departures that were granted, the newest last. A service whose primary is dead, or that was moved by an annotation,
/// takes nobody else's place.
#[derive(Debug, Default)]
pub struct Departures(VecDeque<(ServiceKey, Left)>);

impl Departures {
    /// Notes a departure that was granted.
    pub fn grant(&mut self, key: &ServiceKey, left: Left) {
        self.0.push_back((key.clone(), left));
    }

    /// The sources by whose KPIs so many other services left within a minute that one of these may be wrong, or so many of
    /// this namespace that it has had its share. `claimants`: how many services have a failover, and how many of them are in
    /// this namespace.
    pub fn correlated_failures(
        &mut self,
        key: &ServiceKey,
        claimants: (usize, usize),
        now: Timestamp,
    ) -> BTreeSet<String> {
        // One that lies far ahead is of a clock that was set back since.
        self.0.retain(|(_, left)| now.duration_since(left.at).abs() < MINUTE);
        let (limit, share) = limits(claimants);
        let mut left: BTreeMap<&String, HashSet<&ServiceKey>> = BTreeMap::new();
        for (who, by) in self.0.iter().filter(|(who, _)| who != key) {
            for source in &by.sources {
                left.entry(source).or_default().insert(who);
            }
        }
        let correlated_failures = left.into_iter().filter(|(_, who)| {
            let near = who.iter().filter(|who| who.namespace == key.namespace).count();
            who.len() >= limit || near >= share
        });
        correlated_failures.map(|(source, _)| source.clone()).collect()
    }

    /// Forgets the departures of all services that `kept` refuses.
    pub fn retain(&mut self, kept: impl Fn(&ServiceKey) -> bool) {
        self.0.retain(|(key, _)| kept(key));
    }
}

/// How many services may leave within a minute by KPIs of one source, and how many of them of one namespace: as many as
/// it has of all services, and never all where there are others.
fn limits((all, own): (usize, usize)) -> (usize, usize) {
    let limit = ALWAYS.max(all / ONE_IN);
    if own == all {
        return (limit, limit);
    }
    (limit, (limit * own).div_ceil(all).clamp(1, limit - 1))
}
