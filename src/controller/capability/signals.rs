//! What calls for a look before it is due: a comparison of what the watches show now with what they showed in the last turn.

use std::collections::BTreeMap;

/// What the watches show of one service, by what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals(BTreeMap<&'static str, Signal>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Signal {
    /// Empty while there is nothing to see.
    value: String,
    /// Whether a change calls for a look.
    calls: bool,
}

impl Signals {
    /// Notes a value of which every change calls for a look.
    pub fn note(&mut self, about: &'static str, value: impl Into<String>) {
        self.note_if(true, about, value);
    }

    /// Notes a value of which a change calls for a look if `calls`, and is passed over otherwise.
    pub fn note_if(&mut self, calls: bool, about: &'static str, value: impl Into<String>) {
        self.0.insert(about, Signal { value: value.into(), calls });
    }

    /// What calls for a look, if the signals of the last turn were `before`.
    #[must_use]
    pub fn cause(&self, before: &Self) -> Option<&'static str> {
        let value = |about: &str| before.0.get(about).map_or("", |signal| signal.value.as_str());
        let mut changed =
            self.0.iter().filter(|(about, signal)| signal.calls && signal.value != value(about));
        changed.next().map(|(about, _)| *about)
    }
}

#[cfg(test)]
mod tests {
    use super::Signals;

    fn signals(values: &[(&'static str, &str, bool)]) -> Signals {
        let mut signals = Signals::default();
        values.iter().for_each(|(about, value, calls)| signals.note_if(*calls, about, *value));
        signals
    }

    #[test]
    fn a_change_calls_if_it_is_to_and_nothing_is_no_change() {
        let before = signals(&[("asked", "3", true), ("drained", "a", false)]);
        assert_eq!(before.cause(&before), None);
        assert_eq!(signals(&[("asked", "", true)]).cause(&before), Some("asked"), "it went away");
        assert_eq!(signals(&[("asked", "3", true), ("drained", "b", false)]).cause(&before), None);
        assert_eq!(signals(&[("asked", "3", true), ("drained", "b", true)]).cause(&before), Some("drained"));
        let calm = signals(&[("asked", "", true), ("drained", "", true)]);
        assert_eq!(calm.cause(&Signals::default()), None, "the first turn has nothing to compare with");
    }
}
