//! Tests of the pure parts.

mod command;
mod config;
mod plan;
mod seen;

use std::path::Path;

use plimsoll_api::Percent;
use serde_json::Value;

use super::Paths;
use crate::balancer::{
    Standby, Wanted,
    sample::{self, server},
};

fn wanted(more: &Value) -> Wanted {
    sample::wanted("HAProxy", more)
}

fn paths() -> Paths {
    Paths::in_folder(Path::new("/run/plimsoll"))
}

fn standby(name: &str, address: Option<&str>, weight: u8) -> Standby {
    let addresses = address.iter().map(|address| address.parse().unwrap()).collect();
    let weight = Percent::clamped(weight.into());
    Standby { name: name.to_owned(), addresses, weight, replicas: 3, tls: None }
}
