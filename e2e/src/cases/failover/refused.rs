//! A target that Plimsoll must not scale, or that is not there: requests go to the standby all the same.

use super::{standby::BACK_WITHIN, weight};
use crate::cases::prelude::*;

/// The next look, and three samples after it.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

pub fn run(front: &Front<'_>) -> Result<()> {
    let test_namespace = &front.test_namespace;
    test_namespace.autoscale(SHOP)?;
    let refused = |snapshot: &Snapshot| snapshot.says("Ready").starts_with("False ScalerConflict");
    front.service.wait("refused", Duration::from_secs(10), refused)?;
    let broke = fault(test_namespace, SHOP, r#"{"unready": true}"#)?;
    let left = front.service.wait("on the standby, though refused", LEFT_WITHIN, |snapshot| {
        snapshot.at >= broke && refused(snapshot) && weight(snapshot) == 100
    })?;
    test_namespace.explain(SHOP, &["ScalerConflict", "Failover: Standby"])?;
    fault(test_namespace, SHOP, "{}")?;
    front.service.wait("back, though refused", BACK_WITHIN + Duration::from_secs(25), |snapshot| {
        snapshot.at > left.at && refused(snapshot) && weight(snapshot) == 0
    })?;
    let front_pods = test_namespace.follow("deployment", "shop-lb")?;
    // Without it the number of balancers belongs to whoever scales them.
    front.change(&json!({"replicas": 2}), Duration::from_secs(20))?;
    test_namespace.kubectl("scale deployment shop-lb --replicas=3")?;
    let as_wanted = |snapshot: &Snapshot| snapshot.generation() >= 3 && snapshot.wanted() == 2;
    front_pods.wait("as wanted again, though refused", Duration::from_secs(30), as_wanted)?;
    test_namespace.kubectl("delete hpa shop-hpa")?;
    front.service.wait("not refused", Duration::from_secs(10), |snapshot| !refused(snapshot))?;
    let deleted = SystemTime::now();
    test_namespace.kubectl(&format!("delete deployment {SHOP}"))?;
    let gone = front.service.wait("on the standby without a target", LEFT_WITHIN, |snapshot| {
        snapshot.at >= deleted
            && snapshot.says("Ready").starts_with("False TargetNotFound")
            && weight(snapshot) == 100
    })?;
    figure("refused, not ready until on the standby, s", seconds(broke, left.at));
    figure("deleted until on the standby, s", seconds(deleted, gone.at));
    Ok(())
}
