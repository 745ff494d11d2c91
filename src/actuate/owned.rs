//! Ownership of objects: distinguishes those of a ScalableService from those of others with the same name.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Preconditions},
};

use crate::lease::{Permit, WriteError};
use plimsoll_api::ScalableService;

/// Whether `object` belongs to `service`.
pub(super) fn belongs_to<K: ResourceExt>(object: &K, service: &ScalableService) -> bool {
    object.owner_references().iter().any(|owner| Some(&owner.uid) == service.metadata.uid.as_ref())
}

/// Deletes `object`, but not a new object of the same name. An object that is deleted already is a success.
pub(super) async fn delete<K: ResourceExt>(
    api: &Api<DynamicObject>,
    object: &K,
    permit: &Permit,
) -> Result<(), WriteError> {
    let only_this = Preconditions { uid: object.uid(), ..Preconditions::default() };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::background() };
    match permit.write(api.delete(&object.name_any(), &params)).await {
        Err(error) if error.code() == Some(404) => Ok(()),
        other => other.map(drop),
    }
}
