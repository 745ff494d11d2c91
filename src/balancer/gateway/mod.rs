//! A Gateway that somebody else runs: which weights one rule of an HTTPRoute should have, what its controllers say of
//! it, and whether it answers. What an HTTPRoute can't say is a policy beside it.
//!
//! All of it is pure but for [`probe`]. Whoever runs the Gateway may say too early that it is done, or say it of an
//! older generation, or of nothing at all; so their word counts only for the generation that was written, and only
//! together with answers.

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
