//! Why there can't be a balancer.

use thiserror::Error;

use crate::lease::WriteError;

/// The longest name of a ScalableService with `spec.traffic`: `NAME-endpoints` is the name of a Service.
pub(super) const NAME_MAX: usize = 63 - "-endpoints".len();

/// Why there can't be a balancer.
#[derive(Debug, Error)]
pub enum BalancerError {
    /// No `spec.traffic`, or none that Plimsoll runs balancers for.
    #[error("there is no spec.traffic with a targetPort and a provider that Plimsoll runs")]
    NoTraffic,
    /// A Service can't be named after it.
    #[error(
        "metadata.name {0:?} can't have a spec.traffic: its Services are named after it, so it must begin with a letter \
         and have at most {NAME_MAX} letters, digits and -"
    )]
    Name(String),
    /// Nothing would be selected, or everything.
    #[error("the target's selector has no label with a value, which traffic needs to find the pods")]
    NoSelector,
    /// A port of the balancer's pod has another use.
    #[error(
        "spec.traffic.listeners has port {port}, which is not possible: port {inside} of the balancer's pods has another use \
         (ports below 1024 listen 10000 higher there, and 9101 to 9104 are their own); take another"
    )]
    Port {
        /// As in the spec.
        port: i32,
        /// The pod's.
        inside: i32,
    },
    /// A name is taken.
    #[error("the {kind} {name} is there and does not belong to this ScalableService; rename one of them")]
    Taken {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The write has no result.
    #[error("the {kind} {name} can't be written: {}", .error.said())]
    Write {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Why not.
        error: WriteError,
    },
    /// An object is no JSON, which can't be.
    #[error("an object of the balancer can't be written down: {0}")]
    Json(#[from] serde_json::Error),
}
