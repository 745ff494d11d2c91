//! The slots of one source: the limit of concurrent queries, and the order of waiting queries.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use plimsoll_api::Criticality;

/// The service that sends queries. Slots are shared among services.
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

/// A limit of concurrent queries. A free slot goes to the most critical waiting service, among those to the one with the
/// fewest slots, and then to the oldest query. No service gets more than half of the slots, so that slow queries of one
/// service do not block those of all others.
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

/// A service that has slots or waits for one.
#[derive(Debug, Default)]
struct Service {
    taken: usize,
    waiting: VecDeque<Waiter>,
}

impl Service {
    fn is_idle(&self) -> bool {
        self.taken == 0 && self.waiting.is_empty()
    }
}

#[derive(Debug)]
struct Waiter {
    criticality: Criticality,
    arrival: u64,
    enter: oneshot::Sender<Slot>,
}

/// The permission to run one query, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    service: Arc<str>,
}

impl Slots {
    /// A limit of `total` slots, at least one.
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total: total.max(1), state: Mutex::default() })
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Most slots of one service.
    pub(super) fn share(&self) -> usize {
        self.total.div_ceil(2)
    }

    /// Whether a service has all the slots it may have.
    pub(super) fn is_spent(&self, asker: &Asker) -> bool {
        self.state().services.get(&asker.service).is_some_and(|service| service.taken >= self.share())
    }

    /// Waits for a slot. Cancel safe: a cancelled wait only loses its place in the queue.
    pub(super) async fn acquire(self: &Arc<Self>, asker: &Asker) -> Slot {
        let turn = {
            let mut state = self.state();
            let all_taken = state.taken >= self.total;
            state.arrivals += 1;
            let arrival = state.arrivals;
            let service = state.services.entry(Arc::clone(&asker.service)).or_default();
            // This overtakes no waiting query: if another service could use the slot, it would have it already.
            if !all_taken && service.taken < self.share() {
                service.taken += 1;
                state.taken += 1;
                return Slot { slots: Arc::clone(self), service: Arc::clone(&asker.service) };
            }
            // Otherwise cancelled waiters would accumulate while more critical services take precedence.
            service.waiting.retain(|waiter| !waiter.enter.is_closed());
            let (enter, turn) = oneshot::channel();
            service.waiting.push_back(Waiter { criticality: asker.criticality, arrival, enter });
            turn
        };
        match turn.await {
            Ok(slot) => slot,
            // A waiter is dropped only together with the slots, which `self` keeps alive.
            Err(_) => std::future::pending().await,
        }
    }

    fn release(self: &Arc<Self>, service: &Arc<str>) {
        {
            let mut state = self.state();
            state.taken = state.taken.saturating_sub(1);
            if let Some(of) = state.services.get_mut(service) {
                of.taken = of.taken.saturating_sub(1);
                if of.is_idle() {
                    state.services.remove(service);
                }
            }
        }
        while let Some((waiter, service)) = self.next() {
            // If the waiter was just cancelled, the slot is dropped, which wakes the next waiter.
            let _ = waiter.enter.send(Slot { slots: Arc::clone(self), service });
        }
    }

    /// Takes a free slot for the next waiting query.
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
            if service.is_idle() {
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

    /// Waiting queries, in the order in which they get their slots.
    struct Queue {
        slots: Arc<Slots>,
        entered: UnboundedSender<(String, Slot)>,
        order: UnboundedReceiver<(String, Slot)>,
    }

    impl Queue {
        fn at(slots: &Arc<Slots>) -> Self {
            let (entered, order) = unbounded_channel();
            Self { slots: Arc::clone(slots), entered, order }
        }

        async fn join(&self, asker: &Asker) {
            let (slots, entered, asker) = (Arc::clone(&self.slots), self.entered.clone(), asker.clone());
            tokio::spawn(async move {
                let slot = slots.acquire(&asker).await;
                entered.send((asker.service.to_string(), slot)).unwrap();
            });
            sleep(Duration::from_millis(1)).await;
        }

        /// The services of the next queries, each of which releases its slot.
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
    async fn critical_services_take_precedence_and_a_cancelled_wait_blocks_no_query() {
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
        assert!(slots.state().services.is_empty(), "no service is left");
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
    async fn services_alternate_regardless_of_their_number_of_queries() {
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
