//! Failover, from a user's YAML to where requests go.

mod evidence;
mod properties;
mod stories;
mod switches;
mod world;
