//! What is written to the cluster, one file for each kind of action and one field manager for each concern.

mod event;
mod scale;
mod status;

pub use event::{Events, Note};
pub use scale::{ScaleError, result_of, said, write_scale};
pub use status::write_status;
