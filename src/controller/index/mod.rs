//! Indexes of the watched objects, reduced to what decisions need: pods, nodes, scale targets, other scalers, routes.
//!
//! Each index is the only reader of its watch. A relist fills a new index, which then replaces the old one atomically.

mod follow;
mod fronts;
mod nodes;
mod owner;
mod pods;
mod routes;
mod scalers;
mod targets;

pub use follow::{Follow, SharedIndex, Workload, follow, read, write};
pub use fronts::{Front, Rollout};
pub use nodes::NodeIndex;
pub use owner::Owner;
pub use pods::{BalancerPod, PodIndex};
pub use routes::{RouteIndex, Served, route_workload};
pub use scalers::{Scaler, ScalerIndex, scaled_object_resource};
pub use targets::{Target, TargetIndex};
