//! Candidates for one lease on a simulated network: no two of them ever lead at the same time.
//!
//! Each candidate has a monotonic clock with its own start and rate, and an arbitrary wall clock. Requests and answers
//! are delayed and lost, also after they took effect. Processes crash, restart with another
//! identity, and end in an orderly way, releasing the lease.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use proptest::prelude::*;

use super::{Answer, Candidate, LeaseParams, Step};

const CANDIDATES: usize = 3;

/// Clocks of real nodes differ by far less than a percent; ten percent each way is still within 15 s / 10 s.
const RATES: std::ops::RangeInclusive<f64> = 0.9..=1.1;

/// Simulated time in microseconds.
type Micros = u64;

const SECOND: Micros = 1_000_000;

/// Time from which the network works and nothing crashes, to verify that there is a leader in the end.
const CALM: Micros = 600 * SECOND;

/// A clock of one node.
#[derive(Clone, Debug)]
struct Clocks {
    offset: Micros,
    rate: f64,
    wall_skew_seconds: i64,
    wall_stands: bool,
}

impl Clocks {
    fn monotonic(&self, at: Micros) -> Duration {
        Duration::from_micros(self.offset + (at as f64 * self.rate) as Micros)
    }

    /// Simulated time that passes while this clock counts `duration`.
    fn takes(&self, duration: Duration) -> Micros {
        (duration.as_micros() as f64 / self.rate).ceil() as Micros + 1
    }

    fn wall(&self, at: Micros) -> Timestamp {
        let at = if self.wall_stands { 0 } else { at };
        let skew = SignedDuration::from_secs(self.wall_skew_seconds);
        "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap() + skew + Duration::from_micros(at)
    }
}

/// The fate of one request, used in order so that a failing case can shrink.
#[derive(Clone, Debug)]
struct Fate {
    request_takes: Micros,
    request_lost: bool,
    answer_takes: Micros,
    answer_lost: bool,
}

#[derive(Clone, Copy, Debug)]
enum Incident {
    Crash,
    Leave,
    /// Another client changes the object's metadata.
    Annotate,
}

#[derive(Clone, Debug)]
struct Scenario {
    clocks: Vec<Clocks>,
    fates: Vec<Fate>,
    outages: Vec<Outage>,
    incidents: Vec<(Micros, usize, Incident)>,
}

/// No request that this node sends in this time arrives; answers to earlier ones may.
#[derive(Clone, Debug)]
struct Outage {
    node: usize,
    from: Micros,
    lasts: Micros,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Begin,
    Arrive,
    Answer,
    Timeout,
    Incident(usize),
}

struct Node {
    candidate: Candidate,
    /// Number of the current step, so that events of abandoned steps are ignored.
    step: u64,
    sent: Micros,
    underway: Step,
    lives: u32,
    left: bool,
}

/// Time, sequence number, node, step and event. A request that arrives late is still carried out.
type Queued = Reverse<(Micros, u64, usize, u64, Event)>;

struct World {
    scenario: Scenario,
    params: LeaseParams,
    nodes: Vec<Node>,
    lease: Option<Lease>,
    version: u64,
    queue: BinaryHeap<Queued>,
    queued: u64,
    /// Requests and answers in flight.
    requests: Vec<(usize, u64, Step, Fate)>,
    answers: Vec<(usize, u64, Answer)>,
    fates: VecDeque<Fate>,
    now: Micros,
    led: Vec<(Micros, String)>,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let params = LeaseParams::default();
        let node = |index: usize| Node {
            candidate: Candidate::new(format!("node-{index}_0"), params.clone()),
            step: 0,
            sent: 0,
            underway: Step::Done,
            lives: 0,
            left: false,
        };
        let nodes = (0..CANDIDATES).map(node).collect();
        let fates = scenario.fates.iter().cloned().collect();
        let incidents: Vec<Micros> = scenario.incidents.iter().map(|incident| incident.0).collect();
        let mut world = Self {
            scenario,
            params,
            nodes,
            lease: None,
            version: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            requests: Vec::new(),
            answers: Vec::new(),
            fates,
            now: 0,
            led: Vec::new(),
        };
        (0..CANDIDATES).for_each(|node| world.later(0, node, 0, Event::Begin));
        for (index, at) in incidents.into_iter().enumerate() {
            world.later(at, 0, 0, Event::Incident(index));
        }
        world
    }

    fn later(&mut self, delay: Micros, node: usize, step: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((self.now + delay, self.queued, node, step, event)));
    }

    /// Runs to `end`. The error names the candidates that led at the same time.
    fn run(&mut self, end: Micros) -> Result<(), String> {
        while self.queue.peek().is_some_and(|Reverse(next)| next.0 <= end) {
            let Some(Reverse((at, _, node, step, event))) = self.queue.pop() else { break };
            self.now = at;
            match event {
                Event::Incident(index) => self.incident(index),
                Event::Arrive => self.arrive(node, step),
                _ if self.nodes[node].step != step => {}
                Event::Begin => self.begin(node),
                Event::Timeout => self.end(node, Answer::Failed),
                Event::Answer => {
                    let place =
                        self.answers.iter().position(|answer| (answer.0, answer.1) == (node, step)).unwrap();
                    let answer = self.answers.swap_remove(place).2;
                    self.end(node, answer);
                }
            }
            self.check()?;
        }
        Ok(())
    }

    fn leaders(&self) -> Vec<String> {
        let leading = |node: &Node, clocks: &Clocks| {
            !node.left && node.candidate.leadership(clocks.monotonic(self.now)).is_leading()
        };
        let nodes = self.nodes.iter().zip(&self.scenario.clocks).enumerate();
        let leading = nodes.filter(|(_, (node, clocks))| leading(node, clocks));
        leading.map(|(index, (node, _))| format!("node-{index}_{}", node.lives)).collect()
    }

    fn check(&mut self) -> Result<(), String> {
        let leaders = self.leaders();
        if leaders.len() > 1 {
            return Err(format!("at {} µs {} lead", self.now, leaders.join(" and ")));
        }
        for leader in leaders {
            if self.led.last().is_none_or(|(_, last)| *last != leader) {
                self.led.push((self.now, leader));
            }
        }
        Ok(())
    }

    fn begin(&mut self, index: usize) {
        let clocks = self.scenario.clocks[index].clone();
        let node = &mut self.nodes[index];
        node.step += 1;
        node.sent = self.now;
        node.underway = node.candidate.step(clocks.monotonic(self.now), clocks.wall(self.now));
        let (step, underway) = (node.step, node.underway.clone());
        match underway {
            Step::Done => self.nodes[index].left = true,
            Step::Wait(longest) => {
                self.answers.push((index, step, Answer::Waited));
                self.later(clocks.takes(longest), index, step, Event::Answer);
            }
            request => {
                let calm =
                    Fate { request_takes: 900, request_lost: false, answer_takes: 900, answer_lost: false };
                let fate = if self.now < CALM { self.fates.pop_front().unwrap_or(calm) } else { calm };
                self.later(clocks.takes(self.params.request_timeout()), index, step, Event::Timeout);
                let cut_off = |outage: &Outage| {
                    outage.node == index && (outage.from..outage.from + outage.lasts).contains(&self.now)
                };
                if !fate.request_lost && !self.scenario.outages.iter().any(cut_off) {
                    self.later(fate.request_takes, index, step, Event::Arrive);
                    self.requests.push((index, step, request, fate));
                }
            }
        }
    }

    fn end(&mut self, index: usize, answer: Answer) {
        let clocks = &self.scenario.clocks[index];
        let node = &mut self.nodes[index];
        let (sent, now) = (clocks.monotonic(node.sent), clocks.monotonic(self.now));
        node.candidate.answer(answer, sent, now, clocks.wall(self.now));
        self.begin(index);
    }

    /// The API server handles a request.
    fn arrive(&mut self, index: usize, step: u64) {
        let place = self.requests.iter().position(|request| (request.0, request.1) == (index, step)).unwrap();
        let (_, _, request, fate) = self.requests.swap_remove(place);
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let answer = match request {
            Step::Read => Answer::Read(self.lease.clone().map(Box::new)),
            Step::Create(lease) if self.lease.is_none() => self.store(*lease),
            Step::Replace(lease)
                if self.lease.as_ref().is_some_and(|now| version(now) == version(&lease)) =>
            {
                self.store(*lease)
            }
            _ => Answer::Conflict,
        };
        if !fate.answer_lost {
            self.answers.push((index, step, answer));
            self.later(fate.answer_takes, index, step, Event::Answer);
        }
    }

    fn store(&mut self, mut lease: Lease) -> Answer {
        if self.lease.as_ref() == Some(&lease) {
            return Answer::Written(Box::new(lease));
        }
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        Answer::Written(Box::new(lease))
    }

    fn incident(&mut self, index: usize) {
        let (_, node, incident) = self.scenario.incidents[index];
        let params = self.params.clone();
        let version = &mut self.version;
        match incident {
            Incident::Annotate => {
                if let Some(lease) = &mut self.lease {
                    *version += 1;
                    lease.metadata.resource_version = Some(version.to_string());
                }
            }
            Incident::Leave if !self.nodes[node].left => {
                let leaving = &mut self.nodes[node];
                let underway = leaving.underway.clone();
                leaving.candidate.leave(&underway);
                self.begin(node);
            }
            Incident::Crash | Incident::Leave => {
                let crashed = &mut self.nodes[node];
                crashed.lives += 1;
                crashed.left = false;
                crashed.candidate = Candidate::new(format!("node-{node}_{}", crashed.lives), params);
                self.begin(node);
            }
        }
    }
}

fn clocks() -> impl Strategy<Value = Clocks> {
    let skew = prop_oneof![Just(0), -3600_i64..3600, -1_000_000_000_i64..1_000_000_000];
    let rate = prop_oneof![Just(*RATES.start()), Just(*RATES.end()), RATES];
    (0..1_000 * SECOND, rate, skew, any::<bool>()).prop_map(
        |(offset, rate, wall_skew_seconds, wall_stands)| Clocks {
            offset,
            rate,
            wall_skew_seconds,
            wall_stands,
        },
    )
}

/// Mostly quick, sometimes slow, rarely later than any timeout.
fn delay() -> impl Strategy<Value = Micros> {
    prop_oneof![8 => 500..20_000_u64, 4 => 20_000..5 * SECOND, 1 => 5 * SECOND..40 * SECOND]
}

fn fate() -> impl Strategy<Value = Fate> {
    let lost = || prop::bool::weighted(0.1);
    (delay(), lost(), delay(), lost()).prop_map(|(request_takes, request_lost, answer_takes, answer_lost)| {
        Fate { request_takes, request_lost, answer_takes, answer_lost }
    })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let kind = prop_oneof![Just(Incident::Crash), Just(Incident::Leave), Just(Incident::Annotate)];
    let incident = (0..CALM, 0..CANDIDATES, kind);
    let outage = (0..CANDIDATES, 0..CALM - 40 * SECOND, SECOND..40 * SECOND)
        .prop_map(|(node, from, lasts)| Outage { node, from, lasts });
    (
        prop::collection::vec(clocks(), CANDIDATES),
        prop::collection::vec(fate(), 0..900),
        prop::collection::vec(outage, 0..20),
        prop::collection::vec(incident, 0..12),
    )
        .prop_map(|(clocks, fates, outages, incidents)| Scenario { clocks, fates, outages, incidents })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_two_candidates_lead_at_once_and_there_is_a_leader_in_the_end(scenario in scenario()) {
        let mut world = World::new(scenario);
        // A late request may acquire the lease once for a crashed process; then the others wait until it expires.
        let end = CALM + 120 * SECOND;
        world.run(end).map_err(TestCaseError::fail)?;
        let all_left = world.nodes.iter().all(|node| node.left);
        prop_assert!(all_left || world.leaders().len() == 1, "no leader in the end");
    }
}

fn calm(incidents: Vec<(Micros, usize, Incident)>) -> World {
    let clocks = Clocks { offset: 0, rate: 1.0, wall_skew_seconds: 0, wall_stands: false };
    World::new(Scenario {
        clocks: vec![clocks; CANDIDATES],
        fates: Vec::new(),
        outages: Vec::new(),
        incidents,
    })
}

#[test]
fn a_crashed_leader_is_replaced_within_the_lease_duration_and_one_retry() {
    let mut world = calm(Vec::new());
    world.run(100 * SECOND).unwrap();
    let (_, first) = world.led[0].clone();
    let crashed: usize = first["node-".len()..].split('_').next().unwrap().parse().unwrap();
    let mut world = calm(vec![(100 * SECOND, crashed, Incident::Crash)]);
    world.run(200 * SECOND).unwrap();
    assert_eq!(world.led.len(), 2, "{:?}", world.led);
    let gap = world.led[1].0 - 100 * SECOND;
    assert!((10 * SECOND..=17 * SECOND).contains(&gap), "taken over after {gap} µs");
}

#[test]
fn a_released_lease_is_acquired_within_one_retry_and_counted() {
    let mut world = calm(
        (0..CANDIDATES - 1).map(|node| ((100 + 100 * node as u64) * SECOND, node, Incident::Leave)).collect(),
    );
    world.run(400 * SECOND).unwrap();
    let left = world.led.len() - 1;
    assert!(left >= 1, "{:?}", world.led);
    for ((at, _), after) in world.led.iter().skip(1).zip([100 * SECOND, 200 * SECOND]) {
        let gap = at % (100 * SECOND);
        assert!(gap <= 2 * SECOND + SECOND / 10, "taken over {gap} µs after a release at or after {after}");
    }
    let spec = world.lease.unwrap().spec.unwrap();
    assert_eq!(spec.lease_transitions, Some(i32::try_from(left).unwrap()));
}

#[test]
fn a_deleted_lease_is_created_again_only_by_its_holder() {
    let mut world = calm(Vec::new());
    world.run(100 * SECOND).unwrap();
    world.lease = None;
    world.run(200 * SECOND).unwrap();
    assert_eq!(world.led.len(), 1, "{:?}", world.led);
    let spec = world.lease.unwrap().spec.unwrap();
    assert_eq!((spec.holder_identity.as_ref(), spec.lease_transitions), (Some(&world.led[0].1), Some(0)));
}
