//! Imports of nearly every case.

pub use super::{
    Case, Fixture, Lane,
    pods::{Pod, fault, kill, pods},
    repeat::{count, figure, requests},
    test_namespace::{DialService, Snapshot, TestNamespace, WatchLog},
    traffic::{
        flow::{Account, Flow, why},
        front::{CARELESS, CONTROL, Front, SHOP, Setup, control, seconds, spread, unix},
    },
};
pub use crate::{prelude::*, stage::Dial};
