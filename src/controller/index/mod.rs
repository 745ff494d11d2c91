//! What the watches know, in as few bytes as the decisions need: pods, nodes, scale targets, other scalers, routes.
//!
//! Each index is the only reader of its watch; a relist fills a fresh index and takes its place at once.

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
