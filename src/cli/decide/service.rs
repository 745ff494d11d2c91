//! The ScalableService of a file, checked as by the API server: the schema of the CRD, with unknown fields refused, then its
//! CEL rules by their Rust counterparts in [`Validated`].

use std::sync::LazyLock;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSON, JSONSchemaProps as Schema},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::CustomResourceExt as _;
use schemars::generate::SchemaSettings;

use crate::input::{
    Node,
    schema::{Problem, allowed, check},
    typed, yaml,
};
use plimsoll_api::words::near;
use plimsoll_api::{GROUP, Invalid, ScalableService, ScalableServiceSpec, VERSION, Validated};

const KIND: &str = "ScalableService";

/// Reads the one ScalableService among the objects of a file in YAML or JSON.
///
/// # Errors
/// A sentence for each mistake.
pub fn service(bytes: &[u8]) -> Result<Validated, Invalid> {
    let documents = yaml::text(bytes).and_then(yaml::documents).map_err(one)?;
    if let Some(path) = documents.iter().find_map(Node::duplicate_key) {
        return Err(one(format!("{path} is set twice; it must be set once")));
    }
    let object = only(&documents).map_err(one)?;
    let schema = SCHEMA.as_ref().map_err(|error| one(error.clone()))?;
    valid(object, schema)
}

fn one(sentence: String) -> Invalid {
    Invalid(vec![sentence])
}

/// The only ScalableService; other objects are ignored.
fn only(documents: &[Node]) -> Result<&Node, String> {
    let mut services = Vec::new();
    for document in documents {
        add(document, &mut services)?;
    }
    match services.as_slice() {
        [service] => Ok(service),
        others => {
            Err(format!("the file has {} objects of kind {KIND}; it must have exactly one", others.len()))
        }
    }
}

fn add<'a>(document: &'a Node, services: &mut Vec<&'a Node>) -> Result<(), String> {
    let Node::Map(_) = document else {
        return Err(format!(
            "a document is {document}; it must be an object with apiVersion, kind, metadata and spec"
        ));
    };
    let Some(kind) = document.get("kind") else {
        return Err(format!("kind is missing; it must be {KIND}, or that of an object beside it"));
    };
    match kind.text() {
        Some(KIND) => services.push(document),
        Some("List" | "ScalableServiceList") => {
            if let Some(Node::List(items)) = document.get("items") {
                items.iter().try_for_each(|item| add(item, services))?;
            }
        }
        Some(other) if near(other, &[KIND]).is_none() && !is_ours(document) => {}
        _ => return Err(format!("kind is {kind}; it must be {KIND}")),
    }
    Ok(())
}

/// Whether the object belongs to Plimsoll's API group.
fn is_ours(object: &Node) -> bool {
    let version = object.get("apiVersion").and_then(Node::text);
    version.is_some_and(|version| version.split('/').next() == Some(GROUP))
}

fn valid(object: &Node, schema: &Schema) -> Result<Validated, Invalid> {
    let problems = problems(object, schema);
    let sentences = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.sentence);
    let (Some(spec), false) = (object.get("spec"), problems.iter().any(|problem| problem.fatal)) else {
        return Err(Invalid(sentences(problems).collect()));
    };
    let spec: ScalableServiceSpec = typed(spec, "spec").map_err(one)?;
    let mut service = ScalableService::new(name(object, "name").unwrap_or_default(), spec);
    service.metadata.namespace = name(object, "namespace").map(str::to_owned);
    match Validated::of(&service) {
        Ok(valid) if problems.is_empty() => Ok(valid),
        others => {
            // If both refuse a field, the sentence of the Rust rule is the clearer one.
            let mut refusals = others.err().map(|invalid| invalid.0).unwrap_or_default();
            let more = problems
                .into_iter()
                .filter(|problem| !refusals.iter().any(|refusal| refusal.starts_with(&problem.path)));
            let more: Vec<_> = sentences(more.collect()).collect();
            refusals.extend(more);
            Err(Invalid(refusals))
        }
    }
}

fn name<'a>(object: &'a Node, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.text()
}

fn problems(object: &Node, schema: &Schema) -> Vec<Problem> {
    let mut problems = Vec::new();
    check(object, schema, "", &mut problems);
    let metadata = object.get("metadata");
    let unnamed = |metadata: &&Node| metadata.get("name").or_else(|| metadata.get("generateName")).is_none();
    if metadata.filter(unnamed).is_some() {
        let path = "metadata.name".to_owned();
        let sentence = format!("{path} is missing; it must be {}", allowed(&object_name()));
        problems.push(Problem { path, sentence, fatal: true });
    }
    problems
}

/// The schema of the CRD with the fields that the API server adds: apiVersion, kind and metadata.
static SCHEMA: LazyLock<Result<Schema, String>> = LazyLock::new(|| {
    let crd = ScalableService::crd();
    let version = crd.spec.versions.into_iter().next();
    let mut schema = version.and_then(|version| version.schema?.open_api_v3_schema).unwrap_or_default();
    let only = |text: String| Schema {
        type_: Some("string".to_owned()),
        enum_: Some(vec![JSON(text.into())]),
        ..Schema::default()
    };
    let fields = schema.properties.get_or_insert_default();
    fields.insert("apiVersion".to_owned(), only(format!("{GROUP}/{VERSION}")));
    fields.insert("kind".to_owned(), only(KIND.to_owned()));
    fields.insert("metadata".to_owned(), metadata()?);
    // Only the operator writes the status; the API server drops a status that a user applies.
    fields.insert("status".to_owned(), Schema::default());
    schema.required = Some(["apiVersion", "kind", "metadata", "spec"].map(str::to_owned).into());
    Ok(schema)
});

fn metadata() -> Result<Schema, String> {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<ObjectMeta>();
    let mut schema: Schema = serde_json::from_value(schema.into()).map_err(|error| error.to_string())?;
    let fields = schema.properties.get_or_insert_default();
    fields.insert("name".to_owned(), object_name());
    Ok(schema)
}

/// The name of an object: a DNS subdomain.
fn object_name() -> Schema {
    Schema {
        type_: Some("string".to_owned()),
        min_length: Some(1),
        max_length: Some(253),
        pattern: Some("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$".to_owned()),
        ..Schema::default()
    }
}
