//! The slots of one source: how many queries may be out at once, and whose is the next.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use plimsoll_api::Criticality;

/// The service that asks. Slots are shared among services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    service: Arc<str>,
    criticality: Criticality,
}

impl Asker {
    /// A service, by namespace and name.
    #[must_use]
    pub fn new(namespace: &str, name: &str, criticality: Criticality) -> Self {
        Self { service: format!("{namespace}/{name}").into(), criticality }
    }
}

/// A limit on queries that are out at once. A free slot goes to the most critical service that waits, then to the one that
/// has the fewest slots, then to the query that came first. No service ever has more than half of the slots, so that slow
/// queries of one service leave room for those of all others.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    arrivals: u64,
    services: HashMap<Arc<str>, Service>,
}

/// A service that has slots, or waits for some.
#[derive(Debug, Default)]
struct Service {
    taken: usize,
    waiting: VecDeque<Waiter>,
}

impl Service {
    fn is_gone(&self) -> bool {
        self.taken == 0 && self.waiting.is_empty()
    }
}

#[derive(Debug)]
struct Waiter {
    criticality: Criticality,
    arrival: u64,
    enter: oneshot::Sender<Slot>,
}

/// The right to have one query out, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    service: Arc<str>,
}

impl Slots {
    /// So many slots, at least one.
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total: total.max(1), state: Mutex::default() })
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Slots that one service may have.
    pub(super) fn share(&self) -> usize {
        self.total.div_ceil(2)
    }

    /// Whether a service has as many slots as it may have.
    pub(super) fn is_spent(&self, asker: &Asker) -> bool {
        self.state().services.get(&asker.service).is_some_and(|service| service.taken >= self.share())
    }

    /// Waits for a slot. A cancelled wait loses only its place in the queue.
    pub(super) async fn acquire(self: &Arc<Self>, asker: &Asker) -> Slot {
        let turn = {
            let mut state = self.state();
            let all_taken = state.taken >= self.total;
            state.arrivals += 1;
            let arrival = state.arrivals;
            let service = state.services.entry(Arc::clone(&asker.service)).or_default();
            // No other service may have this slot, or it would have it already: this is no overtaking.
            if !all_taken && service.taken < self.share() {
                service.taken += 1;
                state.taken += 1;
                return Slot { slots: Arc::clone(self), service: Arc::clone(&asker.service) };
            }
            // Cancelled waiters would accumulate while more critical services always go first.
            service.waiting.retain(|waiter| !waiter.enter.is_closed());
            let (enter, turn) = oneshot::channel();
            service.waiting.push_back(Waiter { criticality: asker.criticality, arrival, enter });
            turn
        };
        match turn.await {
            Ok(slot) => slot,
            // A waiter is dropped only with its slots, which `self` keeps.
            Err(_) => std::future::pending().await,
        }
    }

    fn release(self: &Arc<Self>, service: &Arc<str>) {
        {
            let mut state = self.state();
            state.taken = state.taken.saturating_sub(1);
            if let Some(of) = state.services.get_mut(service) {
                of.taken = of.taken.saturating_sub(1);
                if of.is_gone() {
                    state.services.remove(service);
                }
            }
        }
        while let Some((waiter, service)) = self.next() {
            // A waiter that was cancelled a moment ago drops the slot, which wakes the next one.
            let _ = waiter.enter.send(Slot { slots: Arc::clone(self), service });
        }
    }

    /// The next query that gets a free slot, which is taken for it.
    fn next(&self) -> Option<(Waiter, Arc<str>)> {
        let share = self.share();
        let mut state = self.state();
        while state.taken < self.total {
            let may = state.services.iter().filter(|(_, service)| service.taken < share);
            let waiting = may.filter_map(|(name, service)| {
                let first = service.waiting.front()?;
                Some(((first.criticality, service.taken, first.arrival), name))
            });
            let name = Arc::clone(waiting.min_by_key(|(order, _)| *order)?.1);
            let service = state.services.get_mut(&name)?;
            let waiter = service.waiting.pop_front()?;
            if !waiter.enter.is_closed() {
                service.taken += 1;
                state.taken += 1;
                return Some((waiter, name));
            }
            if service.is_gone() {
                state.services.remove(&name);
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.release(&self.service);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        time::{sleep, timeout},
    };

    use super::*;

    fn service(name: &str, criticality: Criticality) -> Asker {
        Asker::new("shop", name, criticality)
    }

    /// Queries that wait, and tell when they got their slot.
    struct Queue {
        slots: Arc<Slots>,
        told: UnboundedSender<(String, Slot)>,
        order: UnboundedReceiver<(String, Slot)>,
    }

    impl Queue {
        fn at(slots: &Arc<Slots>) -> Self {
            let (told, order) = unbounded_channel();
            Self { slots: Arc::clone(slots), told, order }
        }

        async fn join(&self, asker: &Asker) {
            let (slots, told, asker) = (Arc::clone(&self.slots), self.told.clone(), asker.clone());
            tokio::spawn(async move {
                let slot = slots.acquire(&asker).await;
                told.send((asker.service.to_string(), slot)).unwrap();
            });
            sleep(Duration::from_millis(1)).await;
        }

        /// The names of the next ones, each of which gives its slot back.
        async fn next(&mut self, count: usize) -> Vec<String> {
            let mut names = Vec::new();
            for _ in 0..count {
                let (name, _slot) = self.order.recv().await.unwrap();
                names.push(name);
            }
            names
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_critical_go_first_and_who_gave_up_blocks_nobody() {
        let slots = Slots::new(1);
        let first = slots.acquire(&service("first", Criticality::Sheddable)).await;
        let mut queue = Queue::at(&slots);
        queue.join(&service("sheddable", Criticality::Sheddable)).await;
        queue.join(&service("critical", Criticality::Critical)).await;
        queue.join(&service("plus", Criticality::CriticalPlus)).await;
        let impatient = service("impatient", Criticality::CriticalPlus);
        assert!(timeout(Duration::from_millis(1), slots.acquire(&impatient)).await.is_err());
        drop(first);
        assert_eq!(queue.next(3).await, ["shop/plus", "shop/critical", "shop/sheddable"]);
        timeout(Duration::from_secs(1), slots.acquire(&impatient)).await.unwrap();
        assert!(slots.state().services.is_empty(), "nobody is remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn one_service_has_at_most_half_of_the_slots() {
        let slots = Slots::new(4);
        let (greedy, modest) =
            (service("greedy", Criticality::CriticalPlus), service("modest", Criticality::Sheddable));
        let _taken = (slots.acquire(&greedy).await, slots.acquire(&greedy).await);
        assert!(timeout(Duration::from_secs(9), slots.acquire(&greedy)).await.is_err());
        assert!(slots.is_spent(&greedy) && !slots.is_spent(&modest));
        timeout(Duration::ZERO, slots.acquire(&modest)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn services_take_turns_however_many_queries_each_has() {
        let slots = Slots::new(2);
        let (many, few) = (service("many", Criticality::Critical), service("few", Criticality::Critical));
        let other = service("other", Criticality::Critical);
        let taken = (slots.acquire(&many).await, slots.acquire(&other).await);
        let mut queue = Queue::at(&slots);
        for asker in [&many, &many, &many, &few] {
            queue.join(asker).await;
        }
        drop(taken.1);
        assert_eq!(queue.next(1).await, ["shop/few"], "many has a slot already");
        drop(taken.0);
        assert_eq!(queue.next(3).await, ["shop/many"; 3]);
    }
}
