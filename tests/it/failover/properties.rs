//! Properties of every sequence of events.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_api::{FailoverState as State, FailoverStatus, KpiState, Percent, StandbyStatus};
use plimsoll_engine::{ManualOverride, Memory, alone, turn};
use proptest::prelude::*;

use super::world::{B, C, World, at, far, shop};

#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    Ready(i32),
    Replicas(i32),
    Errors(KpiState, f64),
    Trouble(usize, bool),
    ManualOverride(Option<ManualOverride>),
    Restart,
    CorrelatedFailures(bool),
    /// A standby loses all of its replicas, but its balancers answer.
    Empty(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let state = prop_oneof![
        3 => Just(KpiState::Fresh),
        1 => prop_oneof![Just(KpiState::Stale), Just(KpiState::Empty), Just(KpiState::NaN), Just(KpiState::Error)],
    ];
    let manual_override = prop_oneof![
        3 => Just(None),
        1 => prop_oneof![
            Just(Some(ManualOverride::Freeze(String::new()))),
            Just(Some(ManualOverride::To("b".to_owned()))),
            Just(Some(ManualOverride::To("c".to_owned()))),
            Just(Some(ManualOverride::To("primary".to_owned()))),
        ],
    ];
    let event = prop_oneof![
        6 => prop_oneof![500..4000i64, 4000..40_000i64, Just(600_000i64)].prop_map(Event::Pass),
        3 => prop_oneof![Just(0), Just(10), 0..11i32].prop_map(Event::Ready),
        1 => (0..30i32).prop_map(Event::Replicas),
        2 => (state, prop_oneof![Just(0.0), Just(0.9)]).prop_map(|(state, value)| Event::Errors(state, value)),
        2 => (0..3usize, any::<bool>()).prop_map(|(far, lost)| Event::Trouble(far, lost)),
        1 => manual_override.prop_map(Event::ManualOverride),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(Event::CorrelatedFailures),
        1 => (0..3usize).prop_map(Event::Empty),
    ];
    proptest::collection::vec(event, 1..25)
}

/// An arbitrary status.
fn last_written() -> impl Strategy<Value = FailoverStatus> {
    let time = prop_oneof![-8_000..8_000i64, Just(i64::MIN), Just(i64::MAX)].prop_map(|second| {
        let second = second.clamp(-377_705_023_000 - 1_800_000_000, 253_402_207_000 - 1_800_000_000);
        Time(Timestamp::from_second(1_800_000_000 + second).unwrap())
    });
    let name =
        prop_oneof![Just("b"), Just("c"), Just("d"), Just("primary"), Just("gone")].prop_map(str::to_owned);
    let backend =
        (name.clone(), any::<i32>(), 0..101i64, any::<bool>()).prop_map(|(name, wild, weight, tame)| {
            StandbyStatus {
                name,
                weight: Percent::clamped(if tame { weight } else { wild.into() }),
                replicas: wild,
                ..StandbyStatus::default()
            }
        });
    let times = proptest::collection::vec(time.clone(), 0..5);
    let backends = proptest::collection::vec(backend, 0..4);
    (name, any::<(i32, i32)>(), times, proptest::option::of(time.clone()), backends, time).prop_map(
        |(active, (expected_replicas, needed_replicas), switches, hold_until, backends, since)| {
            FailoverStatus {
                acknowledged_override: None,
                state: State::Standby,
                since,
                active,
                expected_replicas,
                needed_replicas,
                switches,
                hold_until,
                backends,
            }
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

/// Checks the invariants of each turn.
#[derive(Default)]
struct Judge {
    switches: Vec<i64>,
    /// When the primary was last left without a manual override.
    left: Option<i64>,
    /// Turns with a bad sign since the last return or manual override.
    bad: usize,
}

impl Judge {
    fn look(&mut self, world: &mut World, most: usize, lasting: i64) -> Result<(), TestCaseError> {
        let (before, seen, mut memory) =
            (world.last_written.clone().unwrap(), world.seen(), world.memory.clone());
        let expected =
            world.last_written.as_ref().unwrap().expected_replicas.max(world.ready).min(world.replicas);
        let decision = world.look();
        let again = turn(&world.spec, &seen, &mut memory, at(world.millis), &mut alone).failover.unwrap();
        prop_assert_eq!(&again, &decision);
        let after = &decision.status;
        let ordered = matches!(world.manual_override, Some(ManualOverride::To(_)));
        let trouble =
            |name: &str| world.fars.iter().any(|far| far.seen.name == name && far.seen.trouble.is_some());
        let empty = |name: &str| {
            let capacity =
                world.fars.iter().find(|far| far.seen.name == name).and_then(|far| far.seen.capacity);
            capacity.is_some_and(|has| has.ready == 0)
        };
        let weight = |status: &FailoverStatus, name: &str| -> i32 {
            status.backends.iter().find(|known| known.name == name).map_or(0, |known| known.weight.into())
        };
        let shares = after.backends.iter().filter(|known| known.weight > Percent::ZERO);
        let total: i32 = shares.clone().map(|known| i32::from(known.weight)).sum();
        prop_assert!(total <= 100);
        prop_assert!(after.backends.iter().all(|known| known.replicas >= 0));
        prop_assert!(shares.clone().filter(|known| known.name != after.active).count() <= 1, "{after:?}");
        if after.active == "primary" && total == 0 {
            prop_assert!((0..=world.replicas).contains(&after.expected_replicas), "{after:?}");
        }
        for known in &after.backends {
            let more = i32::from(known.weight) > weight(&before, &known.name);
            let chosen = after.active == known.name && before.active != known.name && !ordered;
            prop_assert!(!(more || chosen) || !trouble(&known.name), "{before:?} -> {after:?}");
        }
        let errors = world.errors;
        let unknown = matches!(errors.0, KpiState::Error | KpiState::Stale);
        let calm = world.ready >= world.replicas && world.replicas > 0;
        let gone = |known: &StandbyStatus| {
            known.weight > Percent::ZERO && (trouble(&known.name) || empty(&known.name))
        };
        let lost = trouble(&before.active) || before.backends.iter().any(gone);
        if unknown && calm && !ordered && !lost {
            prop_assert_eq!(&before.active, &after.active);
            prop_assert!(
                after.backends.iter().all(|known| i32::from(known.weight) == weight(&before, &known.name))
            );
        }
        let few = world.ready * 2 < expected.max(before.expected_replicas);
        self.bad += usize::from(few || (errors.0 == KpiState::Fresh && errors.1 > 0.2));
        if before.active != after.active {
            if ordered {
                self.switches.clear();
                self.left = None;
            } else if after.active == "primary" {
                let held = before.hold_until.as_ref().is_some_and(|until| until.0 > at(world.millis));
                prop_assert!(!held || lost, "a return before {:?}", before.hold_until);
                let away = self.left.map_or(i64::MAX, |left| world.millis - left);
                prop_assert!(away >= lasting * 1000 || lost, "a return after {away} ms");
            } else if before.active == "primary" {
                prop_assert!(self.bad >= 3, "left after {} bad samples", self.bad);
                self.left = Some(world.millis);
            }
            self.bad = if after.active == "primary" { 0 } else { self.bad };
            // A return is not a switch, and neither is a move between two sides that serve nothing.
            let neither = before.active == "primary" && world.ready == 0 && empty(&after.active);
            self.switches.extend((after.active != "primary" && !neither).then_some(world.millis));
            self.switches.retain(|at| world.millis - at < 3_600_000);
            // Leaving a backend that serves nothing is always allowed, and so is leaving one that fails during a return.
            let nothing = lost || (before.active == "primary" && world.ready == 0);
            let comes_back = before.active == "primary" && before.away() > Percent::ZERO;
            prop_assert!(self.switches.len() <= most || nothing || comes_back, "{:?}", self.switches);
        }
        Ok(())
    }
}

fn all_is_well(world: &mut World) -> Result<(), TestCaseError> {
    (world.manual_override, world.correlated_failures, world.errors) = (None, false, (KpiState::Fresh, 0.0));
    world.fars.iter_mut().for_each(|far| far.seen.trouble = None);
    world.millis += 3_700_000;
    for _ in 0..120 {
        world.millis += 1000;
        let floor = world.last.as_ref().map_or(0, |decision| decision.floor);
        world.replicas = world.replicas.max(floor).max(1);
        world.ready = world.replicas;
        world.look();
        if world.state() == State::Primary {
            break;
        }
    }
    let last_written = world.last_written.as_ref().unwrap();
    prop_assert!(
        last_written.active == "primary"
            && last_written.backends.iter().all(|known| known.weight == Percent::ZERO),
        "{last_written:?}"
    );
    prop_assert_eq!(world.state(), State::Primary);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// After any events: consistent shares, no more switches than allowed, no move by unknown evidence or to a standby in
    /// trouble, no return within the hold, no relapse by old samples, and always a return in the end.
    #[test]
    fn every_sequence_of_events_is_safe(
        events in events(), standbys in 1..4usize, most in 2..6usize, lasting in 1..20i64, scaled in any::<bool>(),
    ) {
        let mut world = some_spec(standbys, most, lasting, scaled);
        let mut judge = Judge::default();
        for event in events {
            match event {
                Event::Pass(millis) => {
                    // At most ten turns, for any duration.
                    let pause = (millis / 10 / 500 * 500).max(500);
                    for _ in 0..(millis / pause) {
                        world.due = i64::MAX;
                        world.run(pause);
                        judge.look(&mut world, most, lasting)?;
                    }
                }
                Event::Ready(ready) => world.ready = ready.min(world.replicas),
                Event::Replicas(replicas) => {
                    world.replicas = replicas;
                    world.ready = world.ready.min(replicas);
                }
                Event::Errors(state, value) => world.errors = (state, value),
                Event::Trouble(index, lost) => world.trouble(index, lost.then_some("lost")),
                Event::ManualOverride(to) => world.manual_override = to,
                Event::Restart => world.memory = Memory::default(),
                Event::CorrelatedFailures(correlated_failures) => world.correlated_failures = correlated_failures,
                Event::Empty(index) if scaled => world.has(index, 0, 60),
                Event::Empty(_) => {}
            }
        }
        all_is_well(&mut world)?;
    }

    /// From any status: no panic, consistent shares, and a return in the end.
    #[test]
    fn requests_return_from_any_status(last_written in last_written(), standbys in 1..4usize, ready in 0..11i32, replicas in 0..70i32) {
        let mut world = some_spec(standbys, 3, 5, true);
        (world.last_written, world.ready, world.replicas) = (Some(last_written), ready, replicas);
        for _ in 0..10 {
            world.millis += 500;
            let shares: Vec<i32> = world.look().status.backends.iter().map(|known| known.weight.into()).collect();
            prop_assert!(shares.iter().sum::<i32>() <= 100);
        }
        all_is_well(&mut world)?;
    }
}
