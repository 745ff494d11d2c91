//! Objects of Plimsoll in files, checked as by the API server: the schema of the CRD, with unknown fields refused, then its CEL
//! rules by their Rust counterparts.

use std::sync::LazyLock;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSON, JSONSchemaProps as Schema},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::CustomResourceExt;
use schemars::generate::SchemaSettings;

use crate::input::{
    Node,
    schema::{Problem, allowed, check},
    typed, yaml,
};
use plimsoll_api::words::near;
use plimsoll_api::{
    CapacityBudget, CapacityBudgetSpec, GROUP, Invalid, ScalableService, ScalableServiceSpec, VERSION,
    ValidBudget, Validated,
};

/// Kind of a service.
pub const SERVICE: &str = "ScalableService";
/// Kind of a budget.
pub const BUDGET: &str = "CapacityBudget";

/// The objects of a file in YAML or JSON, with the items of lists in their place.
///
/// # Errors
/// One sentence: why the text is not YAML, or which document is no object of Kubernetes. An object that is nearly one of
/// Plimsoll's is a mistake, too.
pub fn objects(bytes: &[u8]) -> Result<Vec<Node>, String> {
    let documents = yaml::text(bytes).and_then(yaml::documents)?;
    if let Some(path) = documents.iter().find_map(Node::duplicate_key) {
        return Err(format!("{path} is set twice; it must be set once"));
    }
    let mut objects = Vec::new();
    documents.into_iter().try_for_each(|document| add(document, &mut objects))?;
    Ok(objects)
}

fn add(document: Node, objects: &mut Vec<Node>) -> Result<(), String> {
    let Node::Map(_) = document else {
        return Err(format!(
            "a document is {document}; it must be an object with apiVersion, kind, metadata and spec"
        ));
    };
    let Some(kind) = document.get("kind") else {
        return Err(format!("kind is missing; it must be {SERVICE}, or that of an object beside it"));
    };
    match kind.text() {
        Some(SERVICE | BUDGET) => objects.push(document),
        Some("List" | "ScalableServiceList" | "CapacityBudgetList") => {
            let Node::Map(fields) = document else { return Ok(()) };
            let items = fields.into_iter().find(|(name, _)| name == "items");
            if let Some((_, Node::List(items))) = items {
                items.into_iter().try_for_each(|item| add(item, objects))?;
            }
        }
        Some(other) if near(other, &[SERVICE, BUDGET]).is_none() && !is_ours(&document) => {
            objects.push(document)
        }
        found => {
            let meant = found.and_then(|found| near(found, &[SERVICE, BUDGET])).unwrap_or(SERVICE);
            return Err(format!("kind is {kind}; it must be {meant}"));
        }
    }
    Ok(())
}

/// Whether the object belongs to Plimsoll's API group.
fn is_ours(object: &Node) -> bool {
    let version = object.get("apiVersion").and_then(Node::text);
    version.is_some_and(|version| version.split('/').next() == Some(GROUP))
}

/// The kind of an object.
#[must_use]
pub fn kind(object: &Node) -> &str {
    object.get("kind").and_then(Node::text).unwrap_or_default()
}

/// A text field of an object's metadata.
#[must_use]
pub fn metadata<'a>(object: &'a Node, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.text()
}

/// A valid ScalableService, with its spec as it was written.
///
/// # Errors
/// A sentence for each mistake.
pub fn service(object: &Node) -> Result<(ScalableServiceSpec, Validated), Invalid> {
    valid(object, &SERVICE_SCHEMA, |name, namespace, spec: ScalableServiceSpec| {
        let mut service = ScalableService::new(name, spec);
        service.metadata.namespace = namespace;
        let valid = Validated::of(&service)?;
        Ok((service.spec, valid))
    })
}

/// A valid CapacityBudget.
///
/// # Errors
/// A sentence for each mistake.
pub fn budget(object: &Node) -> Result<ValidBudget, Invalid> {
    valid(object, &BUDGET_SCHEMA, |name, _, spec: CapacityBudgetSpec| {
        ValidBudget::of(&CapacityBudget::new(name, spec))
    })
}

/// The result of `rules` for an object that has a valid schema.
fn valid<S: serde::de::DeserializeOwned, T>(
    object: &Node,
    schema: &LazyLock<Result<Schema, String>>,
    rules: impl FnOnce(&str, Option<String>, S) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    let one = |sentence: String| Invalid(vec![sentence]);
    let schema = schema.as_ref().map_err(|error| one(error.clone()))?;
    let problems = problems(object, schema);
    let sentences = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.sentence);
    let (Some(spec), false) = (object.get("spec"), problems.iter().any(|problem| problem.fatal)) else {
        return Err(Invalid(sentences(problems).collect()));
    };
    let spec: S = typed(spec, "spec").map_err(one)?;
    let name = metadata(object, "name").unwrap_or_default();
    match rules(name, metadata(object, "namespace").map(str::to_owned), spec) {
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

static SERVICE_SCHEMA: LazyLock<Result<Schema, String>> = LazyLock::new(schema::<ScalableService>);
static BUDGET_SCHEMA: LazyLock<Result<Schema, String>> = LazyLock::new(schema::<CapacityBudget>);

/// The schema of a CRD with the fields that the API server adds: apiVersion, kind and metadata.
fn schema<T: CustomResourceExt>() -> Result<Schema, String> {
    let crd = T::crd();
    let kind = crd.spec.names.kind;
    let version = crd.spec.versions.into_iter().next();
    let mut schema = version.and_then(|version| version.schema?.open_api_v3_schema).unwrap_or_default();
    let only = |text: String| Schema {
        type_: Some("string".to_owned()),
        enum_: Some(vec![JSON(text.into())]),
        ..Schema::default()
    };
    let fields = schema.properties.get_or_insert_default();
    fields.insert("apiVersion".to_owned(), only(format!("{GROUP}/{VERSION}")));
    fields.insert("kind".to_owned(), only(kind));
    fields.insert("metadata".to_owned(), metadata_schema()?);
    // Only the operator writes the status; the API server drops a status that a user applies.
    fields.insert("status".to_owned(), Schema::default());
    schema.required = Some(["apiVersion", "kind", "metadata", "spec"].map(str::to_owned).into());
    Ok(schema)
}

fn metadata_schema() -> Result<Schema, String> {
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
