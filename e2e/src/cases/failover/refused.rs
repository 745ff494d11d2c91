//! Failover with a target that Plimsoll must not scale, or that does not exist.

use super::{standby::BACK_WITHIN, weight};
use crate::cases::prelude::*;

/// The next evaluation, and three samples after it.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

pub fn run(front: &Front<'_>) -> Result<()> {
    let test = &front.test;
    test.autoscale(SHOP)?;
    let refused = |seen: &Snapshot| seen.says("Ready").starts_with("False ScalerConflict");
    front.service.wait("refused", Duration::from_secs(10), refused)?;
    let broke = fault(test, SHOP, r#"{"unready": true}"#)?;
    let left = front.service.wait("on the standby, though refused", LEFT_WITHIN, |seen| {
        seen.at >= broke && refused(seen) && weight(seen) == 100
    })?;
    test.explain(SHOP, &["ScalerConflict", "Failover: Standby"])?;
    fault(test, SHOP, "{}")?;
    front.service.wait("back, though refused", BACK_WITHIN + Duration::from_secs(25), |seen| {
        seen.at > left.at && refused(seen) && weight(seen) == 0
    })?;
    let front_pods = test.follow("deployment", "shop-lb")?;
    // Without `replicas` Plimsoll does not set the number of balancers.
    front.change(&json!({"replicas": 2}), Duration::from_secs(20))?;
    test.kubectl("scale deployment shop-lb --replicas=3")?;
    let as_wanted = |seen: &Snapshot| seen.generation() >= 3 && seen.wanted() == 2;
    front_pods.wait("as wanted again, though refused", Duration::from_secs(30), as_wanted)?;
    test.kubectl("delete hpa shop-hpa")?;
    front.service.wait("not refused", Duration::from_secs(10), |seen| !refused(seen))?;
    let deleted = SystemTime::now();
    test.kubectl(&format!("delete deployment {SHOP}"))?;
    let left_without_target = front.service.wait("on the standby without a target", LEFT_WITHIN, |seen| {
        seen.at >= deleted && seen.says("Ready").starts_with("False TargetNotFound") && weight(seen) == 100
    })?;
    figure("refused, not ready until on the standby, s", seconds(broke, left.at));
    figure("deleted until on the standby, s", seconds(deleted, left_without_target.at));
    Ok(())
}
