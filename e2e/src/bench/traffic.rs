//! What a change behind HAProxy costs: the root package's own bench, with the sample shop as load and replicas.

use anyhow::{Context, Result};
use serde_json::Value;

use super::engine::root_bench;
use crate::stage::{Built, Profile};

/// Builds the shop, and runs `benches/traffic`; its line of JSON.
pub fn run() -> Result<Value> {
    let built = Built::make(Profile::Image)?;
    let shop = built.shop.to_str().context("the path of the shop is no text")?;
    root_bench("traffic", &[shop])
}
