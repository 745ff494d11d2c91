//! A service from YAML, driven through time.

use jiff::{SignedDuration, Timestamp};
use plimsoll_api::{DecisionCode, ScalableServiceSpec, Validated};
use plimsoll_engine::{Change, Decision, Memory, Observation, Pods, Sample, alone, turn};

/// The spec of a YAML text, validated.
pub fn spec(yaml: &str) -> Validated {
    Validated::new(&parse(yaml)).unwrap()
}

/// The spec of a YAML text.
pub fn parse(yaml: &str) -> ScalableServiceSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// A service whose decisions are applied immediately.
pub struct Driven {
    pub spec: Validated,
    pub memory: Memory,
    pub replicas: i32,
    pub ready: i32,
    pub now: Timestamp,
}

impl Driven {
    /// With `replicas` ready replicas, before the first turn.
    pub fn new(yaml: &str, replicas: i32) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Self { spec: spec(yaml), memory: Memory::default(), replicas, ready: replicas, now }
    }

    /// Evaluates after `seconds`; every replica is ready by then.
    pub fn look(&mut self, seconds: i64, samples: &[(&str, Sample)]) -> Decision {
        self.ready = self.replicas;
        self.look_as_it_is(seconds, samples)
    }

    /// Evaluates after `seconds`, with `self.ready` ready replicas.
    pub fn look_as_it_is(&mut self, seconds: i64, samples: &[(&str, Sample)]) -> Decision {
        self.now += SignedDuration::from_secs(seconds);
        let stamp = |sample: &Sample| Sample { at: sample.at.map(|_| self.now), ..sample.clone() };
        let seen = Observation {
            replicas: self.replicas,
            pods: Pods::Counted { ready: self.ready },
            samples: samples.iter().map(|(name, sample)| ((*name).to_owned(), stamp(sample))).collect(),
            ..Observation::default()
        };
        let decision = turn(&self.spec, &seen, &mut self.memory, self.now, &mut alone).decision;
        let last = decision.reasons.last().unwrap().code();
        if matches!(last, DecisionCode::ScaledUp | DecisionCode::ScaledDown) {
            self.memory.changed(Change { at: self.now, from: self.replicas, to: decision.replicas });
            self.replicas = decision.replicas;
        }
        decision
    }
}

/// A fresh sample.
pub fn fresh(value: f64) -> Sample {
    Sample::fresh(value, Timestamp::UNIX_EPOCH)
}
