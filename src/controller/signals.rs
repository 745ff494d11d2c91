//! Triggers of an evaluation before it is due: changes of observed values since the last turn.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// The observed values of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Hash of each value, by its subject. Absent values are left out.
    values: Vec<(&'static str, u64)>,
    /// Subject that triggers an evaluation regardless of the last turn.
    called: Option<&'static str>,
    /// Subjects whose changes trigger an evaluation.
    compared: Vec<&'static str>,
}

impl Signals {
    /// Adds a value, `None` if absent, whose changes trigger an evaluation.
    pub fn note(&mut self, about: &'static str, value: Option<impl Hash>) {
        self.note_if(true, about, value);
    }

    /// Adds a value whose changes trigger an evaluation only if `calls`.
    pub fn note_if(&mut self, calls: bool, about: &'static str, value: Option<impl Hash>) {
        if calls {
            self.compared.push(about);
        }
        if let Some(value) = value {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            self.values.push((about, hasher.finish()));
        }
    }

    /// Triggers an evaluation if `calls`: the last one is outdated.
    pub fn call_if(&mut self, calls: bool, about: &'static str) {
        if calls {
            self.called.get_or_insert(about);
        }
    }

    /// The subject that triggers an evaluation, if any; `before` has the signals of the last turn.
    #[must_use]
    pub fn cause(&self, before: &Self) -> Option<&'static str> {
        let changed = |about: &&&'static str| self.value(about) != before.value(about);
        self.called.or_else(|| self.compared.iter().find(changed).copied())
    }

    fn value(&self, about: &str) -> Option<u64> {
        self.values.iter().find(|(known, _)| *known == about).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::Signals;

    fn signals(values: &[(&'static str, Option<&str>, bool)]) -> Signals {
        let mut signals = Signals::default();
        values.iter().for_each(|(about, value, calls)| signals.note_if(*calls, about, *value));
        signals
    }

    #[test]
    fn only_a_change_of_a_compared_value_triggers_an_evaluation() {
        let before = signals(&[("asked", Some("3"), true), ("drained", Some("a"), false)]);
        assert_eq!(before.cause(&before), None);
        assert_eq!(signals(&[("asked", None, true)]).cause(&before), Some("asked"), "the value is gone");
        let drained = |calls| signals(&[("asked", Some("3"), true), ("drained", Some("b"), calls)]);
        assert_eq!(drained(false).cause(&before), None);
        assert_eq!(drained(true).cause(&before), Some("drained"));
        let calm = signals(&[("asked", None, true), ("drained", None, true)]);
        assert_eq!(calm.cause(&Signals::default()), None, "the first turn has nothing to compare with");
    }

    #[test]
    fn an_explicit_trigger_does_not_depend_on_the_last_turn() {
        let mut signals = Signals::default();
        signals.call_if(false, "the pods");
        assert_eq!(signals.cause(&signals), None);
        signals.call_if(true, "the zones");
        assert_eq!(signals.cause(&signals), Some("the zones"));
    }
}
