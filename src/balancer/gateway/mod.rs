//! A Gateway run by another controller: the weights that a rule of an HTTPRoute should have, the status that controllers
//! report for the route, and whether the Gateway answers. A policy object has the settings that an HTTPRoute lacks.
//!
//! Everything except [`probe`] is pure. A Gateway controller may report success too early, for an older generation, or
//! without a generation. So its status counts only for the generation that was written, and only together with answers of
//! the Gateway.

mod accepted;
mod change;
mod original;
mod plan;
mod policy;
pub mod probe;
mod question;
mod route;

pub use accepted::{Acceptance, accepted};
pub use change::Change;
pub use original::put_back;
pub use plan::{Plan, Share, plan, shares};
pub use policy::{policy, policy_accepted, policy_fields, policy_resource};
pub use question::{Gateway, Question, questions};
pub use route::{
    API_VERSION, BackendRef, ORIGINALS_ANNOTATION, ParentRef, Route, Rule, gateway_resource, route_resource,
};

#[cfg(test)]
mod tests;
