//! Imports of nearly every file.

pub use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use fs_err as fs;
pub use serde_json::{Value, json};

pub use crate::{object::Object, process::wait_for};
