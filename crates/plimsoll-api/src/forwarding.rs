//! `spec.traffic.accessLog`, and the networks in `spec.traffic`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests in the access log. Each is a line of JSON on standard output, without the query string.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Requests that are answered with 5xx or not at all.
    Errors,
    /// Errors, and one in a hundred of the others.
    Sampled,
    /// All.
    All,
}

/// Whether the text is a network in CIDR notation: an address, `/` and the length of the prefix, without leading zeros.
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
