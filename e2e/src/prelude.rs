//! What nearly every file uses.

pub use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use serde_json::{Value, json};

pub use crate::{object::Object, process::wait_for};
