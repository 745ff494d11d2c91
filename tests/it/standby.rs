//! The replicas of a standby: its own and those that other services claim.

use jiff::{SignedDuration, Timestamp};
use plimsoll_engine::{Asked, Decision, Memory, Observation, Pods, alone, turn};
use proptest::prelude::*;

use super::fixtures::{fresh, spec};

const SERVICE: &str = "{scaleTargetRef: {kind: Deployment, name: x}, maxReplicas: 40, period: 15s, \
                       kpis: [{name: load, type: Load, query: up, perReplica: '1'}]}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// It gets its own need plus the claims of other services, whether their requests have arrived or not. Afterwards it
    /// scales down no earlier than any other service.
    #[test]
    fn claims_are_added_to_its_own_need(own in 1..30i32, asked in 1..30i32, arrived in 0..100i32, restart in any::<bool>()) {
        let spec = spec(SERVICE);
        let (mut memory, mut replicas, mut now) = (Memory::default(), own, Timestamp::from_second(1_800_000_000).unwrap());
        let mut look = |memory: &mut Memory, asked: i32, arrived: i32| -> Decision {
            now += SignedDuration::from_secs(15);
            let mut sample = fresh(f64::from(own + arrived));
            sample.at = Some(now);
            let seen = Observation {
                replicas,
                pods: Pods::Counted { ready: replicas },
                samples: [("load".to_owned(), sample)].into(),
                asked: Asked { replicas: asked, arrived },
                ..Observation::default()
            };
            let decision = turn(&spec, &seen, memory, now, &mut alone).decision;
            replicas = decision.replicas;
            decision
        };
        for _ in 0..40 {
            prop_assert_eq!(look(&mut memory, 0, 0).own, own);
        }
        let most = (own + asked).min(40);
        let mut last = 0;
        for turn in 0..60 {
            // The requests of others arrive during the failover.
            let others = if turn < 20 { 0 } else { asked * arrived / 100 };
            let decision = look(&mut memory, asked, others);
            prop_assert_eq!(decision.own, own);
            last = decision.replicas;
            prop_assert!(turn < 10 || last == most, "{} of {} at turn {}", last, most, turn);
        }
        if restart {
            // A restart during the failover: requests that have not arrived are still needed, and those that have are not
            // counted twice.
            memory = Memory::default();
            let decision = look(&mut memory, asked, asked * arrived / 100);
            // A difference within the tolerance of 10 % is not detected.
            prop_assert!((decision.own - own).abs() <= most / 10, "{} of {}", decision.own, own);
            prop_assert!((decision.replicas - most).abs() <= most / 10, "{} of {}", decision.replicas, most);
            last = decision.replicas;
        }
        // 300 s of stabilization, then the scale-down.
        for _ in 0..19 {
            prop_assert_eq!(look(&mut memory, 0, 0).replicas, last);
        }
        for _ in 0..40 {
            last = look(&mut memory, 0, 0).replicas;
        }
        // A difference within the tolerance of 10 % stays.
        prop_assert!((0..=last / 10).contains(&(last - own)), "{} of {}", last, own);
    }
}
