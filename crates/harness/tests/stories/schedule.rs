//! Floors of a schedule.

use std::time::Duration;

use jiff::Timestamp;
use plimsoll_harness::{history::History, world::World};

use crate::manifests::deployment;

const NAMESPACE: &str = "scale-schedule";
/// A zone that differs from UTC in hours *and minutes*: 5 h 45 min ahead, all year.
const ZONE: &str = "Asia/Kathmandu";

/// Two windows of one minute that meet at a full minute: one begins when the other ends. A third window has the same times
/// as the first in another zone, and must not open with it. A world begins at 09:00 UTC, which is 14:45 in the zone.
#[tokio::test(start_paused = true)]
async fn schedule_raises_the_floor_for_its_window_in_its_own_zone() {
    let world = World::default();
    let operator = world.operator("plimsoll-0");
    let floor = |name: &str| {
        operator.metric(&format!("plimsoll_replicas_min{{namespace=\"{NAMESPACE}\",name=\"{name}\"}}"))
    };
    for name in ["opens", "closes", "elsewhere"] {
        deployment(&world, NAMESPACE, name, 1);
    }
    schedule(&world, "opens", ZONE, "46 14", 4);
    schedule(&world, "closes", ZONE, "45 14", 3);
    schedule(&world, "elsewhere", "UTC", "46 14", 4);
    let boundary: Timestamp = "2026-06-01T09:01:00Z".parse().unwrap();
    let [opens, closes, elsewhere] =
        ["opens", "closes", "elsewhere"].map(|name| world.follow("deployments", NAMESPACE, name));
    closes.wait("raised within its window", Duration::from_secs(8), |version| version.replicas() == 3).await;
    assert!(world.clock.now() < boundary);
    assert_eq!(floor("closes").as_deref(), Some("3.0"), "the metric has the floor of the schedule");
    assert_eq!(floor("opens").as_deref(), Some("1.0"), "and minReplicas outside of its windows");

    let (opened, closed) = tokio::join!(at(&world, &opens, 4), at(&world, &closes, 1));
    let after = |at: Timestamp| at.duration_since(boundary).as_secs_f64();
    let (opened, closed) = (after(opened), after(closed));
    assert!((0.0..2.0).contains(&opened), "raised {opened:.2} s after the window's start");
    assert!(
        (0.0..6.0).contains(&closed),
        "lowered {closed:.2} s after the window's end; a period of 5 s is allowed"
    );

    let service = world.follow("scalableservices", NAMESPACE, "opens");
    service
        .wait("explained by its schedule", Duration::from_secs(5), |version| {
            version.text("/status/summary/why") == "ScheduleFloor"
        })
        .await;
    world.explain(NAMESPACE, "opens", &["has 4 replicas", "schedule window"]).await;
    opens
        .wait("with four ready replicas", Duration::from_secs(10), |version| {
            version.number("/status/readyReplicas") == 4
        })
        .await;
    assert_eq!(elsewhere.replicas(), [1], "a window in another zone changed the replicas");
    assert_eq!(opens.replicas(), [1, 4]);
    at(&world, &opens, 1).await;
}

/// Waits until a Deployment has this number of replicas, and returns the time.
async fn at(world: &World, target: &History<'_>, replicas: i64) -> Timestamp {
    let within = Duration::from_secs(75);
    target.wait(&format!("at {replicas}"), within, |version| version.replicas() == replicas).await;
    world.clock.now()
}

fn schedule(world: &World, name: &str, zone: &str, minute_and_hour: &str, floor: u32) {
    world.objects.apply(&format!(
        r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  minReplicas: 1
  maxReplicas: 5
  period: 5s
  schedule: [{{name: window, timeZone: {zone}, start: "{minute_and_hour} * * *", duration: 1m, minReplicas: {floor}}}]
  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
"#
    ));
}
