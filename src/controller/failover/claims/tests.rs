//! Claims between services, and the limit on simultaneous departures: a KPI that they share may be wrong.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::runtime::{reflector, watcher};

use jiff::Timestamp;

use super::*;
use crate::controller::{board::Board, outcome::Refusal};
use plimsoll_api::{ConditionCode, FailoverCode, Percent, ScalableService, Validated};
use plimsoll_engine::{FailoverDecision, FailoverInput, Memory, Pods, Sample, StandbySeen, turn};

const SHOP: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {name: NAME, namespace: shops}
spec:
  scaleTargetRef: {kind: Deployment, name: NAME}
  maxReplicas: 8
  kpis: [{name: errors, type: Objective, query: q, atMost: "1"}]
  traffic: {provider: HAProxy, targetPort: 8080, listeners: [{port: 80}]}
  failover:
    backends: [{name: spare, service: {name: spare, port: 80}}]
    leave: {when: [{kpi: errors, above: "0.2"}], samples: 3, of: 3}
"#;

struct Shop {
    service: ScalableService,
    key: ServiceKey,
    memory: Memory,
    last_written: Option<FailoverStatus>,
}

impl Shop {
    fn named(name: &str) -> Self {
        let service = serde_saphyr::from_str(&SHOP.replace("NAME", name)).unwrap();
        Self { service, key: ServiceKey::new("shops", name), memory: Memory::default(), last_written: None }
    }

    fn look(&mut self, board: &Board, errors: f64, ready: i32, now: Timestamp) -> FailoverDecision {
        let standby = StandbySeen {
            name: "spare".to_owned(),
            addresses: vec!["192.0.2.1:80".parse().unwrap()],
            ..StandbySeen::default()
        };
        let input = FailoverInput {
            last_written: self.last_written.clone(),
            standbys: vec![standby],
            ..FailoverInput::default()
        };
        let seen = Observation {
            replicas: 4,
            pods: Pods::Counted { ready },
            samples: BTreeMap::from([("errors".to_owned(), Sample::fresh(errors, now))]),
            failover: Some(input),
            ..Observation::default()
        };
        let spec = Validated::new(&self.service.spec).unwrap();
        let services = Services::default();
        let mut fleet = |departure: Departure<'_>| {
            consent(&self.service, &self.key, departure, Others { board, services: &services })
        };
        let failover = turn(&spec, &seen, &mut self.memory, now, &mut fleet).failover.unwrap();
        self.last_written = Some(failover.status.clone());
        failover
    }
}

#[test]
fn two_services_leave_at_once_by_one_kpi_and_the_next_after_a_minute() {
    let (board, mut now) = (Board::default(), Timestamp::from_second(1_800_000_000).unwrap());
    let mut shops: Vec<Shop> = ["a", "b", "c", "d", "e"].map(Shop::named).into();
    let mut look = |shops: &mut [Shop], errors: f64, ready: i32| {
        now += SignedDuration::from_secs(1);
        shops.iter_mut().map(|shop| shop.look(&board, errors, ready, now)).collect::<Vec<_>>()
    };
    let away = |decisions: &[FailoverDecision]| {
        decisions.iter().map(|failover| failover.status.active == "spare").collect::<Vec<_>>()
    };
    look(&mut shops, 0.0, 4);
    let seen: Vec<_> = (0..3).map(|_| look(&mut shops[..4], 0.9, 4)).last().unwrap();
    assert_eq!(away(&seen), [true, true, false, false]);
    assert_eq!([&seen[2], &seen[3]].map(|failover| failover.reason.code()), [FailoverCode::FleetLimit; 2]);
    // They wait until the others' switches are a minute old, not longer.
    for second in 1..60 {
        assert_eq!(away(&look(&mut shops[..4], 0.9, 4)), [true, true, false, false], "after {second} s");
    }
    assert_eq!(away(&look(&mut shops[..4], 0.9, 4)), [true; 4], "after a minute");
    // A service without ready replicas leaves in any case: the cause is not a wrong KPI.
    let alone = (0..4).map(|_| look(&mut shops[4..], 0.0, 0)).last().unwrap();
    assert_eq!(away(&alone), [true]);
}

/// A Gateway may send requests to the old backends until it has confirmed the new weights.
#[test]
fn a_standby_keeps_its_replicas_until_no_request_can_reach_it() {
    let (board, services, mut shop) = (Board::default(), Services::default(), Shop::named("shop"));
    let (known, mut writer) = reflector::store();
    let spare = Shop::named("spare");
    writer.apply_watcher_event(&watcher::Event::Apply(DeserializeGuard(Ok(spare.service))));
    services.add(known);
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let mut failover = shop.look(&board, 0.0, 4, now);
    let mut asked = |replicas, weight, settled: bool| {
        let last_written = Some(failover.status.clone());
        let input = FailoverInput { last_written, ..FailoverInput::default() };
        let seen = Observation { failover: Some(input), ..Observation::default() };
        for standby in &mut failover.status.backends {
            (standby.replicas, standby.weight) = (replicas, Percent::clamped(weight));
        }
        let refusal = Refusal {
            reason: ConditionCode::ScalerConflict.into(),
            message: String::new(),
            failover: Some(failover.clone()),
        };
        let outcome = Outcome::Refused(Box::new(refusal));
        update(
            &shop.service,
            &shop.key,
            &outcome,
            &seen,
            settled,
            Others { board: &board, services: &services },
        );
        board.asked(&spare.key).replicas
    };
    assert_eq!(asked(4, 100, true), 4);
    assert_eq!(asked(0, 0, true), 4, "the weights have only just changed");
    assert_eq!(asked(0, 0, false), 4, "no Gateway has confirmed them");
    assert_eq!(asked(0, 0, true), 0);
}

#[test]
fn a_service_that_is_not_scaled_offers_only_its_ready_replicas() {
    for (mode, most) in [("Auto", 20), ("Observe", 3), ("Paused", 3)] {
        let spec =
            format!("{{mode: {mode}, scaleTargetRef: {{kind: Deployment, name: spare}}, maxReplicas: 20}}");
        let service = ScalableService::new("spare", serde_saphyr::from_str(&spec).unwrap());
        assert_eq!(capacity(&service, 3, 1), Capacity { ready: 3, own: 1, most }, "{mode}");
    }
}

#[test]
fn a_status_claims_nothing_in_another_namespace_without_consent() {
    let mut shop = Shop::named("shop");
    let far = SHOP
        .replace("service: {name: spare", "service: {namespace: other, name: spare")
        .replace("NAME", "shop");
    shop.service = serde_saphyr::from_str(&far).unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let mut forged = shop.look(&Board::default(), 0.0, 4, now).status;
    (forged.backends[0].replicas, forged.backends[0].weight) = (7, Percent::HUNDRED);
    let status = ScalableServiceStatus { failover: Some(forged), ..ScalableServiceStatus::default() };
    let asked = |standby_for: &str| {
        let spare =
            SHOP.replace("NAME", "spare").replace("namespace: shops", "namespace: other") + standby_for;
        let spare: ScalableService = serde_saphyr::from_str(&spare).unwrap();
        let (services, (known, mut writer)) = (Services::default(), reflector::store());
        writer.apply_watcher_event(&watcher::Event::Apply(DeserializeGuard(Ok(spare))));
        services.add(known);
        // As a new leader reads it.
        let (_, entry, _) = before(&shop.service, &status, &services);
        entry.asks.unwrap().into_values().map(|ask| ask.replicas).sum::<i32>()
    };
    assert_eq!(asked(""), 0);
    assert_eq!(asked("  standbyFor: [{namespace: shops, name: another}]\n"), 0);
    assert_eq!(asked("  standbyFor: [{namespace: shops, name: shop}]\n"), 7);
}
