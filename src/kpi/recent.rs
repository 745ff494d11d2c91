//! A bounded map: when it is full, the least recently used entries are removed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A bounded map. Lookups and inserts are O(1); one insert in every `capacity / 8` sweeps the map.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    capacity: usize,
    uses: u64,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// An empty map that holds at most `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity: capacity.max(1), uses: 0 }
    }

    /// The entry, which becomes the most recently used.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.uses += 1;
        let now = self.uses;
        self.entries.get_mut(key).map(|(used, value)| {
            *used = now;
            value
        })
    }

    /// The entry, created by `make` if it is missing, which becomes the most recently used.
    pub(super) fn get_or_put(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.uses += 1;
        let now = self.uses;
        let (used, value) = self.entries.entry(key).or_insert_with(|| (now, make()));
        *used = now;
        value
    }

    /// Inserts an entry; if the map is full, old entries are removed first.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.uses += 1;
        self.entries.insert(key, (self.uses, value));
    }

    /// Removes the least recently used eighth. A sweep is expensive, so it should not be needed often.
    fn make_room(&mut self) {
        let mut used: Vec<u64> = self.entries.values().map(|(used, _)| *used).collect();
        let last_to_go = (self.capacity / 8).min(used.len().saturating_sub(1));
        let (_, limit, _) = used.select_nth_unstable(last_to_go);
        let limit = *limit;
        self.entries.retain(|_, (used, _)| *used > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn the_least_recently_used_entries_are_removed() {
        let mut recent = Recent::new(16);
        for key in 0..16 {
            recent.put(key, key);
        }
        assert_eq!(recent.get(&0), Some(&mut 0), "used again");
        recent.put(16, 16);
        assert!(recent.entries.len() <= 16);
        assert!(recent.get(&0).is_some() && recent.get(&16).is_some());
        assert!(recent.get(&1).is_none());
    }

    #[test]
    fn never_exceeds_its_capacity() {
        for capacity in [1, 2, 7, 8, 100] {
            let mut recent = Recent::new(capacity);
            for key in 0..1000 {
                recent.put(key, ());
                assert!(recent.entries.len() <= capacity);
                assert!(recent.get(&key).is_some());
            }
        }
    }
}
