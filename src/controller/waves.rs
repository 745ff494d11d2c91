//! Rollouts of balancers after a change of the operator or its configuration: a bounded number at a time, the least critical
//! services first, each when an earlier one is complete.
//!
//! Nothing is persisted. A service with balancers of an earlier operator version asks in each evaluation. The progress of a
//! rollout is read from its Deployment, so a new leader continues it.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{index::Rollout, key::ServiceKey, services::Services};
use plimsoll_api::{Criticality, ScalableServiceSpec};

/// Time after the first request in which all services can report the state of their balancers. After that, only those that
/// have reported are ordered: a service with a refused target may never report.
const GATHER: Duration = Duration::from_secs(30);
/// A rollout without progress for this time no longer blocks others: the default of a Deployment's `progressDeadlineSeconds`.
const STUCK_AFTER: Duration = Duration::from_secs(600);
/// A service that has not asked again within two periods plus this time no longer counts as waiting.
const LATE: Duration = Duration::from_secs(30);

/// The pending and running rollouts of all scopes.
#[derive(Debug, Default)]
pub struct Waves(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    /// The term of leadership that the plan belongs to.
    term: Option<i32>,
    /// When the first service asked.
    began: Option<Instant>,
    places: BTreeMap<ServiceKey, Place>,
}

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It has asked, and is expected to ask again before `until`.
    Waiting {
        criticality: Criticality,
        until: Instant,
    },
    /// Its numbers of updated and available pods, and since when they are unchanged.
    Rolling {
        progress: (i32, i32),
        since: Instant,
    },
    Complete,
}

/// A service whose balancers are to be rolled out.
#[derive(Clone, Debug)]
pub struct Asker<'a> {
    key: &'a ServiceKey,
    criticality: Criticality,
    period: Duration,
}

impl<'a> Asker<'a> {
    /// The service `key`.
    #[must_use]
    pub fn of(key: &'a ServiceKey, spec: &ScalableServiceSpec) -> Self {
        Self { key, criticality: spec.criticality, period: Duration::from(spec.period) }
    }
}

impl Waves {
    /// Whether the balancers of a service may be rolled out now, with at most `limit` (at least 1) rollouts at a time. An
    /// admitted service stays admitted until its rollout is reported as complete.
    pub fn admit(&self, asker: &Asker<'_>, limit: usize, services: &Services, term: Option<i32>) -> bool {
        self.plan(term).admit(asker, limit, || balanced(services), Instant::now())
    }

    /// Reports the progress of a service's rollout; `None` while the watch does not show the applied Deployment yet.
    pub fn report(&self, key: &ServiceKey, rollout: Option<Rollout>, term: Option<i32>) {
        self.plan(term).report(key, rollout, Instant::now());
    }

    /// Removes a service that has no balancers any more.
    pub fn forget(&self, key: &ServiceKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).places.remove(key);
    }

    fn plan(&self, term: Option<i32>) -> MutexGuard<'_, Plan> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if plan.term != term {
            *plan = Plan { term, ..Plan::default() };
        }
        plan
    }
}

/// The services that have balancers, in all scopes.
fn balanced(services: &Services) -> Vec<ServiceKey> {
    let services = services.all().into_iter();
    let balanced = services.filter_map(|service| {
        let service = service.0.as_ref().ok()?;
        service.spec.balanced().map(|_| ServiceKey::of(service))
    });
    balanced.collect()
}

impl Plan {
    fn admit(
        &mut self,
        asker: &Asker<'_>,
        limit: usize,
        all: impl FnOnce() -> Vec<ServiceKey>,
        now: Instant,
    ) -> bool {
        if matches!(self.places.get(asker.key), Some(Place::Rolling { .. })) {
            return true;
        }
        let until = now + 2 * asker.period + LATE;
        let waiting = Place::Waiting { criticality: asker.criticality, until };
        self.places.insert(asker.key.clone(), waiting);
        let began = *self.began.get_or_insert(now);
        if now < began + GATHER && !all().iter().all(|key| self.places.contains_key(key)) {
            return false;
        }
        let rolling = self.places.values().filter(|place| place.is_rolling(now)).count();
        let own = (Reverse(asker.criticality), asker.key);
        let before = self.places.iter().filter(|(key, place)| match place {
            Place::Waiting { criticality, until } => now < *until && (Reverse(*criticality), *key) < own,
            Place::Rolling { .. } | Place::Complete => false,
        });
        let admitted = rolling + before.count() < limit.max(1);
        if admitted {
            self.places.insert(asker.key.clone(), Place::Rolling { progress: (0, 0), since: now });
        }
        admitted
    }

    fn report(&mut self, key: &ServiceKey, rollout: Option<Rollout>, now: Instant) {
        let place = match rollout {
            Some(rollout) if rollout.is_complete => Place::Complete,
            Some(Rollout { updated, available, .. }) => {
                let progress = (updated, available);
                match self.places.get(key) {
                    Some(place @ Place::Rolling { progress: before, .. }) if *before == progress => *place,
                    _ => Place::Rolling { progress, since: now },
                }
            }
            None => return,
        };
        self.places.insert(key.clone(), place);
    }
}

impl Place {
    /// Whether it counts towards the limit.
    fn is_rolling(&self, now: Instant) -> bool {
        matches!(self, Self::Rolling { since, .. } if now < *since + STUCK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("shop", name)
    }

    struct Services {
        plan: Plan,
        all: Vec<(ServiceKey, Criticality)>,
        now: Instant,
    }

    impl Services {
        fn new(all: &[(&str, Criticality)]) -> Self {
            let all = all.iter().map(|(name, criticality)| (key(name), *criticality)).collect();
            Self { plan: Plan::default(), all, now: Instant::now() }
        }

        fn ask(&mut self, name: &str, limit: usize) -> bool {
            let key = key(name);
            let criticality = self.all.iter().find(|(other, _)| *other == key).unwrap().1;
            let asker = Asker { key: &key, criticality, period: PERIOD };
            let all = self.all.iter().map(|(key, _)| key.clone()).collect();
            self.plan.admit(&asker, limit, || all, self.now)
        }

        /// Lets all services ask. Returns the admitted ones.
        fn round(&mut self, limit: usize) -> Vec<String> {
            let names: Vec<String> = self.all.iter().map(|(key, _)| key.name.clone()).collect();
            names.into_iter().filter(|name| self.ask(name, limit)).collect()
        }

        fn report(&mut self, name: &str, updated: i32, is_complete: bool) {
            let rollout = Rollout { updated, available: 2, is_complete };
            self.plan.report(&key(name), Some(rollout), self.now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_critical_go_first_and_the_next_when_one_is_complete() {
        let mut services = Services::new(&[
            ("a", Criticality::CriticalPlus),
            ("b", Criticality::Sheddable),
            ("c", Criticality::Critical),
            ("d", Criticality::Sheddable),
        ]);
        assert!(services.round(1).is_empty(), "the first round is complete only with its last service");
        assert_eq!(services.round(1), ["b"]);
        assert_eq!(services.round(1), ["b"], "it may try again, the others wait");
        services.plan.report(&key("b"), None, services.now);
        assert_eq!(services.round(1), ["b"], "the watch does not show it yet");
        services.report("b", 1, false);
        assert!(!services.ask("d", 1));
        services.report("b", 2, true);
        assert!(!services.ask("c", 1), "d goes before it");
        assert!(services.ask("d", 1));
        services.report("d", 2, true);
        assert!(services.ask("c", 2) && services.ask("a", 2), "two at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_stops_asking_and_a_stuck_rollout_do_not_block_others_forever() {
        let mut services = Services::new(&[
            ("a", Criticality::Critical),
            ("silent", Criticality::Sheddable),
            ("z", Criticality::Critical),
        ]);
        assert!(!services.ask("a", 1), "silent may be due before it");
        services.now += GATHER;
        assert!(services.ask("a", 1));
        services.report("a", 1, false);
        services.now += STUCK_AFTER - Duration::from_secs(1);
        services.report("a", 2, false);
        services.now += STUCK_AFTER - Duration::from_secs(1);
        services.report("a", 2, false);
        assert!(!services.ask("z", 1), "there was progress in the meantime");
        services.now += Duration::from_secs(1);
        assert!(services.ask("z", 1));

        let mut services = Services::new(&[("a", Criticality::Critical), ("gone", Criticality::Sheddable)]);
        services.ask("gone", 1);
        assert!(!services.ask("a", 1));
        services.now += 2 * PERIOD + LATE;
        assert!(services.ask("a", 1), "it has stopped asking");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_counts_rollouts_in_progress() {
        let mut services = Services::new(&[("a", Criticality::Sheddable), ("b", Criticality::Critical)]);
        services.report("a", 1, false);
        assert!(!services.ask("b", 1), "started by the previous leader");
        services.report("a", 2, true);
        assert!(services.ask("b", 1));
    }
}
