//! What calls for a look before it is due: what the watches show now, compared with what they showed in the last turn.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// What the watches show of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Each value as a hash, by what it is about. What shows nothing is left out.
    values: Vec<(&'static str, u64)>,
    /// What calls for a look whatever was shown before.
    called: Option<&'static str>,
    /// Of which values a change calls for a look.
    compared: Vec<&'static str>,
}

impl Signals {
    /// Notes a value, `None` for nothing, of which every change calls for a look.
    pub fn note(&mut self, about: &'static str, value: Option<impl Hash>) {
        self.note_if(true, about, value);
    }

    /// Notes a value of which a change calls for a look if `calls`, and is passed over otherwise.
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

    /// Calls for a look if `calls`, since what the last look found is not so any more.
    pub fn call_if(&mut self, calls: bool, about: &'static str) {
        if calls {
            self.called.get_or_insert(about);
        }
    }

    /// What calls for a look, if the signals of the last turn were `before`.
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
    fn a_change_calls_if_it_is_to_and_nothing_is_no_change() {
        let before = signals(&[("asked", Some("3"), true), ("drained", Some("a"), false)]);
        assert_eq!(before.cause(&before), None);
        assert_eq!(signals(&[("asked", None, true)]).cause(&before), Some("asked"), "it went away");
        let drained = |calls| signals(&[("asked", Some("3"), true), ("drained", Some("b"), calls)]);
        assert_eq!(drained(false).cause(&before), None);
        assert_eq!(drained(true).cause(&before), Some("drained"));
        let calm = signals(&[("asked", None, true), ("drained", None, true)]);
        assert_eq!(calm.cause(&Signals::default()), None, "the first turn has nothing to compare with");
    }

    #[test]
    fn what_differs_from_the_last_look_calls_also_where_the_last_turn_showed_it() {
        let mut signals = Signals::default();
        signals.call_if(false, "the pods");
        assert_eq!(signals.cause(&signals), None);
        signals.call_if(true, "the zones");
        assert_eq!(signals.cause(&signals), Some("the zones"));
    }
}
