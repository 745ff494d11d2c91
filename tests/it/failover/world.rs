//! A simulation of a primary of ten replicas and its standbys, in steps of half a second.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use plimsoll_api::{FailoverCode, FailoverState as State, FailoverStatus, KpiState, Validated};
use plimsoll_engine::{
    Capacity, FailoverDecision, FailoverInput, ManualOverride, Memory, Observation, Pods, Sample,
    StandbySeen, Volume, alone, turn,
};

use crate::fixtures::spec;

pub const B: &str = "{name: b, service: {name: b, port: 80}}";
pub const C: &str = "{name: c, address: {host: 192.0.2.7, port: 80}}";
const SIGNS: &str = "leave: {when: [{readyRatioBelow: '0.5'}, {kpi: errors, above: '0.2'}]}";

pub fn shop(backends: &str, more: &str) -> Validated {
    shop_in("Auto", backends, more)
}

pub fn shop_in(mode: &str, backends: &str, more: &str) -> Validated {
    service(mode, "{provider: HAProxy, targetPort: 80, listeners: [{port: 80}]}", backends, more)
}

/// The same with the weights of a Gateway.
pub fn shop_at_gateway(mode: &str, more: &str) -> Validated {
    service(mode, "{provider: Gateway, gateway: {httpRoute: shop, rule: main}}", B, more)
}

fn service(mode: &str, traffic: &str, backends: &str, more: &str) -> Validated {
    spec(&format!(
        "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 60, period: 15s, mode: {mode}, \
         kpis: [{{name: errors, type: Load, query: up, perReplica: '1'}}], \
         traffic: {traffic}, \
         failover: {{backends: [{backends}], {SIGNS}, {more}}}}}"
    ))
}

/// A service with returns after 5 s.
pub fn quick() -> Validated {
    shop(B, "return: {for: 5s}")
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
}

/// A standby whose ScalableService follows its claims, one replica after the other.
pub struct Far {
    pub seen: StandbySeen,
    /// Milliseconds until the next replica is ready.
    pub pace: i64,
    pub since: i64,
}

pub fn far(name: &str, most: i32, pace: i64) -> Far {
    let capacity = Some(Capacity { ready: 2, own: 2, most });
    let addresses = vec!["192.0.2.1:80".parse().unwrap()];
    Far { seen: StandbySeen { name: name.to_owned(), addresses, trouble: None, capacity }, pace, since: 0 }
}

/// A primary of ten replicas and its standbys, in steps of half a second.
pub struct World {
    pub spec: Validated,
    pub memory: Memory,
    pub last_written: Option<FailoverStatus>,
    pub millis: i64,
    pub replicas: i32,
    pub ready: i32,
    pub errors: (KpiState, f64),
    /// Requests behind the errors, and the range of the query.
    pub volume: Volume,
    pub reach: SignedDuration,
    /// Scrape targets behind the errors.
    pub targets: Option<u32>,
    /// Milliseconds between two scrapes, and the jitter of a scrape's time between turns.
    pub scrapes: (i64, i64),
    pub fars: Vec<Far>,
    pub manual_override: Option<ManualOverride>,
    pub correlated_failures: bool,
    pub due: i64,
    pub last: Option<FailoverDecision>,
    /// The active backend after each change, with its time.
    pub moves: Vec<(i64, String)>,
}

impl World {
    pub fn new(spec: Validated) -> Self {
        let mut world = Self::young(spec);
        world.run(60_000);
        world
    }

    /// The same before the first turn.
    pub fn young(spec: Validated) -> Self {
        Self {
            spec,
            memory: Memory::default(),
            last_written: None,
            millis: 0,
            replicas: 10,
            ready: 10,
            errors: (KpiState::Fresh, 0.0),
            volume: Volume::Uncounted,
            reach: SignedDuration::ZERO,
            targets: None,
            scrapes: (1000, 0),
            fars: vec![far("b", 60, 1000), far("c", 60, 1000)],
            manual_override: None,
            correlated_failures: false,
            due: 0,
            last: None,
            moves: Vec::new(),
        }
    }

    pub fn sample(&self) -> Sample {
        let (state, value) = self.errors;
        let (every, jitter) = self.scrapes;
        let jitter = if self.millis / 500 % 2 == 0 { jitter } else { -jitter };
        let scraped = at(self.millis / every * every + jitter);
        match state {
            KpiState::Fresh => Sample {
                targets: self.targets,
                volume: self.volume.clone(),
                reach: self.reach,
                ..Sample::fresh(value, scraped)
            },
            state => Sample::unusable(state, "not there"),
        }
    }

    pub fn seen(&self) -> Observation {
        Observation {
            replicas: self.replicas,
            pods: Pods::Counted { ready: self.ready },
            samples: BTreeMap::from([("errors".to_owned(), self.sample())]),
            failover: Some(FailoverInput {
                last_written: self.last_written.clone(),
                standbys: self.fars.iter().map(|far| far.seen.clone()).collect(),
                manual_override: self.manual_override.clone(),
                correlated_failures: self
                    .correlated_failures
                    .then(|| "default".to_owned())
                    .into_iter()
                    .collect::<BTreeSet<_>>(),
            }),
            ..Observation::default()
        }
    }

    pub fn look(&mut self) -> FailoverDecision {
        let seen = self.seen();
        let decision =
            turn(&self.spec, &seen, &mut self.memory, at(self.millis), &mut alone).failover.unwrap();
        let next = decision.next_look.map_or(15_000, |next| i64::try_from(next.as_millis()).unwrap());
        self.due = self.millis + next.min(15_000);
        if self
            .last_written
            .as_ref()
            .is_some_and(|last_written| last_written.active != decision.status.active)
        {
            self.moves.push((self.millis, decision.status.active.clone()));
        }
        self.last_written = Some(decision.status.clone());
        self.last = Some(decision.clone());
        decision
    }

    /// Half a second passes: the standbys follow their claims, and a turn takes place if it is due.
    pub fn step(&mut self) {
        self.millis += 500;
        for far in &mut self.fars {
            let last_written = self.last_written.iter().flat_map(|last_written| &last_written.backends);
            let asked = last_written
                .filter(|last_written| last_written.name == far.seen.name)
                .map(|last_written| last_written.replicas)
                .sum::<i32>();
            let Some(has) = &mut far.seen.capacity else { continue };
            if asked == 0 {
                (has.ready, far.since) = (has.own, self.millis);
            } else if has.ready < (has.own + asked).min(has.most) && self.millis - far.since >= far.pace {
                (has.ready, far.since) = (has.ready + 1, self.millis);
            }
        }
        if self.millis >= self.due {
            self.look();
        }
    }

    pub fn run(&mut self, millis: i64) -> FailoverDecision {
        let end = self.millis + millis;
        while self.millis < end {
            self.step();
        }
        self.last.clone().unwrap()
    }

    /// Sets the ready replicas of the primary. If they decrease, a turn takes place immediately, as in the controller.
    pub fn ready(&mut self, ready: i32) {
        let falls = ready < self.ready;
        self.ready = ready;
        if falls {
            self.look();
        }
    }

    pub fn restart(&mut self) {
        self.memory = Memory::default();
        self.due = self.millis;
    }

    pub fn state(&self) -> State {
        self.last.as_ref().unwrap().status.state
    }

    pub fn code(&self) -> FailoverCode {
        self.last.as_ref().unwrap().reason.code()
    }

    pub fn weight(&self, name: &str) -> i32 {
        let last_written = self.last_written.as_ref().unwrap();
        last_written.backends.iter().find(|known| known.name == name).unwrap().weight.into()
    }

    pub fn assert_state(&self, state: State, code: FailoverCode, weight: i32) {
        let found = (self.state(), self.code(), self.weight("b"));
        assert_eq!(found, (state, code, weight), "{:?}", self.last);
    }

    /// Runs until the state is reached. Returns the elapsed milliseconds.
    pub fn until(&mut self, state: State, limit: i64) -> i64 {
        let begin = self.millis;
        while self.state() != state {
            self.step();
            assert!(self.millis - begin <= limit, "not {state:?} within {limit} ms: {:?}", self.last);
        }
        self.millis - begin
    }

    /// Sets the ready replicas and maxReplicas of a standby that needs none itself.
    pub fn has(&mut self, far: usize, ready: i32, most: i32) {
        self.fars[far].seen.capacity = Some(Capacity { ready, own: 0, most });
    }

    pub fn trouble(&mut self, far: usize, trouble: Option<&str>) {
        self.fars[far].seen.trouble = trouble.map(str::to_owned);
    }
}

/// A service with all requests at `b`, because the primary is down.
pub fn away(spec: Validated) -> World {
    let mut world = World::new(spec);
    world.ready(0);
    world.until(State::Standby, 2000);
    world
}
