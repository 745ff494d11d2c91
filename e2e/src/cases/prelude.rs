//! What nearly every case uses.

pub use std::{
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use serde_json::{Value, json};

pub use super::{
    Case, Lane, Theatre,
    pods::{Pod, fault, pods},
    repeat::{count, figure, requests},
    scene::{DialService, Scene, Sight, Trail},
    traffic::{
        flow::{Account, Flow, why},
        front::{CARELESS, CONTROL, Front, SHOP, Setup, control, seconds, spread, unix},
    },
};
pub use crate::{object::Object, process::wait_for, stage::Dial};
