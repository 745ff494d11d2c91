//! JSON patches (RFC 6902) of objects of other owners.

use kube::api::{Patch, PatchParams};
use serde_json::Value;

/// The patch with these operations, and its parameters.
///
/// # Errors
/// An operation is not valid by RFC 6902.
pub fn json_patch(manager: &str, operations: Vec<Value>) -> Result<(PatchParams, Patch<()>), kube::Error> {
    let patch = serde_json::from_value(Value::Array(operations)).map_err(kube::Error::SerdeError)?;
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    Ok((params, Patch::Json(patch)))
}
