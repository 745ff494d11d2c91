//! Plimsoll keeps every service of a cluster above its load line. ARCHITECTURE.md has the bird's eye view.
#![deny(missing_docs)]

pub mod api;
pub mod engine;
