//! What goes wrong between a client and the server: switches that a test sets and takes back.

use std::time::Duration;

/// Which requests a fault concerns; what is not given concerns all.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    client: Option<String>,
    verb: Option<&'static str>,
    resource: Option<&'static str>,
    subresource: Option<&'static str>,
}

impl Scope {
    /// All requests.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of one client.
    #[must_use]
    pub fn client(self, client: &str) -> Self {
        Self { client: Some(client.to_owned()), ..self }
    }

    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `discover`.
    #[must_use]
    pub fn verb(self, verb: &'static str) -> Self {
        Self { verb: Some(verb), ..self }
    }

    /// The plural name of a kind.
    #[must_use]
    pub fn resource(self, resource: &'static str) -> Self {
        Self { resource: Some(resource), ..self }
    }

    /// `status`, `scale` or `eviction`; empty for the object itself.
    #[must_use]
    pub fn subresource(self, subresource: &'static str) -> Self {
        Self { subresource: Some(subresource), ..self }
    }

    pub(crate) fn has(&self, request: &Target<'_>) -> bool {
        self.client.as_deref().is_none_or(|client| client == request.client)
            && self.verb.is_none_or(|verb| verb == request.verb)
            && self.resource.is_none_or(|resource| resource == request.resource)
            && self
                .subresource
                .is_none_or(|subresource| subresource == request.subresource.unwrap_or_default())
    }
}

/// What a scope is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) client: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: Option<&'a str>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It arrives, and is carried out, so much later; also if the client has stopped waiting.
    Latency(Duration),
    /// It is answered with this status instead.
    Status {
        /// For example 503.
        code: u16,
        /// Seconds in `Retry-After`.
        retry_after: Option<u32>,
    },
    /// It is carried out, but the answer never arrives. The client sees a reset connection when the fault is over.
    LostAnswer,
    /// It never arrives. The client sees a reset connection when the fault is over.
    Lost,
    /// The connection is refused.
    Refused,
    /// A read is answered, and a watch fed, from a cache that is so much behind.
    Stale(Duration),
}

/// The switches of one server.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: u64,
    active: Vec<(u64, Scope, Effect)>,
}

impl Faults {
    pub(crate) fn add(&mut self, scope: Scope, effect: Effect) -> u64 {
        self.next += 1;
        self.active.push((self.next, scope, effect));
        self.next
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.active.retain(|(other, ..)| *other != id);
    }

    /// The effects on a request, in the order in which they were added.
    pub(crate) fn on(&self, request: &Target<'_>) -> Vec<Effect> {
        let concerned = self.active.iter().filter(|(_, scope, _)| scope.has(request));
        concerned.map(|(_, _, effect)| effect.clone()).collect()
    }

    /// How far behind the cache is that answers `request`.
    pub(crate) fn staleness(&self, request: &Target<'_>) -> Duration {
        let delay = |effect: Effect| match effect {
            Effect::Stale(delay) => delay,
            _ => Duration::ZERO,
        };
        self.on(request).into_iter().map(delay).max().unwrap_or_default()
    }
}
