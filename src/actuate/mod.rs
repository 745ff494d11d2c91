//! Writes to the cluster: one file for each kind of action, one field manager for each concern. All requests need a
//! [`Permit`](crate::lease::Permit), so that only the leader writes.

use std::time::Duration;

pub mod balancer;
mod event;
mod event_queue;
mod evict;
mod finalizer;
mod gateway;
mod json_patch;
mod mark;
mod owned;
mod scale;
mod status;

pub use crate::api_error::{message_of, result_of};
pub use event::{Events, Note};
pub use event_queue::EventQueue;
pub use evict::{Evictor, client_without_retries};
pub use finalizer::{FINALIZER, add_finalizer, has_finalizer, remove_finalizer};
pub use gateway::{FoundPolicy, apply_policy, delete_policy, find_policy, is_stale, patch_route, routes_of};
pub use mark::{COST_BEFORE, mark, unmark};
pub use scale::{FoundScale, ScaleError, write_scale};
pub use status::{forget_balancer, write_status};

/// Time limit of a write.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
