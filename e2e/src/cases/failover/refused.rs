//! A target that Plimsoll must not scale, or that is not there: requests go to the standby all the same.

use super::{standby::BACK_WITHIN, weight};
use crate::cases::prelude::*;

/// The next look, and three samples after it.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

pub fn run(front: &Front<'_>) -> Result<()> {
    let scene = &front.scene;
    scene.autoscale(SHOP)?;
    let refused = |sight: &Sight| sight.says("Ready").starts_with("False ScalerConflict");
    front.service.wait("refused", Duration::from_secs(10), refused)?;
    let broke = fault(scene, SHOP, r#"{"unready": true}"#)?;
    let left = front.service.wait("on the standby, though refused", LEFT_WITHIN, |sight| {
        sight.at >= broke && refused(sight) && weight(sight) == 100
    })?;
    scene.explain(SHOP, &["ScalerConflict", "Failover: Standby"])?;
    fault(scene, SHOP, "{}")?;
    front.service.wait("back, though refused", BACK_WITHIN + Duration::from_secs(25), |sight| {
        sight.at > left.at && refused(sight) && weight(sight) == 0
    })?;
    let front_pods = scene.follow("deployment", "shop-lb")?;
    // Without it the number of balancers belongs to whoever scales them.
    front.change(&json!({"replicas": 2}), Duration::from_secs(20))?;
    scene.kubectl("scale deployment shop-lb --replicas=3")?;
    let as_wanted = |sight: &Sight| sight.generation() >= 3 && sight.wanted() == 2;
    front_pods.wait("as wanted again, though refused", Duration::from_secs(30), as_wanted)?;
    scene.kubectl("delete hpa shop-hpa")?;
    front.service.wait("not refused", Duration::from_secs(10), |sight| !refused(sight))?;
    let deleted = SystemTime::now();
    scene.kubectl(&format!("delete deployment {SHOP}"))?;
    let gone = front.service.wait("on the standby without a target", LEFT_WITHIN, |sight| {
        sight.at >= deleted && sight.says("Ready").starts_with("False TargetNotFound") && weight(sight) == 100
    })?;
    figure("refused, not ready until on the standby, s", seconds(broke, left.at));
    figure("deleted until on the standby, s", seconds(deleted, gone.at));
    Ok(())
}
