//! An API server in memory: a `tower` service for kube's client and watches.
//!
//! It implements what the controller uses: list and watch with resource versions and bookmarks, get, create, update, patch
//! (merge, JSON, server-side apply with field managers), delete with preconditions and finalizers, and the
//! subresources status, scale and eviction. It does not validate schemas or set defaults. A call that the conformance
//! test does not compare with the real kube-apiserver ([`CALLS`]) is refused and fails the story.

mod answer;
mod calls;
mod connection;
mod ending;
mod eviction;
mod failure;
mod faults;
mod fields;
mod kinds;
mod managers;
mod objects;
mod open_watch;
mod request;
mod scale;
mod serve;
mod server;
mod store;
mod times;
mod watch;

pub use calls::{CALLS, Call};
pub use faults::{Effect, Scope};
pub use kinds::Kind;
pub use objects::Objects;
pub use server::{ApiServer, Fault};
