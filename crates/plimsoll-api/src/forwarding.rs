//! What of `spec.traffic` is about the clients of a balancer: whom it believes who they are, and what it logs of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which requests stand in the access log: a line of JSON on standard output, without the query of the path.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Those answered 5xx or not at all.
    Errors,
    /// Errors, and one in a hundred of the others.
    Sampled,
    /// All.
    All,
}

/// A network in CIDR notation as spec has it: an address without leading zeros, `/` and the bits of its prefix.
#[must_use]
pub fn is_network(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let most = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let plain =
        prefix.chars().all(|digit| digit.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    plain && prefix.parse().is_ok_and(|bits: u8| bits <= most)
}
