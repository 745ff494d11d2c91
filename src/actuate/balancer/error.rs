//! Errors of the balancer's objects.

use thiserror::Error;

use crate::lease::WriteError;

/// The longest name of a ScalableService with `spec.traffic`: `NAME-endpoints` is the name of a Service.
pub(super) const NAME_MAX: usize = 63 - "-endpoints".len();

/// Why a balancer's objects can't be made or written.
#[derive(Debug, Error)]
pub enum BalancerError {
    /// There is no `spec.traffic`, or Plimsoll runs no balancers for it.
    #[error("there is no spec.traffic with a targetPort and a provider that Plimsoll runs")]
    NoTraffic,
    /// The name is not valid for a Service.
    #[error(
        "metadata.name is {0:?}; with spec.traffic it must begin with a letter and have at most {NAME_MAX} \
         lower-case letters, digits and -, since Services are named after it"
    )]
    Name(String),
    /// The selector has no labels.
    #[error("the target's selector has no label with a value, which traffic needs to find the pods")]
    NoSelector,
    /// A port of the balancer's pod is not available.
    #[error(
        "spec.traffic.listeners has port {port}, which needs port {inside} of the balancer's pods; \
         that one is not available (ports below 1024 become port + 10000 there, and 9101 to 9104 are \
         reserved); use another port"
    )]
    Port {
        /// The port in the spec.
        port: i32,
        /// The port of the pod.
        inside: i32,
    },
    /// An object of this name exists already.
    #[error("{kind} {name} already exists and does not belong to this ScalableService; rename one of them")]
    Taken {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The write failed.
    #[error("{kind} {name} can't be written: {}", .error.message())]
    Write {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The cause.
        error: WriteError,
    },
    /// An object can't be serialized, which should not happen.
    #[error("an object of the balancer can't be serialized: {0}")]
    Json(#[from] serde_json::Error),
}
