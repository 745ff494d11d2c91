//! The field managers of Plimsoll's writes (`managedFields`): one for each concern.

/// Owner of a target's `spec.replicas`.
pub const REPLICAS: &str = "plimsoll-replicas";
/// Owner of a ScalableService's status, except for the agents' entries.
pub const STATUS: &str = "plimsoll-status";
/// Owner of every field of the objects of balancers.
pub const BALANCER: &str = "plimsoll-balancer";
/// Owner of `spec.replicas` of a balancer's Deployment once another client may scale it. The API server removes a field that
/// its last owner stops applying, and a Deployment without `spec.replicas` has one replica.
pub const BALANCER_REPLICAS: &str = "plimsoll-balancer-replicas";
/// Owner of the weights of an HTTPRoute's rule, and of a BackendTrafficPolicy's fields.
pub const GATEWAY: &str = "plimsoll-gateway";
/// Owner of the annotations that mark pods for deletion first.
pub const DRAIN: &str = "plimsoll-drain";
/// Owner of the finalizer of a ScalableService.
pub const FINALIZER: &str = "plimsoll-finalizer";
/// Owner of the fields that users set with the kubectl plugin.
pub const PLUGIN: &str = "kubectl-plimsoll";

/// Owner of the entry of the balancer in `pod`, in `status.traffic.balancers`.
#[must_use]
pub fn agent(pod: &str) -> String {
    // A field manager has at most 128 characters.
    format!("plimsoll-lb-{pod}").chars().take(128).collect()
}
