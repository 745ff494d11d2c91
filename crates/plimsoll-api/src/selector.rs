//! The schema of a `metav1.LabelSelector`. Kubernetes' own has no limits, which the cost of CEL rules needs, and its
//! descriptions would be a large part of the CRD.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A label selector of at most 16 labels and 16 expressions. Server-side apply replaces it as a whole, as in the built-in
/// kinds.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels that an object must have.",
                "type": "object",
                "maxProperties": 16,
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "description": "Conditions on labels, all of which must be true.",
                "type": "array",
                "maxItems": 16,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "Key of the label.",
                            "type": "string",
                            "minLength": 1,
                            // A prefix of 253, a slash, and a name of 63 characters.
                            "maxLength": 317,
                        },
                        "operator": {
                            "description": "Relation of the label to the values.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Values; required with In and NotIn, and not possible with Exists and DoesNotExist.",
                            "type": "array",
                            "maxItems": 64,
                            "items": {"type": "string", "maxLength": 63},
                        },
                    },
                },
            },
        },
    })
}
