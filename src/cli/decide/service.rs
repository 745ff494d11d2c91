//! The one ScalableService of a file.

use crate::cli::manifest;
use plimsoll_api::{Invalid, Validated};

/// Reads the one ScalableService among the objects of a file in YAML or JSON; the others are ignored.
///
/// # Errors
/// A sentence for each mistake.
pub fn service(bytes: &[u8]) -> Result<Validated, Invalid> {
    let one = |sentence: String| Invalid(vec![sentence]);
    let objects = manifest::objects(bytes).map_err(one)?;
    let services: Vec<_> =
        objects.iter().filter(|object| manifest::kind(object) == manifest::SERVICE).collect();
    match services.as_slice() {
        [service] => manifest::service(service).map(|(_, valid)| valid),
        others => {
            let (count, kind) = (others.len(), manifest::SERVICE);
            Err(one(format!("the file has {count} objects of kind {kind}; it must have exactly one")))
        }
    }
}
