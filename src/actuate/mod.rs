//! What is written to the cluster, one file for each kind of action and one field manager for each concern.

pub mod balancer;
mod event;
mod evict;
mod gateway;
mod mark;
mod owned;
mod scale;
mod status;

pub use event::{Events, Note};
pub use evict::{Evictor, client_without_retries};
pub use gateway::{FoundPolicy, apply_policy, delete_policy, find_policy, is_stale, patch_route};
pub use mark::{COST_BEFORE, mark, unmark};
pub use scale::{ScaleError, result_of, said, write_scale};
pub use status::{forget_balancer, write_status};
