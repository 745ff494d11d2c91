//! From a spec and observations to status, conditions and events.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    changes::{Worth, worth},
    conditions, notes,
    status::status,
};
use crate::controller::{
    capabilities,
    capability::{Reported, SharedFacts},
    outcome::{Decided, Done, Outcome, Progress, Refusal, Written},
};
use plimsoll_api::{
    Arrival, ConditionCode, ConditionType, DecisionCode, Draining, Ejected, FailoverCode, KpiState, Mode,
    Percent, ReasonCode, RecoveryCode, RecoveryReason, RecoveryStatus, Returned, ScalableServiceSpec,
    ScalableServiceStatus, TrafficStatus, Validated, Verdict,
};
use plimsoll_engine::{
    FailoverInput, Memory, Observation, Placed, Pods, Recovery, Sample, StandbySeen, Topology, Turn, alone,
    turn,
};

const SHOP: &str = r#"
scaleTargetRef: {kind: Deployment, name: checkout}
minReplicas: 2
maxReplicas: 20
kpis:
- {name: load, type: Load, query: l, perReplica: "100"}
- {name: latency, type: Objective, query: q, atMost: "0.25"}
"#;

/// A service that is evaluated repeatedly.
struct Story {
    spec: ScalableServiceSpec,
    memory: Memory,
    now: Timestamp,
    replicas: i32,
    status: ScalableServiceStatus,
    traffic: Option<Verdict>,
    recovery: Option<Recovery>,
    /// The observed standbys.
    standbys: Option<Vec<StandbySeen>>,
    topology: Option<Topology>,
}

impl Story {
    fn new(mode: Mode) -> Self {
        let spec = ScalableServiceSpec { mode, ..serde_saphyr::from_str(SHOP).unwrap() };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let status = ScalableServiceStatus::default();
        Self {
            spec,
            memory: Memory::default(),
            now,
            replicas: 4,
            status,
            traffic: None,
            recovery: None,
            standbys: None,
            topology: None,
        }
    }

    /// One turn. Returns how urgent the write is, and the events.
    fn turn(&mut self, load: Sample, latency: Sample, ready: i32) -> (Worth, Vec<(bool, ReasonCode)>) {
        self.now += SignedDuration::from_secs(15);
        let seen = Observation {
            replicas: self.replicas,
            pods: Pods::Counted { ready },
            samples: BTreeMap::from([("load".into(), load), ("latency".into(), latency)]),
            topology: self.topology.clone(),
            failover: self.failover_input(),
            ..Observation::default()
        };
        let spec = Validated::new(&self.spec).unwrap();
        let Turn { decision, failover, .. } = turn(&spec, &seen, &mut self.memory, self.now, &mut alone);
        let writes = decision.has(DecisionCode::ScaledUp) || decision.has(DecisionCode::ScaledDown);
        let decided = Decided {
            at: self.now,
            seen: self.replicas,
            floor: spec.min_replicas,
            selector: Some("app=checkout".into()),
            decision,
            failover,
        };
        let progress = Progress {
            now: if writes { decided.decision.replicas } else { self.replicas },
            ready,
            written: if writes { Written::Changed } else { Written::Nothing },
            recovery: self.recovery.clone(),
            ..Progress::default()
        };
        self.replicas = progress.now;
        self.report(&Outcome::Done(Box::new(Done { decided, progress })))
    }

    fn failover_input(&self) -> Option<FailoverInput> {
        let last_written = self.status.failover.clone();
        Some(FailoverInput { last_written, standbys: self.standbys.clone()?, ..FailoverInput::default() })
    }

    fn report(&mut self, outcome: &Outcome) -> (Worth, Vec<(bool, ReasonCode)>) {
        let capabilities = capabilities::all();
        let (mode, traffic) = (self.spec.mode, self.traffic.as_ref());
        let conditions = conditions(&capabilities, mode, traffic, &SharedFacts::default(), outcome);
        let new = status(&self.spec, Some(1), &self.status, outcome, &conditions, self.now);
        let worth = worth(&self.status, &new);
        let notes = notes(&capabilities, &Reported { old: &self.status, new: &new, outcome });
        let events = notes.into_iter().map(|note| (note.warning, note.reason)).collect();
        self.status = new;
        (worth, events)
    }

    /// Status and reason of a condition, such as `True Steady`.
    fn condition(&self, type_: &str) -> String {
        let condition = self.status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
        format!("{} {}", condition.status, condition.reason)
    }
}

fn fresh(value: f64) -> Sample {
    Sample::fresh(value, Timestamp::UNIX_EPOCH)
}

#[test]
fn an_unchanged_status_causes_no_write_and_no_event() {
    let mut story = Story::new(Mode::Auto);
    assert_eq!(story.turn(fresh(400.0), fresh(0.1), 4).0, Worth::Hard, "the first status");
    for load in [400.0, 401.0, 395.0, 400.0] {
        assert_eq!(story.turn(fresh(load), fresh(0.1), 4), (Worth::Nothing, vec![]));
    }
    assert_eq!(story.turn(fresh(430.0), fresh(0.1), 4), (Worth::Soft, vec![]), "numbers moved");
    assert_eq!(story.condition("Ready"), "True Steady");
    assert_eq!(story.status.summary.kpi, "load 430/400");
}

#[test]
fn a_change_is_one_event_and_is_kept_in_the_ring() {
    let mut story = Story::new(Mode::Auto);
    story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(
        story.turn(fresh(900.0), fresh(0.1), 4),
        (Worth::Hard, vec![(false, DecisionCode::ScaledUp.into())])
    );
    assert_eq!(story.condition("Ready"), "True Progressing");
    assert_eq!(story.condition("Reconciling"), "True Progressing");
    assert_eq!(story.turn(fresh(900.0), fresh(0.1), 9).1, vec![]);
    assert_eq!(story.condition("Reconciling"), "False Steady");
    let ring: Vec<_> = story.status.decisions.iter().map(|record| (record.from, record.to)).collect();
    assert_eq!(ring, [(9, 9), (4, 9)]);
    for round in 0..20 {
        story.turn(fresh(if round % 2 == 0 { 1500.0 } else { 100.0 }), fresh(0.1), 9);
        story.now += SignedDuration::from_secs(400);
    }
    assert_eq!(story.status.decisions.len(), ScalableServiceStatus::DECISIONS_MAX);
}

#[test]
fn ready_names_the_kpi_that_determines_the_replicas() {
    let mut story = Story::new(Mode::Auto);
    story.spec =
        serde_saphyr::from_str(&SHOP.replace("Objective, query: q, atMost", "Load, query: q, perReplica"))
            .unwrap();
    story.turn(fresh(900.0), fresh(0.0), 4);
    let ready = story.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.message, "load: 900 at 100 per replica asks for 9 replicas");
}

#[test]
fn a_missing_kpi_is_not_ready_and_is_named() {
    let mut story = Story::new(Mode::Auto);
    story.turn(fresh(400.0), fresh(0.1), 4);
    let stale = || Sample::unusable(KpiState::Stale, "45 s old, allowed 30 s");
    assert_eq!(story.turn(stale(), fresh(0.1), 4).1, vec![(true, ConditionCode::MetricsIncomplete.into())]);
    assert_eq!(story.condition("Ready"), "False MetricsIncomplete");
    let ready = story.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(ready.message.contains("load is Stale (45 s old, allowed 30 s)"), "{}", ready.message);
    assert_eq!(story.turn(stale(), stale(), 4).1, vec![(true, ConditionCode::MetricsUnavailable.into())]);
    assert_eq!(
        story.turn(fresh(400.0), fresh(0.1), 4).1,
        vec![(false, DecisionCode::Steady.into())],
        "ready again"
    );
}

#[test]
fn limits_modes_and_refusals_have_their_reasons() {
    let mut story = Story::new(Mode::Auto);
    story.turn(fresh(9000.0), fresh(0.1), 4);
    assert_eq!(story.condition("Ready"), "True MaxReplicas");
    assert_eq!(story.condition("ScalingLimited"), "True MaxReplicas");
    for (mode, reason) in [(Mode::Observe, "Observing"), (Mode::Paused, "Paused")] {
        let mut story = Story::new(mode);
        story.turn(fresh(900.0), fresh(0.1), 4);
        assert_eq!(story.condition("Ready"), format!("True {reason}"));
        assert_eq!(story.condition("ScalingActive"), format!("False {reason}"));
        assert_eq!(story.status.summary.replicas, "4/9", "the status shows the proposed replicas");
    }
    let refusal = Refusal {
        reason: ConditionCode::ScalerConflict.into(),
        message: "an HPA has it".into(),
        failover: None,
    };
    let reported = story.report(&Outcome::Refused(Box::new(refusal)));
    assert_eq!(reported, (Worth::Hard, vec![(true, ConditionCode::ScalerConflict.into())]));
    assert_eq!(
        (story.condition("Stalled"), story.condition("MetricsAvailable")),
        ("True ScalerConflict".into(), "Unknown ScalerConflict".into())
    );
    assert!(!story.status.decisions.is_empty(), "earlier decisions are kept");
}

#[test]
fn a_transition_time_changes_only_with_the_status() {
    let mut story = Story::new(Mode::Auto);
    story.turn(fresh(400.0), fresh(0.1), 4);
    let since = story.status.conditions[0].last_transition_time.clone();
    story.turn(fresh(900.0), fresh(0.1), 4);
    assert_eq!(
        (story.condition("Ready").as_str(), &story.status.conditions[0].last_transition_time),
        ("True Progressing", &since)
    );
}

#[test]
fn ready_follows_the_balancers_and_a_drain_is_urgent() {
    let mut story = Story::new(Mode::Auto);
    let traffic = "{provider: HAProxy, targetPort: 8080, listeners: [{port: 80}]}";
    story.spec.traffic = Some(serde_saphyr::from_str(traffic).unwrap());
    let verdict = |status, reason: ReasonCode| {
        let known = Verdict::new(ConditionType::TrafficSynced, true, reason, "as it is");
        Some(Verdict { status, ..known })
    };
    story.traffic = verdict(Some(false), ConditionCode::BalancerOutOfSync.into());
    assert_eq!(
        story.turn(fresh(400.0), fresh(0.1), 4).1,
        vec![(true, ConditionCode::BalancerOutOfSync.into())]
    );
    assert_eq!(story.condition("Ready"), "False BalancerOutOfSync");
    story.traffic = verdict(None, ConditionCode::BalancersStarting.into());
    story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(story.condition("Ready"), "Unknown BalancersStarting");
    story.traffic = verdict(Some(true), ConditionCode::BalancersInSync.into());
    story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(story.condition("Ready"), "True Steady");
    assert_eq!(story.condition("TrafficSynced"), "True BalancersInSync");
    let mut drained = story.status.clone();
    let since = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(story.now);
    let draining = vec![Draining { pod: "web-1".into(), since: since.clone() }];
    drained.traffic = Some(TrafficStatus { draining, ..TrafficStatus::default() });
    assert_eq!(
        (worth(&story.status, &drained), worth(&drained, &story.status)),
        (Worth::Urgent, Worth::Urgent)
    );
    let mut arrived = story.status.clone();
    let arrival = Arrival { pod: "web-9".into(), ip: "10.0.0.9".into(), since };
    arrived.traffic.get_or_insert_default().arrived.push(arrival);
    assert_eq!(worth(&story.status, &arrived), Worth::Urgent, "requests wait for it");
    let mut alone = story.status.clone();
    alone.traffic.get_or_insert_default().ready_balancers = Some(1);
    assert_eq!(worth(&story.status, &alone), Worth::Hard, "the limits per balancer depend on it");
    // A transient API error does not end a drain; another scaler does.
    story.status = drained;
    let refused =
        |reason| Outcome::Refused(Box::new(Refusal { reason, message: "it is so".into(), failover: None }));
    assert_eq!(story.report(&refused(DecisionCode::ScaleFailed.into())).0, Worth::Hard);
    assert_eq!(story.status.traffic.as_ref().unwrap().draining.len(), 1);
    assert_eq!(story.report(&refused(ConditionCode::ScalerConflict.into())).0, Worth::Urgent);
    assert_eq!(story.status.traffic, Some(TrafficStatus::default()));
}

#[test]
fn an_ejection_is_one_event_and_is_urgent() {
    let mut story = Story::new(Mode::Auto);
    let time = |story: &Story| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(story.now);
    let healthy = Recovery { reasons: vec![RecoveryReason::NoOutliers], ..Recovery::default() };
    story.recovery = Some(healthy.clone());
    story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(story.condition("ReplicasHealthy"), "True NoOutliers");
    assert_eq!(story.turn(fresh(400.0), fresh(0.1), 4), (Worth::Nothing, vec![]));

    let (since, until) = (time(&story), time(&story));
    let out = Ejected { pod: "web-1".into(), since, until, ejections: 1, evicted: None };
    let about = RecoveryReason::OutlierEjected { pod: "web-1".into(), judged: Some((0.3, 0.0)) };
    let status = RecoveryStatus { ejected: vec![out], ..RecoveryStatus::default() };
    story.recovery = Some(Recovery { status, reasons: vec![about], ..Recovery::default() });
    let turn = story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(turn, (Worth::Urgent, vec![(true, RecoveryCode::OutlierEjected.into())]));
    assert_eq!(story.condition("ReplicasHealthy"), "False OutlierEjected");
    assert_eq!(story.condition("Ready"), "True Steady", "the other replicas serve");
    let message = &story.status.conditions.last().unwrap().message;
    assert_eq!(message, "web-1 is ejected as an outlier: 0.3, where the median of its peers is 0");
    assert_eq!(story.turn(fresh(400.0), fresh(0.1), 4), (Worth::Nothing, vec![]));

    let mut recovery = story.recovery.clone().unwrap();
    recovery.not_evicted(&mut Memory::default(), "web-1", true, "budget web", story.now);
    story.recovery = Some(recovery.clone());
    assert_eq!(
        story.turn(fresh(400.0), fresh(0.1), 4),
        (Worth::Hard, vec![(true, RecoveryCode::EvictionRefused.into())])
    );
    recovery.evicted(&mut Memory::default(), "web-1", story.now);
    story.recovery = Some(recovery);
    assert_eq!(
        story.turn(fresh(400.0), fresh(0.1), 4),
        (Worth::Hard, vec![(false, RecoveryCode::OutlierReplaced.into())])
    );
    assert_eq!(story.condition("ReplicasHealthy"), "False OutlierEjected");

    let back = Returned { pod: "web-1".into(), since: time(&story), ejections: 1 };
    let status = RecoveryStatus { returned: vec![back], ..RecoveryStatus::default() };
    story.recovery = Some(Recovery { status, ..healthy });
    let turn = story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(turn, (Worth::Urgent, vec![(false, RecoveryCode::OutlierReturned.into())]));
}

#[test]
fn a_failover_has_two_conditions_and_an_event_for_each_state() {
    let mut story = Story::new(Mode::Auto);
    story.spec.traffic =
        Some(serde_saphyr::from_str("{provider: HAProxy, targetPort: 80, listeners: [{port: 80}]}").unwrap());
    let failover = "{backends: [{name: spare, service: {name: spare, port: 80}}], leave: {samples: 1}}";
    story.spec.failover = Some(serde_saphyr::from_str(failover).unwrap());
    let spare = |trouble: Option<&str>| StandbySeen {
        name: "spare".into(),
        addresses: vec!["10.0.0.9:80".parse().unwrap()],
        trouble: trouble.map(str::to_owned),
        capacity: None,
    };
    let load = || (fresh(400.0), fresh(0.1));
    let turn = |story: &mut Story, ready| story.turn(load().0, load().1, ready);

    story.standbys = Some(vec![spare(None)]);
    assert_eq!(turn(&mut story, 4).1, [(false, FailoverCode::StandbyReady.into())]);
    assert_eq!(story.condition("PrimaryActive"), "True PrimaryServes");
    assert_eq!(turn(&mut story, 4), (Worth::Nothing, vec![]));

    story.standbys = Some(vec![spare(Some("it does not answer"))]);
    assert_eq!(turn(&mut story, 4).1, [(true, FailoverCode::StandbyNotReady.into())]);
    assert_eq!(story.condition("FailoverReady"), "False StandbyNotReady");
    assert_eq!(turn(&mut story, 0).1, [(true, FailoverCode::NoStandbyReady.into())]);
    assert_eq!(story.condition("PrimaryActive"), "True NoStandbyReady");

    story.standbys = Some(vec![spare(None)]);
    let (worth, events) = turn(&mut story, 0);
    assert_eq!(worth, Worth::Urgent, "the balancers wait for it");
    assert_eq!(
        events,
        [(true, FailoverCode::StandbyServes.into()), (false, FailoverCode::StandbyReady.into())]
    );
    assert_eq!(story.condition("PrimaryActive"), "False StandbyServes");
    assert_eq!(story.status.failover.as_ref().unwrap().backends[0].weight, Percent::HUNDRED);
}

#[test]
fn a_lost_zone_is_one_event_and_its_recovery_another() {
    let mut story = Story::new(Mode::Auto);
    let replica = |zone: &str, number: u32, ready: bool| Placed {
        name: format!("web-{zone}-{number}"),
        zone: Some(zone.into()),
        ready,
        node_ready: Some(ready),
    };
    let of = |ready: bool| {
        let replicas = (0..2).flat_map(|number| [replica("a", number, true), replica("b", number, ready)]);
        Some(Topology { replicas: replicas.collect(), balancers: Vec::new() })
    };
    story.topology = of(true);
    story.turn(fresh(400.0), fresh(0.1), 4);
    assert_eq!(story.condition("ZonesServing"), "True ZonesServing");
    assert_eq!(story.turn(fresh(400.0), fresh(0.1), 4), (Worth::Nothing, vec![]));
    story.topology = of(false);
    let turn = story.turn(fresh(400.0), fresh(0.1), 2);
    assert_eq!(
        turn,
        (Worth::Hard, vec![(false, DecisionCode::ScaledUp.into()), (true, DecisionCode::ZoneLost.into())])
    );
    assert_eq!((story.replicas, story.status.summary.why.as_str()), (8, "ZoneLost"));
    assert_eq!(story.condition("ZonesServing"), "False ZoneLost");
    let message = |story: &Story| story.status.conditions.last().unwrap().message.clone();
    assert_eq!(message(&story), "zone b is lost with 2 of 4 replicas");
    let ready = story.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(
        ready.message,
        "zone b is lost with 2 of 4 replicas; to carry the load without the lost replicas, the service needs 8 replicas"
    );
    story.topology = of(true);
    assert_eq!(story.turn(fresh(400.0), fresh(0.1), 8).1, [(false, ConditionCode::ZonesServing.into())]);
    assert_eq!(
        (story.condition("ZonesServing").as_str(), message(&story).as_str()),
        ("True ZonesServing", "replicas serve in 2 zones")
    );
    // Once its pods are evicted, the zone no longer counts as lost.
    story.topology = of(false);
    story.turn(fresh(400.0), fresh(0.1), 2);
    story.topology = None;
    assert_eq!(story.turn(fresh(400.0), fresh(0.1), 8).1, [(false, ConditionCode::ZonesServing.into())]);
}
