//! Faults between a client and the server, which a test switches on and off.

use std::time::Duration;

/// The requests that a fault applies to; an unset field matches all.
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

    /// The requests of one client.
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

/// The properties of a request that a scope is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) client: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: Option<&'a str>,
}

/// The effect of a fault on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It arrives and is carried out after this delay, even if the client has stopped waiting.
    Latency(Duration),
    /// It gets this status as the response and is not carried out.
    Status {
        /// For example 503.
        code: u16,
        /// Seconds in `Retry-After`.
        retry_after: Option<u32>,
    },
    /// It is carried out, but the response is lost. The client gets a connection reset when the fault ends.
    LostAnswer,
    /// It is lost. The client gets a connection reset when the fault ends.
    Lost,
    /// The connection is refused.
    Refused,
    /// Reads and watches are served from a cache with this delay.
    Stale(Duration),
}

/// The active faults of one server.
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
        let matching = self.active.iter().filter(|(_, scope, _)| scope.has(request));
        matching.map(|(_, _, effect)| effect.clone()).collect()
    }

    /// The delay of the cache that serves `request`.
    pub(crate) fn staleness(&self, request: &Target<'_>) -> Duration {
        let delay = |effect: Effect| match effect {
            Effect::Stale(delay) => delay,
            _ => Duration::ZERO,
        };
        self.on(request).into_iter().map(delay).max().unwrap_or_default()
    }
}
