//! The ScalableServices of all scopes, from the controllers' own watches.

use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt as _;
use kube::{
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};

use super::key::ServiceKey;
use plimsoll_api::ScalableService;

type Object = DeserializeGuard<ScalableService>;

/// One store for each scope.
#[derive(Default)]
pub struct Services(RwLock<Vec<Store<Object>>>);

impl Services {
    /// Adds the store of a scope.
    pub fn add(&self, store: Store<Object>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(store);
    }

    /// Whether every scope has completed its initial list.
    pub fn listed(&self) -> bool {
        self.stores().iter().all(|store| store.wait_until_ready().now_or_never().is_some())
    }

    /// The service with this key, also if it can't be parsed.
    pub fn get(&self, ServiceKey { namespace, name }: &ServiceKey) -> Option<Arc<Object>> {
        let reference = ObjectRef::new(name).within(namespace);
        self.stores().iter().find_map(|store| store.get(&reference))
    }

    /// All services.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.stores().iter().flat_map(Store::state).collect()
    }

    fn stores(&self) -> Vec<Store<Object>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
