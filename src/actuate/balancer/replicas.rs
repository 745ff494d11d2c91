//! Ownership of `spec.replicas` of a balancer's Deployment: ours with `traffic.replicas`, otherwise that of any scaler.

use std::borrow::Cow;

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DynamicObject, PartialObjectMeta, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    field_managers::{BALANCER, BALANCER_REPLICAS},
    lease::{Permit, WriteError},
};
use plimsoll_api::Traffic;

/// The object to apply. A new Deployment gets its initial replicas. If the replicas are ours but no longer in the spec, they
/// are handed over unchanged first. `object` must not have another owner.
///
/// # Errors
/// The replicas can't be read or handed over.
pub(super) async fn settle<'a>(
    api: &Api<DynamicObject>,
    object: &'a DynamicObject,
    there: Option<&PartialObjectMeta<DynamicObject>>,
    permit: &Permit,
) -> Result<Cow<'a, DynamicObject>, WriteError> {
    let is_deployment = object.types.as_ref().is_some_and(|types| types.kind == Deployment::kind(&()));
    if !is_deployment || object.data.pointer("/spec/replicas").is_some() {
        return Ok(Cow::Borrowed(object));
    }
    match there {
        None => {
            let mut object = object.clone();
            if let Some(spec) = object.data.get_mut("spec").and_then(serde_json::Value::as_object_mut) {
                spec.insert("replicas".to_owned(), json!(Traffic::REPLICAS));
            }
            Ok(Cow::Owned(object))
        }
        Some(there) => {
            if are_ours(&there.metadata) {
                hand_over(api, object, permit).await?;
            }
            Ok(Cow::Borrowed(object))
        }
    }
}

/// Whether an earlier apply of ours set the replicas, and no other client has changed them since.
fn are_ours(metadata: &ObjectMeta) -> bool {
    let mut entries = metadata.managed_fields.iter().flatten();
    entries.any(|entry| {
        let ours = entry.manager.as_deref() == Some(BALANCER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.is_none();
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        ours && fields.is_some_and(|fields| fields.pointer("/f:spec/f:replicas").is_some())
    })
}

/// Transfers the replicas to another field manager. A change by a scaler between the two requests is overwritten once.
async fn hand_over(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    permit: &Permit,
) -> Result<(), WriteError> {
    let name = object.name_any();
    let scale = permit.read(api.get_scale(&name)).await?;
    let replicas = scale.spec.and_then(|spec| spec.replicas).unwrap_or(Traffic::REPLICAS);
    let own = json!({
        "apiVersion": Deployment::api_version(&()),
        "kind": Deployment::kind(&()),
        "metadata": {"name": name, "namespace": object.namespace()},
        "spec": {"replicas": replicas},
    });
    let params = PatchParams::apply(BALANCER_REPLICAS).force();
    permit.write(api.patch(&name, &params, &Patch::Apply(own))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_ours_until_another_client_changes_them() {
        let metadata = |manager: &str, operation: &str, spec: serde_json::Value| -> ObjectMeta {
            serde_json::from_value(json!({"managedFields": [
                {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": spec}},
            ]}))
            .unwrap()
        };
        let replicas = json!({"f:replicas": {}});
        assert!(are_ours(&metadata(BALANCER, "Apply", replicas.clone())));
        assert!(!are_ours(&metadata(BALANCER, "Apply", json!({"f:template": {}}))));
        assert!(!are_ours(&metadata("kubectl", "Update", replicas.clone())));
        assert!(!are_ours(&metadata(BALANCER_REPLICAS, "Apply", replicas)));
    }
}
