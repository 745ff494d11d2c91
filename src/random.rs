//! Random numbers for names and jitter, passed as a value so that tests are repeatable.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// A source of random numbers. Clones share it.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Random {
    /// Unpredictable numbers. The standard library seeds its hashers at random, which is sufficient for names and jitter and
    /// needs no dependency.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| RandomState::new().hash_one(()))
    }

    /// The numbers that `next` returns, one after another.
    pub fn new(next: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    /// The next number.
    #[must_use]
    pub fn number(&self) -> u64 {
        (self.0)()
    }

    /// The next number as a fraction of 1: at least 0 and below 1.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        let high = u32::try_from(self.number() >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_below_one() {
        assert_eq!(Random::new(|| 0).fraction(), 0.0);
        let largest = Random::new(|| u64::MAX).fraction();
        assert!(largest > 0.999 && largest < 1.0, "{largest}");
        assert_eq!(Random::new(|| 1 << 63).fraction(), 0.5);
    }
}
