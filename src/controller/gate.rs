//! Who goes first when more services are due than may be looked at together: the more critical, then the earlier.

use std::{
    collections::BinaryHeap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::api::Criticality;

/// A semaphore whose waiters are served by criticality.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    arrivals: u64,
    waiting: BinaryHeap<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    criticality: Criticality,
    arrival: u64,
    enter: oneshot::Sender<Pass>,
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub struct Pass(Option<Gate>);

impl Gate {
    /// A gate for `width` at a time.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: width, arrivals: 0, waiting: BinaryHeap::new() })))
    }

    /// Waits for a turn.
    pub async fn enter(&self, criticality: Criticality) -> Pass {
        let turn = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.free > 0 {
                state.free -= 1;
                return Pass(Some(self.clone()));
            }
            let (enter, turn) = oneshot::channel();
            state.arrivals += 1;
            let arrival = state.arrivals;
            state.waiting.push(Waiter { criticality, arrival, enter });
            turn
        };
        // The sender is dropped only with the gate, which `self` keeps.
        turn.await.unwrap_or(Pass(None))
    }

    fn leave(&self) {
        let next = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let next = state.waiting.pop();
            if next.is_none() {
                state.free += 1;
            }
            next
        };
        if let Some(waiter) = next {
            // Whoever stopped waiting drops the pass, which calls the next one.
            let _ = waiter.enter.send(Pass(Some(self.clone())));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.leave();
        }
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    /// The heap's greatest goes first: `Criticality` sorts from the most to the least critical.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.criticality, other.arrival).cmp(&(self.criticality, self.arrival))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_more_critical_go_first_and_who_gave_up_blocks_nobody() {
        let gate = Gate::new(1);
        let first = gate.enter(Criticality::Sheddable).await;
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for (name, criticality) in [
            ("sheddable", Criticality::Sheddable),
            ("critical", Criticality::Critical),
            ("plus", Criticality::CriticalPlus),
        ] {
            let (gate, done) = (gate.clone(), done.clone());
            tokio::spawn(async move {
                let _pass = gate.enter(criticality).await;
                done.send(name).unwrap();
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let gave_up =
            tokio::time::timeout(Duration::from_millis(1), gate.enter(Criticality::CriticalPlus)).await;
        assert!(gave_up.is_err());
        drop(first);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(order.recv().await.unwrap());
        }
        assert_eq!(seen, ["plus", "critical", "sheddable"]);
        let _free_again =
            tokio::time::timeout(Duration::from_secs(1), gate.enter(Criticality::Critical)).await.unwrap();
    }
}
