//! Direct access to the objects, without HTTP, for tests that act as a user and for the harness's model of Kubernetes'
//! controllers.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    failure::Failure,
    kinds::Kind,
    request::{PatchType, Request, Verb},
    serve,
    server::{ApiServer, State},
    store::Key,
};

/// The objects of a server.
#[derive(Clone)]
pub struct Objects {
    server: ApiServer,
}

impl ApiServer {
    /// Direct access to the objects, without HTTP, for a test that acts as a user or as a controller of Kubernetes.
    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects { server: self.clone() }
    }
}

impl Objects {
    /// An object by the plural of its kind.
    #[must_use]
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = self.key(plural, namespace, name);
        self.server.read(|state| state.store.get(&key).map(|object| Value::clone(object)))
    }

    /// All objects of a kind in a namespace.
    #[must_use]
    pub fn list(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let resource = self.kind(|kind| kind.plural == plural).resource();
        let listed = |state: &State| {
            let objects =
                state.store.list(&resource, Some(namespace)).map(|(_, object)| Value::clone(object));
            objects.collect()
        };
        self.server.read(listed)
    }

    /// All objects.
    pub(crate) fn all(&self) -> Vec<Arc<Value>> {
        self.server.read(|state| state.store.all().map(|(_, object)| Arc::clone(object)).collect())
    }

    /// Every version of an object so far, oldest first.
    #[must_use]
    pub fn history(&self, plural: &str, namespace: &str, name: &str) -> Vec<Value> {
        let key = self.key(plural, namespace, name);
        self.server.read(|state| {
            let changes = state.store.changes_after(0).iter().filter(|change| change.key == key);
            changes.map(|change| Value::clone(&change.object)).collect()
        })
    }

    /// `kubectl apply --server-side` of one or more manifests in YAML.
    pub fn apply(&self, yaml: &str) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).expect("manifests in YAML");
        for object in documents {
            let kind =
                self.kind(|kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version());
            let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            let query = [("fieldManager", "kubectl"), ("force", "true")];
            self.call(Verb::Patch(PatchType::Apply), kind, namespace, &name, None, &query, object);
        }
    }

    /// `kubectl patch --type=merge`.
    pub fn patch(&self, plural: &str, namespace: &str, name: &str, patch: Value) {
        self.merge(plural, namespace, name, None, patch);
    }

    /// The same for the subresource status.
    pub fn patch_status(&self, plural: &str, namespace: &str, name: &str, patch: Value) {
        self.merge(plural, namespace, name, Some("status"), patch);
    }

    /// `kubectl delete`; does nothing if the object does not exist.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        if self.get(plural, namespace, name).is_some() {
            let kind = self.kind(|kind| kind.plural == plural);
            self.call(Verb::Delete, kind, Some(namespace.to_owned()), name, None, &[], Value::Null);
        }
    }

    /// Deletes an object of any kind.
    pub(crate) fn delete_object(&self, object: &Value, namespace: &str, name: &str) {
        let kind =
            self.kind(|kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version());
        self.delete(kind.plural, namespace, name);
    }

    /// Creates an object with its status, as a controller of Kubernetes does.
    pub(crate) fn create(&self, object: Value) {
        let kind = self.kind(|kind| object["kind"] == kind.kind);
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (plural, status) = (kind.plural, object.get("status").cloned());
        self.call(Verb::Create, kind, namespace.clone(), &name, None, &[], object);
        if let Some(status) = status {
            self.patch_status(plural, &namespace.unwrap_or_default(), &name, json!({"status": status}));
        }
    }

    /// Removes an object immediately, as the kubelet does with a pod whose containers have terminated.
    pub(crate) fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let key = self.key(plural, namespace, name);
        self.server.write(|state| state.store.remove(&key));
    }

    fn merge(&self, plural: &str, namespace: &str, name: &str, subresource: Option<&str>, patch: Value) {
        let kind = self.kind(|kind| kind.plural == plural);
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        let verb = Verb::Patch(PatchType::Merge);
        self.call(verb, kind, namespace, name, subresource, &[("fieldManager", "kubectl")], patch);
    }

    #[allow(clippy::too_many_arguments)] // the parts of a request
    fn call(
        &self,
        verb: Verb,
        kind: Kind,
        namespace: Option<String>,
        name: &str,
        subresource: Option<&str>,
        query: &[(&str, &str)],
        body: Value,
    ) {
        let query: BTreeMap<String, String> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (name, subresource) = (name.to_owned(), subresource.map(str::to_owned));
        let request = Request { verb, kind, namespace, name, subresource, query, body, metadata_only: false };
        let now = self.server.now();
        let result: Result<_, Failure> = self.server.write(|state| {
            let State { store, uids, .. } = state;
            serve::Call { store, request: &request, uids, now }.carry_out()
        });
        result.unwrap_or_else(|failure| panic!("{} {}: {}", request.shape(), request.name, failure.message));
    }

    fn key(&self, plural: &str, namespace: &str, name: &str) -> Key {
        let resource = self.kind(|kind| kind.plural == plural).resource();
        Key { resource, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn kind(&self, is: impl Fn(&Kind) -> bool) -> Kind {
        let found = self.server.read(|state| state.kinds.iter().find(|kind| is(kind)).cloned());
        found.expect("the kind is served")
    }
}
