//! The transcript: the server's response to each step, without the parts that always differ between two servers.

use std::collections::BTreeMap;

use k8s_openapi::serde::Serialize;
use serde_json::{Value, json};

use crate::{
    controller::Controller,
    projection::{project, widen},
    stage::Stage,
};

/// Steps by name, with normalised responses.
#[derive(Debug, Default)]
pub struct Transcript(Vec<(String, Value)>);

impl Transcript {
    /// The steps with different responses, line by line.
    #[cfg(feature = "real")]
    pub fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        for step in 0..self.0.len().max(other.0.len()) {
            let (one, two) = (self.0.get(step), other.0.get(step));
            if one != two {
                let name = one.or(two).map(|(name, _)| name.as_str()).unwrap_or_default();
                text += &format!("\n# {name}\n{}", diff(&yaml(one), &yaml(two)));
            }
        }
        text
    }
}

#[cfg(feature = "real")]
fn yaml(step: Option<&(String, Value)>) -> String {
    step.map(|(_, answer)| serde_saphyr::to_string(answer).unwrap()).unwrap_or_default()
}

/// A plain diff: longest common subsequence.
#[cfg(feature = "real")]
fn diff(one: &str, two: &str) -> String {
    let (one, two): (Vec<&str>, Vec<&str>) = (one.lines().collect(), two.lines().collect());
    let mut common = vec![vec![0; two.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..two.len()).rev() {
            common[i][j] = if one[i] == two[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < one.len() || j < two.len() {
        if i < one.len() && j < two.len() && one[i] == two[j] {
            text += &format!("  {}\n", one[i]);
            (i, j) = (i + 1, j + 1);
        } else if j == two.len() || (i < one.len() && common[i + 1][j] >= common[i][j + 1]) {
            text += &format!("- {}\n", one[i]);
            i += 1;
        } else {
            text += &format!("+ {}\n", two[j]);
            j += 1;
        }
    }
    text
}

/// A run of the steps on one server.
pub struct Play {
    /// The client of the controller.
    pub client: Controller,
    stage: Stage,
    transcript: Transcript,
    /// The fields set so far, by object.
    masks: BTreeMap<String, Value>,
    /// The last observed resourceVersion of each object.
    versions: BTreeMap<String, String>,
    /// Texts that differ between servers, such as UIDs, with their placeholders.
    names: Vec<(String, String)>,
}

impl Play {
    pub fn new(client: Controller, stage: Stage) -> Self {
        Self {
            client,
            stage,
            transcript: Transcript::default(),
            masks: BTreeMap::new(),
            versions: BTreeMap::new(),
            names: Vec::new(),
        }
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    pub fn end(self) -> Transcript {
        self.transcript
    }

    /// Records a response.
    pub fn record(&mut self, step: &str, answer: &Value) {
        let mut text = answer.to_string();
        for (random, name) in &self.names {
            text = text.replace(random, name);
        }
        self.transcript.0.push((step.to_owned(), serde_json::from_str(&text).unwrap()));
    }

    /// Records an error or a success.
    pub fn record_result<T>(&mut self, step: &str, result: Result<T, kube::Error>) {
        self.record_answer(step, result.map(|_| "ok"));
    }

    /// Records an error or the response.
    pub fn record_answer<T: Serialize>(&mut self, step: &str, result: Result<T, kube::Error>) {
        let answer = match result {
            Ok(answer) => json!({"ok": answer}),
            Err(error) => json!({"error": self.error(&error)}),
        };
        self.record(step, &answer);
    }

    /// Records an error or the object, normalised by [`Self::normal`].
    pub fn record_object<T: Serialize>(&mut self, step: &str, plural: &str, result: Result<T, kube::Error>) {
        let normal = result.map(|object| {
            let object = serde_json::to_value(object).unwrap();
            if object.is_null() { object } else { self.normal(plural, &object) }
        });
        self.record_answer(step, normal);
    }

    /// The Status of the server, or the message of another error.
    pub fn error(&self, error: &kube::Error) -> Value {
        match error {
            kube::Error::Api(status) => {
                let mut status = serde_json::to_value(status).unwrap();
                status.as_object_mut().unwrap().retain(|name, _| name != "metadata" && name != "status");
                status
            }
            error => json!(error.to_string()),
        }
    }

    /// Records the stored object.
    pub async fn observe(&mut self, step: &str, plural: &str, name: &str) {
        let object = self.stage.get(plural, name).await;
        let answer = object.map_or(json!("missing"), |object| self.normal(plural, &object));
        self.record(&format!("{step}: {plural}/{name}"), &answer);
    }

    /// Applies an object as a user (`kubectl apply --server-side`).
    pub async fn apply(&mut self, plural: &str, object: Value) {
        self.sets(plural, object["metadata"]["name"].as_str().unwrap(), &object);
        self.stage.apply(plural, object).await;
    }

    /// Patches an object or a subresource as a user (`kubectl patch --type=merge`).
    pub async fn patch(&mut self, plural: &str, name: &str, subresource: Option<&str>, patch: Value) {
        self.sets(plural, name, &patch);
        self.stage.patch(plural, name, subresource, patch).await;
    }

    /// Records that the test sets these fields of an object.
    pub fn sets(&mut self, plural: &str, name: &str, object: &Value) {
        widen(self.masks.entry(format!("{plural}/{name}")).or_default(), object);
    }

    /// Replaces a text that differs between the servers by `name`.
    pub fn rename(&mut self, text: &str, name: &str) {
        self.names.push((text.to_owned(), name.to_owned()));
    }

    /// An object without UIDs, times, resource versions and defaults.
    pub fn normal(&mut self, plural: &str, object: &Value) -> Value {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let id = format!("{plural}/{}", text("name"));
        if !self.names.iter().any(|(uid, _)| *uid == text("uid")) && metadata["uid"].is_string() {
            let name = format!("UID of {id} ");
            let count = self.names.iter().filter(|(_, other)| other.starts_with(&name)).count();
            self.rename(&text("uid"), &format!("{name}{}", count + 1));
        }
        let mask = self.masks.get(&id).cloned().unwrap_or_default();
        let version = text("resourceVersion");
        let last = self.versions.insert(id, version.clone());
        let mut normal = json!({"version": if last == Some(version) { "same" } else { "new" }});
        for field in ["name", "generation", "labels", "annotations", "ownerReferences", "finalizers"] {
            if let Some(value) = metadata.get(field) {
                normal[field] = value.clone();
            }
        }
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            if metadata.get(field).is_some_and(|value| !value.is_null()) {
                normal[field] = json!("set");
            }
        }
        normal["managers"] = managers(plural, metadata);
        for (field, value) in object.as_object().unwrap() {
            if !matches!(field.as_str(), "apiVersion" | "kind" | "metadata") && mask.get(field).is_some() {
                normal[field] = project(value, &mask[field]);
                if field == "status" {
                    without_zeros(&mut normal, field);
                }
            }
        }
        normal
    }
}

/// Removes the zeros of a new status of a built-in kind, and the field itself if nothing else is left.
fn without_zeros(object: &mut Value, field: &str) {
    if let Some(fields) = object[field].as_object_mut() {
        fields.retain(|_, value| *value != 0);
        // A default of the CRD.
        if let Some(traffic) = fields.get_mut("traffic").and_then(Value::as_object_mut) {
            traffic.retain(|name, value| name != "draining" || *value != json!([]));
        }
        if fields.is_empty() {
            object.as_object_mut().unwrap().remove(field);
        }
    }
}

/// The field managers with their fields. The fields of a status update are left out where the real server adds defaults.
fn managers(plural: &str, metadata: &Value) -> Value {
    let entries = metadata["managedFields"].as_array().cloned().unwrap_or_default();
    let entry = |entry: &Value| {
        let subresource = entry["subresource"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        let name = format!("{} {}{subresource}", text("manager"), text("operation"));
        let defaulted = name.ends_with("Update status") && matches!(plural, "pods" | "scalableservices");
        (name, if defaulted { json!("with defaults") } else { entry["fieldsV1"].clone() })
    };
    entries
        .iter()
        .map(entry)
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into()
}
