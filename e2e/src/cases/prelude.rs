//! What nearly every case uses.

pub use super::{
    Case, Lane, Theatre,
    pods::{Pod, fault, kill, pods},
    repeat::{count, figure, requests},
    scene::{DialService, Scene, Sight, Trail},
    traffic::{
        flow::{Account, Flow, why},
        front::{CARELESS, CONTROL, Front, SHOP, Setup, control, seconds, spread, unix},
    },
};
pub use crate::{prelude::*, stage::Dial};
