//! Failover: stories with numbers, and what holds for every course of events.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll::{
    api::{FailoverState as State, FailoverStatus, KpiState, ReasonCode, SignRule, StandbyStatus, Validated},
    engine::{Capacity, Memory, Observation, Order, Pods, Sample, Shift, StandbySeen, Standing, fail_over},
};
use proptest::prelude::*;

use super::fixtures::spec;

const B: &str = "{name: b, service: {name: b, port: 80}}";
const C: &str = "{name: c, address: {host: 192.0.2.7, port: 80}}";
const SIGNS: &str = "leave: {when: [{readyRatioBelow: '0.5'}, {kpi: errors, above: '0.2'}]}";

fn shop(backends: &str, more: &str) -> Validated {
    shop_in("Auto", backends, more)
}

fn shop_in(mode: &str, backends: &str, more: &str) -> Validated {
    spec(&format!(
        "{{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 60, period: 15s, mode: {mode}, \
         kpis: [{{name: errors, type: Load, query: up, perReplica: '1'}}], \
         traffic: {{provider: HAProxy, targetPort: 80, listeners: [{{port: 80}}]}}, \
         failover: {{backends: [{backends}], {SIGNS}, {more}}}}}"
    ))
}

/// With returns after 5 s.
fn quick() -> Validated {
    shop(B, "return: {for: 5s}")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
}

/// A standby whose ScalableService does what it is asked for, a replica after the other.
struct Far {
    seen: StandbySeen,
    /// A replica is ready every so many milliseconds.
    pace: i64,
    since: i64,
}

fn far(name: &str, most: i32, pace: i64) -> Far {
    let capacity = Some(Capacity { ready: 2, own: 2, most });
    let address = Some("192.0.2.1:80".to_owned());
    Far { seen: StandbySeen { name: name.to_owned(), address, trouble: None, capacity }, pace, since: 0 }
}

/// A primary of ten replicas and its standbys, half a second after the other.
struct World {
    spec: Validated,
    memory: Memory,
    told: Option<FailoverStatus>,
    millis: i64,
    replicas: i32,
    ready: i32,
    errors: (KpiState, f64),
    fars: Vec<Far>,
    order: Option<Order>,
    crowded: bool,
    due: i64,
    last: Option<Shift>,
    /// Where requests went, whenever that changed.
    moves: Vec<(i64, String)>,
}

impl World {
    fn new(spec: Validated) -> Self {
        let mut world = Self {
            spec,
            memory: Memory::default(),
            told: None,
            millis: 0,
            replicas: 10,
            ready: 10,
            errors: (KpiState::Fresh, 0.0),
            fars: vec![far("b", 60, 1000), far("c", 60, 1000)],
            order: None,
            crowded: false,
            due: 0,
            last: None,
            moves: Vec::new(),
        };
        world.run(60_000);
        world
    }

    fn sample(&self) -> Sample {
        let (state, value) = self.errors;
        // Prometheus scrapes once a second.
        let scraped = at(self.millis / 1000 * 1000);
        match state {
            KpiState::Fresh => Sample::fresh(value, scraped),
            state => Sample::unusable(state, "not there"),
        }
    }

    fn seen(&self) -> Observation {
        Observation {
            replicas: self.replicas,
            pods: Pods::Counted { ready: self.ready },
            samples: BTreeMap::from([("errors".to_owned(), self.sample())]),
            standing: Some(Standing {
                told: self.told.clone(),
                standbys: self.fars.iter().map(|far| far.seen.clone()).collect(),
                order: self.order.clone(),
                crowded: self.crowded,
            }),
            ..Observation::default()
        }
    }

    fn look(&mut self) -> Shift {
        let seen = self.seen();
        let shift = fail_over(&self.spec, &seen, &mut self.memory, at(self.millis)).unwrap();
        let next = shift.next_look.map_or(15_000, |next| i64::try_from(next.as_millis()).unwrap());
        self.due = self.millis + next.min(15_000);
        if self.told.as_ref().is_some_and(|told| told.active != shift.status.active) {
            self.moves.push((self.millis, shift.status.active.clone()));
        }
        self.told = Some(shift.status.clone());
        self.last = Some(shift.clone());
        shift
    }

    /// Half a second passes: standbys and the primary come as asked, and who is due looks.
    fn step(&mut self) {
        self.millis += 500;
        for far in &mut self.fars {
            let told = self.told.iter().flat_map(|told| &told.backends);
            let asked = told.filter(|told| told.name == far.seen.name).map(|told| told.replicas).sum::<i32>();
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

    fn run(&mut self, millis: i64) -> Shift {
        let end = self.millis + millis;
        while self.millis < end {
            self.step();
        }
        self.last.clone().unwrap()
    }

    /// The primary has so many ready replicas; the shell looks at once when they fall.
    fn ready(&mut self, ready: i32) {
        let falls = ready < self.ready;
        self.ready = ready;
        if falls {
            self.look();
        }
    }

    fn restart(&mut self) {
        self.memory = Memory::default();
        self.due = self.millis;
    }

    fn state(&self) -> State {
        self.last.as_ref().unwrap().status.state
    }

    fn code(&self) -> ReasonCode {
        self.last.as_ref().unwrap().reasons[0].code
    }

    fn weight(&self, name: &str) -> i32 {
        let told = self.told.as_ref().unwrap();
        told.backends.iter().find(|known| known.name == name).unwrap().weight
    }

    fn stands(&self, state: State, code: ReasonCode, weight: i32) {
        let found = (self.state(), self.code(), self.weight("b"));
        assert_eq!(found, (state, code, weight), "{:?}", self.last);
    }

    /// Runs until it stands so; the milliseconds that took.
    fn until(&mut self, state: State, limit: i64) -> i64 {
        let begin = self.millis;
        while self.state() != state {
            self.step();
            assert!(self.millis - begin <= limit, "not {state:?} within {limit} ms: {:?}", self.last);
        }
        self.millis - begin
    }

    fn trouble(&mut self, far: usize, trouble: Option<&str>) {
        self.fars[far].seen.trouble = trouble.map(str::to_owned);
    }
}

/// Requests are all at `b`, since the primary is dead.
fn away(spec: Validated) -> World {
    let mut world = World::new(spec);
    world.ready(0);
    world.until(State::Standby, 2000);
    world
}

#[test]
fn a_dead_primary_is_left_within_two_seconds() {
    let mut world = World::new(quick());
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    world.ready(0);
    world.stands(State::Suspect, ReasonCode::PrimaryFailing, 0);
    assert!(world.until(State::Standby, 2000) >= 1000, "three samples");
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    let told = world.told.clone().unwrap();
    assert_eq!((told.active.as_str(), told.backends[0].replicas, told.switches.len()), ("b", 10, 1));
    assert!(world.last.unwrap().reasons[0].detail.as_ref().unwrap().contains("0 of 10"));
}

#[test]
fn one_that_degrades_is_left_as_the_standby_gets_ready_and_no_faster() {
    let mut world = World::new(quick());
    world.errors = (KpiState::Fresh, 0.3);
    world.until(State::Shifting, 15_000 + 4000);
    world.stands(State::Shifting, ReasonCode::MovingToStandby, 0);
    assert_eq!(world.told.as_ref().unwrap().backends[0].replicas, 10, "asked first");
    let mut before = 0;
    while world.state() == State::Shifting {
        let share = (world.fars[0].seen.capacity.unwrap().ready - 2) * 10;
        let weight = world.weight("b");
        assert!(weight <= share && weight >= before, "{before} -> {weight} with {share}");
        before = weight;
        world.step();
    }
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
}

#[test]
fn replicas_that_start_stop_or_are_replaced_are_no_failure() {
    let mut world = World::new(quick());
    for (replicas, ready) in
        [(4, 10), (4, 4), (40, 4), (40, 20), (40, 40), (40, 30), (40, 40), (4, 40), (4, 4)]
    {
        (world.replicas, world.ready) = (replicas, ready);
        world.look();
        world.run(20_000);
        world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    }
    for (replicas, ready) in [(0, 4), (0, 0), (5, 0), (5, 1), (5, 5)] {
        (world.replicas, world.ready) = (replicas, ready);
        world.look();
        world.run(20_000);
        world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    }
    assert!(world.moves.is_empty());
}

#[test]
fn they_come_back_by_the_ramp_once_the_primary_has_the_replicas() {
    let mut world = away(shop(B, "return: {for: 60s}"));
    world.run(120_000);
    // Without requests it was scaled down meanwhile.
    (world.replicas, world.ready) = (1, 1);
    let took = world.until(State::Returning, 70_000);
    assert!(took >= 60_000, "after {took} ms");
    assert_eq!(
        (world.weight("b"), world.last.as_ref().unwrap().floor),
        (90, 5),
        "one replica is there for 10 %"
    );
    world.run(120_000);
    world.stands(State::Returning, ReasonCode::MovingToPrimary, 90);
    assert!(world.last.as_ref().unwrap().reasons[0].detail.as_ref().unwrap().contains("1 of 5"));
    (world.replicas, world.ready) = (5, 5);
    world.run(1000);
    assert_eq!((world.weight("b"), world.last.as_ref().unwrap().floor), (50, 10));
    (world.replicas, world.ready) = (10, 10);
    world.run(28_000);
    assert_eq!(world.weight("b"), 50, "each step stands for 30 s");
    world.run(2500);
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    let told = world.told.clone().unwrap();
    assert_eq!((told.switches.len(), told.hold_until, told.backends[0].replicas), (2, None, 0));
}

#[test]
fn a_relapse_within_the_ramp_takes_all_back_and_doubles_the_hold() {
    let mut world = away(shop(B, "return: {for: 60s}, maxSwitchesPerHour: 6"));
    world.ready(10);
    world.until(State::Returning, 80_000);
    world.ready(3);
    assert!(world.until(State::Standby, 2000) <= 2000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    let told = world.told.clone().unwrap();
    let hold = told.hold_until.unwrap().0.duration_since(told.switches.last().unwrap().0);
    assert_eq!(hold, SignedDuration::from_secs(120));
    world.ready(10);
    world.run(110_000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    world.until(State::Returning, 15_000);
}

#[test]
fn after_a_return_only_new_samples_count() {
    let mut world = away(shop(B, "return: {for: 1s}"));
    world.run(15_000);
    world.ready(10);
    world.until(State::Returning, 10_000);
    world.ready(3);
    assert_eq!(world.state(), State::Returning, "one bad sample; those before are forgotten");
    assert!((1000..=2000).contains(&world.until(State::Standby, 2000)));
}

#[test]
fn one_that_flaps_is_held_at_the_standby() {
    let mut world = World::new(quick());
    let mut held = 0;
    for _ in 0..15 {
        world.ready(0);
        world.run(20_000);
        world.ready(10);
        world.run(20_000);
        held += i32::from(world.code() == ReasonCode::SwitchLimit);
    }
    assert_eq!(world.moves.iter().map(|(_, to)| to.as_str()).collect::<Vec<_>>(), ["b", "primary", "b"]);
    world.stands(State::Held, ReasonCode::SwitchLimit, 100);
    let reason = world.last.as_ref().unwrap().reasons[0].clone();
    assert_eq!((reason.number("switches"), reason.number("maxSwitches")), (Some(3.0), Some(3.0)));
    assert!(held > 10);
    world.run(3_600_000);
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
}

#[test]
fn without_prometheus_nothing_moves() {
    for state in [KpiState::Error, KpiState::Stale, KpiState::Partial] {
        let mut world = World::new(quick());
        world.errors = (state, 0.9);
        world.run(300_000);
        world.stands(State::Frozen, ReasonCode::EvidenceUnknown, 0);
        let mut world = away(quick());
        world.errors = (state, 0.0);
        world.ready(10);
        world.run(300_000);
        world.stands(State::Frozen, ReasonCode::EvidenceUnknown, 100);
        let mut world = World::new(quick());
        world.errors = (KpiState::Fresh, 0.3);
        while world.weight("b") != 40 {
            world.step();
        }
        world.errors = (state, 0.0);
        world.run(300_000);
        world.stands(State::Frozen, ReasonCode::EvidenceUnknown, 40);
        world.errors = (KpiState::Fresh, 0.0);
        assert!(world.until(State::Primary, 60_000) > 5000);
    }
    let mut dead = World::new(quick());
    dead.errors = (KpiState::Error, 0.0);
    dead.ready(0);
    dead.until(State::Standby, 2000);
}

#[test]
fn a_kpi_without_requests_does_not_keep_them_away() {
    for state in [KpiState::Empty, KpiState::NaN] {
        let mut world = away(quick());
        world.errors = (state, 0.0);
        world.ready(10);
        world.until(State::Primary, 60_000);
    }
}

#[test]
fn a_lost_standby_is_left_for_the_next_or_for_the_primary() {
    let both = format!("{B}, {C}");
    let mut world = away(shop(&both, "return: {for: 60s}"));
    world.run(10_000);
    world.trouble(0, Some("its checks fail"));
    world.run(5000);
    assert_eq!((world.weight("b"), world.weight("c"), world.state()), (0, 100, State::Standby));
    let mut world = away(quick());
    world.trouble(0, Some("its checks fail"));
    world.run(10_000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    world.ready(3);
    world.run(5000);
    assert_eq!(world.weight("b"), 0, "three that serve are better than none");
    world.stands(State::Suspect, ReasonCode::NoStandbyReady, 0);
    let mut world = away(shop(B, "return: {for: 60s}"));
    world.ready(10);
    world.until(State::Returning, 70_000);
    world.trouble(0, Some("its checks fail"));
    world.run(3000);
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    assert_eq!(world.told.unwrap().switches.len(), 2);
}

#[test]
fn without_a_standby_requests_stay() {
    let mut world = World::new(quick());
    world.trouble(0, Some("its checks fail"));
    world.ready(0);
    world.run(10_000);
    world.stands(State::Suspect, ReasonCode::NoStandbyReady, 0);
    let shift = world.last.clone().unwrap();
    assert!(shift.reasons[0].detail.as_ref().unwrap().contains("its checks fail"));
    assert_eq!(shift.ready.code, ReasonCode::StandbyNotReady);
    world.trouble(0, None);
    world.fars[0].seen.address = None;
    world.run(1000);
    world.stands(State::Suspect, ReasonCode::NoStandbyReady, 0);
    assert!(world.last.as_ref().unwrap().ready.detail.as_ref().unwrap().contains("address"));
    world.fars[0].seen.address = Some("192.0.2.1:80".to_owned());
    world.run(1000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
}

#[test]
fn the_dead_are_left_also_where_only_a_kpi_is_looked_at() {
    let mut spec = shop(B, "return: {for: 60s}");
    spec.failover.as_mut().unwrap().signs.retain(|sign| matches!(sign, SignRule::KpiAbove { .. }));
    let mut world = World::new(spec);
    world.errors = (KpiState::Empty, 0.0);
    world.run(10_000);
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    world.ready(0);
    world.until(State::Standby, 2000);
}

#[test]
fn one_kpi_does_not_move_the_fleet_but_the_dead_are_left() {
    let mut world = World::new(quick());
    world.crowded = true;
    world.errors = (KpiState::Fresh, 0.9);
    world.run(30_000);
    world.stands(State::Suspect, ReasonCode::FleetLimit, 0);
    world.ready(0);
    world.until(State::Standby, 2000);
}

#[test]
fn a_person_moves_freezes_and_starts_the_count_anew() {
    let mut world = World::new(quick());
    world.order = Some(Order::To("b".to_owned()));
    world.run(60_000);
    world.stands(State::Standby, ReasonCode::MovedByAnnotation, 100);
    world.order = Some(Order::Freeze("audit".to_owned()));
    world.run(60_000);
    world.stands(State::Frozen, ReasonCode::FrozenByAnnotation, 100);
    assert_eq!(world.last.as_ref().unwrap().reasons[0].detail.as_deref(), Some("audit"));
    world.order = Some(Order::To("nobody".to_owned()));
    world.run(60_000);
    world.stands(State::Frozen, ReasonCode::FrozenByAnnotation, 100);
    assert!(world.last.as_ref().unwrap().reasons[0].detail.as_ref().unwrap().contains("primary, b"));
    world.order = Some(Order::To("primary".to_owned()));
    world.run(120_000);
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
    assert_eq!(world.told.as_ref().unwrap().obeyed.as_deref(), Some("primary"), "the evidence decides again");
    for _ in 0..3 {
        for to in ["b", "primary"] {
            world.order = Some(Order::To(to.to_owned()));
            world.run(60_000);
        }
    }
    world.order = None;
    world.ready(0);
    world.until(State::Standby, 2000);
}

#[test]
fn by_hand_from_one_standby_to_the_next_nothing_is_dropped() {
    let both = format!("{B}, {C}");
    let mut world = away(shop(&both, "return: {for: 60s}"));
    world.run(20_000);
    world.order = Some(Order::To("c".to_owned()));
    while world.weight("c") < 100 {
        world.step();
        assert_eq!(world.weight("b") + world.weight("c"), 100, "the primary is dead");
        let ready = world.fars[1].seen.capacity.unwrap().ready - 2;
        assert!(world.weight("c") <= ready * 10);
    }
    assert!(world.moves.len() == 2);
}

#[test]
fn by_hand_they_come_back_only_by_hand() {
    let mut world = away(shop(B, "return: {for: 5s, mode: Manual}"));
    world.ready(10);
    world.run(600_000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    world.order = Some(Order::To("primary".to_owned()));
    world.run(60_000);
    world.order = None;
    world.run(60_000);
    world.stands(State::Primary, ReasonCode::PrimaryServes, 0);
}

#[test]
fn modes_that_do_not_act_move_nothing() {
    let mut world = World::new(shop_in("Observe", B, "return: {for: 5s}"));
    world.ready(0);
    world.run(10_000);
    world.stands(State::Suspect, ReasonCode::Observing, 0);
    let mut world = away(quick());
    world.spec = shop_in("Paused", B, "return: {for: 5s}");
    world.ready(10);
    world.run(600_000);
    world.stands(State::Frozen, ReasonCode::Paused, 100);
}

#[test]
fn standbys_that_are_reordered_removed_or_renamed() {
    let mut world = away(shop(&format!("{B}, {C}"), "return: {for: 60s}"));
    world.spec = shop(&format!("{C}, {B}"), "return: {for: 60s}");
    world.run(4000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    world.spec = shop(C, "return: {for: 60s}");
    world.run(6000);
    assert_eq!((world.weight("c"), world.state()), (100, State::Standby), "the primary is dead");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut world = World::new(quick());
    world.ready(0);
    world.restart();
    world.until(State::Standby, 2000);
    world.restart();
    world.run(2000);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
    world.ready(10);
    world.restart();
    world.until(State::Returning, 10_000);
    world.restart();
    world.run(500);
    world.stands(State::Returning, ReasonCode::MovingToPrimary, 90);
    world.until(State::Primary, 20_000);
    world.errors = (KpiState::Fresh, 0.3);
    while world.weight("b") != 40 {
        world.step();
    }
    world.restart();
    world.run(1000);
    assert!((40..=50).contains(&world.weight("b")) && world.state() == State::Shifting);
    world.errors = (KpiState::Fresh, 0.0);
    world.run(60_000);
    world.stands(State::Held, ReasonCode::SwitchLimit, 100);
    world.restart();
    world.run(60_000);
    world.stands(State::Held, ReasonCode::SwitchLimit, 100);
    assert_eq!(world.moves.len(), 3);
}

#[test]
fn a_standby_that_is_too_small_is_named_and_gets_what_fits() {
    let mut world = World::new(quick());
    world.fars[0].seen.capacity = Some(Capacity { ready: 2, own: 2, most: 8 });
    world.errors = (KpiState::Fresh, 0.3);
    let shift = world.run(60_000);
    world.stands(State::Shifting, ReasonCode::MovingToStandby, 60);
    assert_eq!(shift.ready.code, ReasonCode::StandbyNotReady);
    assert_eq!(shift.ready.detail.as_deref(), Some("b: it can get 6 replicas for this, where 10 are needed"));
    world.ready(0);
    world.run(500);
    world.stands(State::Standby, ReasonCode::StandbyServes, 100);
}

#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    Ready(i32),
    Replicas(i32),
    Errors(KpiState, f64),
    Trouble(usize, bool),
    Order(Option<Order>),
    Restart,
    Crowded(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let state = prop_oneof![
        3 => Just(KpiState::Fresh),
        1 => prop_oneof![Just(KpiState::Stale), Just(KpiState::Empty), Just(KpiState::NaN), Just(KpiState::Error)],
    ];
    let order = prop_oneof![
        3 => Just(None),
        1 => prop_oneof![
            Just(Some(Order::Freeze(String::new()))),
            Just(Some(Order::To("b".to_owned()))),
            Just(Some(Order::To("c".to_owned()))),
            Just(Some(Order::To("primary".to_owned()))),
        ],
    ];
    let event = prop_oneof![
        6 => prop_oneof![500..4000i64, 4000..40_000i64, Just(600_000i64)].prop_map(Event::Pass),
        3 => prop_oneof![Just(0), Just(10), 0..11i32].prop_map(Event::Ready),
        1 => (0..30i32).prop_map(Event::Replicas),
        2 => (state, prop_oneof![Just(0.0), Just(0.9)]).prop_map(|(state, value)| Event::Errors(state, value)),
        2 => (0..3usize, any::<bool>()).prop_map(|(far, lost)| Event::Trouble(far, lost)),
        1 => order.prop_map(Event::Order),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(Event::Crowded),
    ];
    proptest::collection::vec(event, 1..25)
}

/// A status that anybody may have written.
fn told() -> impl Strategy<Value = FailoverStatus> {
    let time = prop_oneof![-8_000..8_000i64, Just(i64::MIN), Just(i64::MAX)].prop_map(|second| {
        let second = second.clamp(-377_705_023_000 - 1_800_000_000, 253_402_207_000 - 1_800_000_000);
        Time(Timestamp::from_second(1_800_000_000 + second).unwrap())
    });
    let name =
        prop_oneof![Just("b"), Just("c"), Just("d"), Just("primary"), Just("gone")].prop_map(str::to_owned);
    let backend =
        (name.clone(), any::<i32>(), 0..101i32, any::<bool>()).prop_map(|(name, wild, weight, tame)| {
            StandbyStatus {
                name,
                weight: if tame { weight } else { wild },
                replicas: wild,
                ..StandbyStatus::default()
            }
        });
    let times = proptest::collection::vec(time.clone(), 0..5);
    let backends = proptest::collection::vec(backend, 0..4);
    (name, any::<i32>(), times, proptest::option::of(time.clone()), backends, time).prop_map(
        |(active, expected_replicas, switches, hold_until, backends, since)| FailoverStatus {
            obeyed: None,
            state: State::Standby,
            since,
            active,
            expected_replicas,
            switches,
            hold_until,
            backends,
        },
    )
}

fn some_spec(standbys: usize, most: usize, lasting: i64, scaled: bool) -> World {
    let all = [B, C, "{name: d, service: {name: d, port: 80}}"];
    let mut world = World::new(shop(
        &all[..standbys].join(", "),
        &format!("return: {{for: {lasting}s}}, maxSwitchesPerHour: {most}"),
    ));
    world.fars.push(far("d", 60, 1000));
    if !scaled {
        world.fars.iter_mut().for_each(|far| far.seen.capacity = None);
    }
    world
}

/// What a look must keep to, whatever there was before.
#[derive(Default)]
struct Judge {
    switches: Vec<i64>,
    /// Looks with a bad sign since the last return or order.
    bad: usize,
}

impl Judge {
    fn look(&mut self, world: &mut World, most: usize) -> Result<(), TestCaseError> {
        let (before, seen, mut memory) = (world.told.clone().unwrap(), world.seen(), world.memory.clone());
        let expected = world.told.as_ref().unwrap().expected_replicas.max(world.ready).min(world.replicas);
        let shift = world.look();
        let again = fail_over(&world.spec, &seen, &mut memory, at(world.millis)).unwrap();
        prop_assert_eq!(&again, &shift);
        let after = &shift.status;
        let ordered = matches!(world.order, Some(Order::To(_)));
        let trouble =
            |name: &str| world.fars.iter().any(|far| far.seen.name == name && far.seen.trouble.is_some());
        let weight = |status: &FailoverStatus, name: &str| {
            status.backends.iter().find(|known| known.name == name).map_or(0, |known| known.weight)
        };
        let shares = after.backends.iter().filter(|known| known.weight > 0);
        let total: i32 = shares.clone().map(|known| known.weight).sum();
        prop_assert!(total <= 100 && shares.clone().all(|known| known.weight <= 100));
        prop_assert!(after.backends.iter().all(|known| known.weight >= 0 && known.replicas >= 0));
        prop_assert!(shares.clone().filter(|known| known.name != after.active).count() <= 1, "{after:?}");
        if after.active == "primary" && total == 0 {
            prop_assert!((0..=world.replicas).contains(&after.expected_replicas), "{after:?}");
        }
        for known in &after.backends {
            let more = known.weight > weight(&before, &known.name);
            let chosen = after.active == known.name && before.active != known.name && !ordered;
            prop_assert!(!(more || chosen) || !trouble(&known.name), "{before:?} -> {after:?}");
        }
        let errors = world.errors;
        let unknown = matches!(errors.0, KpiState::Error | KpiState::Stale);
        let calm = world.ready >= world.replicas && world.replicas > 0;
        let lost = trouble(&before.active)
            || before.backends.iter().any(|known| known.weight > 0 && trouble(&known.name));
        if unknown && calm && !ordered && !lost {
            prop_assert_eq!(&before.active, &after.active);
            prop_assert!(after.backends.iter().all(|known| known.weight == weight(&before, &known.name)));
        }
        let few = world.ready * 2 < expected.max(before.expected_replicas);
        self.bad += usize::from(few || (errors.0 == KpiState::Fresh && errors.1 > 0.2));
        if before.active != after.active {
            if ordered {
                self.switches.clear();
            } else if after.active == "primary" {
                let held = before.hold_until.as_ref().is_some_and(|until| until.0 > at(world.millis));
                prop_assert!(!held || lost, "a return before {:?}", before.hold_until);
            } else if before.active == "primary" {
                prop_assert!(self.bad >= 3, "left after {} bad samples", self.bad);
            }
            self.bad = if after.active == "primary" { 0 } else { self.bad };
            self.switches.push(world.millis);
            self.switches.retain(|at| world.millis - at < 3_600_000);
            // From where nothing is served one may always go.
            let nothing = lost || (before.active == "primary" && world.ready == 0);
            prop_assert!(self.switches.len() <= most || nothing, "{:?}", self.switches);
            let last_is_return = after.active == "primary" && self.switches.len() == most && !ordered;
            prop_assert!(!last_is_return || lost || most == 1);
        }
        Ok(())
    }
}

fn all_is_well(world: &mut World) -> Result<(), TestCaseError> {
    (world.order, world.crowded, world.errors) = (None, false, (KpiState::Fresh, 0.0));
    world.fars.iter_mut().for_each(|far| far.seen.trouble = None);
    world.millis += 3_700_000;
    for _ in 0..120 {
        world.millis += 1000;
        let floor = world.last.as_ref().map_or(0, |shift| shift.floor);
        world.replicas = world.replicas.max(floor).max(1);
        world.ready = world.replicas;
        world.look();
        if world.state() == State::Primary {
            break;
        }
    }
    let told = world.told.as_ref().unwrap();
    prop_assert!(told.active == "primary" && told.backends.iter().all(|known| known.weight == 0), "{told:?}");
    prop_assert_eq!(world.state(), State::Primary);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever happens: shares that add up, no more switches than allowed, nothing by what is unknown, nobody sent to
    /// a standby in trouble, no return within the hold, no relapse by old samples, and always a way back.
    #[test]
    fn safe_whatever_happens(
        events in events(), standbys in 1..4usize, most in 2..6usize, lasting in 1..20i64, scaled in any::<bool>(),
    ) {
        let mut world = some_spec(standbys, most, lasting, scaled);
        let mut judge = Judge::default();
        for event in events {
            match event {
                Event::Pass(millis) => {
                    // Ten looks at most, however long it is.
                    let pause = (millis / 10 / 500 * 500).max(500);
                    for _ in 0..(millis / pause) {
                        world.due = i64::MAX;
                        world.run(pause);
                        judge.look(&mut world, most)?;
                    }
                }
                Event::Ready(ready) => world.ready = ready.min(world.replicas),
                Event::Replicas(replicas) => {
                    world.replicas = replicas;
                    world.ready = world.ready.min(replicas);
                }
                Event::Errors(state, value) => world.errors = (state, value),
                Event::Trouble(index, lost) => world.trouble(index, lost.then_some("lost")),
                Event::Order(order) => world.order = order,
                Event::Restart => world.memory = Memory::default(),
                Event::Crowded(crowded) => world.crowded = crowded,
            }
        }
        all_is_well(&mut world)?;
    }

    /// Whatever status says: no panic, shares that add up, and a way back.
    #[test]
    fn a_way_back_from_any_status(told in told(), standbys in 1..4usize, ready in 0..11i32, replicas in 0..70i32) {
        let mut world = some_spec(standbys, 3, 5, true);
        (world.told, world.ready, world.replicas) = (Some(told), ready, replicas);
        for _ in 0..10 {
            world.millis += 500;
            let shares: Vec<i32> = world.look().status.backends.iter().map(|known| known.weight).collect();
            prop_assert!(shares.iter().all(|share| (0..=100).contains(share)) && shares.iter().sum::<i32>() <= 100);
        }
        all_is_well(&mut world)?;
    }
}
