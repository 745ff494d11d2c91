//! What is left of one budget, with the guarantees of its consumers.

use super::{Amount, Budget, Cause, Consumption};

/// What is left of one budget.
#[derive(Clone)]
pub(super) struct Account {
    /// The limit without the use by others; `None` if unknown.
    available: Option<Amount>,
    charged: Amount,
    /// Guaranteed amounts that their entries do not use.
    held_back: Amount,
    entries: Vec<Entry>,
}

/// One entry of a budget's consumers.
#[derive(Clone)]
struct Entry {
    guaranteed: Amount,
    charged: Amount,
}

impl Account {
    pub fn new(budget: &Budget) -> Self {
        let available = budget.limit.zip(budget.others).map(|(limit, others)| limit.minus(others));
        let entry = |guaranteed: &Amount| Entry { guaranteed: *guaranteed, charged: Amount::ZERO };
        Self {
            available,
            charged: Amount::ZERO,
            held_back: budget.guaranteed.iter().copied().sum(),
            entries: budget.guaranteed.iter().map(entry).collect(),
        }
    }

    /// The totals after the charge of one consumer has changed: all charges, those of its entry, what is held back.
    fn after(&self, entry: Option<usize>, before: Amount, after: Amount) -> (Amount, Amount, Amount) {
        let charged = self.charged.minus(before) + after;
        let Some(entry) = entry.and_then(|entry| self.entries.get(entry)) else {
            return (charged, Amount::ZERO, self.held_back);
        };
        let of_entry = entry.charged.minus(before) + after;
        let held_back =
            self.held_back.minus(entry.guaranteed.minus(entry.charged)) + entry.guaranteed.minus(of_entry);
        (charged, of_entry, held_back)
    }

    /// Replaces the charge of one consumer.
    pub fn charge(&mut self, entry: Option<usize>, before: Amount, after: Amount) {
        let (charged, of_entry, held_back) = self.after(entry, before, after);
        self.charged = charged;
        self.held_back = held_back;
        if let Some(entry) = entry.and_then(|entry| self.entries.get_mut(entry)) {
            entry.charged = of_entry;
        }
    }

    /// Why a charge can't rise from `before` to `after`.
    pub fn refusal(&self, consumption: &Consumption, before: Amount, after: Amount) -> Option<Cause> {
        let budget = consumption.budget;
        // A saturated amount is beyond every limit, whatever it was before.
        if after <= before && after < Amount::MAX {
            return None;
        }
        let Some(available) = self.available else { return Some(Cause::Unknown { budget }) };
        let (charged, of_entry, held_back) = self.after(consumption.entry, before, after);
        if charged > available || charged == Amount::MAX {
            return Some(Cause::Budget { budget });
        }
        let entry = consumption.entry.and_then(|entry| self.entries.get(entry));
        let is_guaranteed = entry.is_some_and(|entry| of_entry <= entry.guaranteed);
        (!is_guaranteed && charged + held_back > available).then_some(Cause::Guaranteed { budget })
    }
}
