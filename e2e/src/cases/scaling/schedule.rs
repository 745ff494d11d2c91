//! Floors by the calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::cases::{
    Theatre,
    scene::{Scene, Sight, Trail},
};

const NAMESPACE: &str = "scale-schedule";
/// A zone whose hours *and minutes* differ from UTC's: 5 h 45 min ahead, all year.
const ZONE: (&str, u64) = ("Asia/Kathmandu", 5 * 3600 + 45 * 60);
/// Time that the case needs before the minute ends.
const SET_UP: u64 = 15;

/// Two windows of one minute that meet at a full minute: the one begins where the other ends. A third has the digits
/// of the first in another zone, and must not be taken for it.
pub fn run(theatre: &Theatre) -> Result<String> {
    let scene = Scene::open(theatre, NAMESPACE)?;
    for name in ["opens", "closes", "elsewhere"] {
        scene.idle_deployment(name, 1)?;
    }
    let boundary = next_minute()?;
    schedule(&scene, "opens", ZONE.0, boundary + ZONE.1, 4)?;
    schedule(&scene, "closes", ZONE.0, boundary - 60 + ZONE.1, 3)?;
    schedule(&scene, "elsewhere", "UTC", boundary + ZONE.1, 4)?;
    let [opens, closes, elsewhere] =
        ["opens", "closes", "elsewhere"].map(|name| scene.follow("deployment", name));
    let (opens, closes, elsewhere) = (opens?, closes?, elsewhere?);
    closes.wait("lifted within its window", Duration::from_secs(8), |sight| sight.wanted() == 3)?;
    ensure!(seconds_now()? < boundary, "setting up took longer than {SET_UP} s");
    let left = Duration::from_secs(boundary.saturating_sub(seconds_now()?) + 10);
    let opened = opens.wait("lifted", left, |sight| sight.wanted() == 4)?;
    let closed = closes.wait("let go", left, |sight| sight.wanted() == 1)?;
    let (opened, closed) = (after(&opened, boundary)?, after(&closed, boundary)?);
    ensure!(
        (0.0..2.0).contains(&opened),
        "lifted {opened:.2} s after the window's begin; 0 to 2 s are allowed"
    );
    ensure!(
        (0.0..6.0).contains(&closed),
        "let go {closed:.2} s after the window's end; a period of 5 s is allowed"
    );
    scene.kubectl(&["rollout", "status", "deployment/opens", "--timeout=10s"])?;
    ensure!(
        elsewhere.wanted() == [1],
        "a window in another zone changed the replicas: {:?}",
        elsewhere.wanted()
    );
    ensure!(opens.wanted() == [1, 4], "a window of a minute: {:?}", opens.wanted());
    says_so(&scene)?;
    Ok(format!(
        "lifted 1 -> 4 {opened:.2} s after {}'s minute began; let go 3 -> 1 {closed:.2} s after it ended",
        ZONE.0
    ))
}

fn schedule(scene: &Scene<'_>, name: &str, zone: &str, local: u64, floor: u32) -> Result<()> {
    let (hour, minute) = (local / 3600 % 24, local / 60 % 60);
    let namespace = scene.namespace;
    scene.apply(&format!(
        r#"
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {{kind: Deployment, name: {name}}}
  minReplicas: 1
  maxReplicas: 5
  period: 5s
  schedule: [{{name: window, timeZone: {zone}, start: "{minute} {hour} * * *", duration: 1m, minReplicas: {floor}}}]
  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
"#
    ))
}

/// The service says what lifted it.
fn says_so(scene: &Scene<'_>) -> Result<()> {
    let service: Trail = scene.follow("scalableservice", "opens")?;
    let why = |sight: &Sight| sight.text("/status/summary/why") == "ScheduleFloor";
    service.wait("explained by its schedule", Duration::from_secs(5), why)?;
    scene.explain("opens", &["has 4 replicas", "schedule window"])
}

/// The next full minute that leaves time to set up.
fn next_minute() -> Result<u64> {
    let left = 60 - seconds_now()? % 60;
    if left < SET_UP {
        std::thread::sleep(Duration::from_secs(left));
    }
    Ok(seconds_now()? / 60 * 60 + 60)
}

fn seconds_now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn after(sight: &Sight, boundary: u64) -> Result<f64> {
    Ok(sight.at.duration_since(UNIX_EPOCH)?.as_secs_f64() - boundary as f64)
}
