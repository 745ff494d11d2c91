//! Failover, from a user's YAML to the routing of requests.

mod evidence;
mod properties;
mod stories;
mod switches;
mod world;
