//! The body of a watch: one line for each event, until its timeout, a broken connection or the client's disconnect.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use http_body::Frame;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tower::BoxError;

use super::{
    failure::Failure,
    open_watch::Mode,
    request::Request,
    server::{ApiServer, State},
    store::{Change, ChangeType, is_of},
};

/// Time between two bookmarks; the real server takes a minute.
const BOOKMARK: Duration = Duration::from_secs(60);
/// Default of `timeoutSeconds`.
const LONGEST: u64 = 1800;

struct Watching {
    server: ApiServer,
    changed: watch::Receiver<u64>,
    id: u64,
    client: String,
    request: Request,
    /// The version up to which the client has all changes.
    cursor: u64,
    ends: Instant,
    bookmark: Option<Instant>,
    /// Lines to send.
    lines: VecDeque<Value>,
    over: bool,
}

/// Begins a watch.
pub(crate) fn begin(
    server: ApiServer,
    id: u64,
    client: &str,
    request: Request,
) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + use<> {
    let number = |name: &str| request.query.get(name).and_then(|value| value.parse::<u64>().ok());
    let lasts = number("timeoutSeconds").filter(|seconds| *seconds > 0).unwrap_or(LONGEST);
    let (now, changed) = (Instant::now(), server.changes());
    let bookmarks = request.query.get("allowWatchBookmarks").is_some_and(|allow| allow == "true");
    let watching = Watching {
        changed,
        id,
        client: client.to_owned(),
        cursor: number("resourceVersion").unwrap_or(0),
        ends: now + Duration::from_secs(lasts),
        bookmark: bookmarks.then(|| now + BOOKMARK),
        lines: VecDeque::new(),
        over: false,
        request,
        server,
    };
    stream::unfold(watching, |mut watching| async move {
        let next = watching.next().await?;
        Some((next, watching))
    })
}

impl Watching {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(Ok(Frame::data(Bytes::from(format!("{line}\n")))));
            }
            if self.over {
                return None;
            }
            match self.server.mode(self.id) {
                Mode::HalfOpen => {
                    // Until the partition ends; a dead connection never recovers.
                    let _ = self.changed.changed().await;
                    continue;
                }
                Mode::Dropped => {
                    self.over = true;
                    return Some(Err("connection reset by peer".into()));
                }
                Mode::Open => {}
            }
            let visible_at = self.take();
            if !self.lines.is_empty() {
                continue;
            }
            self.wait(visible_at).await;
        }
    }

    /// Takes the changes that are visible to this client now. Returns the time at which the next change becomes visible.
    fn take(&mut self) -> Option<Instant> {
        let server = self.server.clone();
        server.read(|state| self.take_from(state))
    }

    fn take_from(&mut self, state: &State) -> Option<Instant> {
        if self.cursor < state.store.oldest() {
            let expired = Failure::expired(self.cursor, state.store.oldest());
            self.lines.push_back(json!({"type": "ERROR", "object": expired.status()}));
            self.over = true;
            return None;
        }
        let behind = state.faults.staleness(&self.request.target(&self.client));
        let (now, resource) = (Instant::now(), self.request.kind.resource());
        for change in state.store.changes_after(self.cursor) {
            if change.at + behind > now {
                return Some(change.at + behind);
            }
            self.cursor = change.version;
            if is_of(&change.key, &resource, self.request.namespace.as_deref()) {
                self.lines.push_back(line(change));
            }
        }
        None
    }

    async fn wait(&mut self, visible_at: Option<Instant>) {
        let next = [Some(self.ends), self.bookmark, visible_at].into_iter().flatten().min();
        tokio::select! {
            biased;
            _ = self.changed.changed() => return,
            () = sleep_until(next.unwrap_or(self.ends)) => {}
        }
        let now = Instant::now();
        if now >= self.ends {
            self.over = true;
        } else if self.bookmark.is_some_and(|at| at <= now) {
            self.bookmark = Some(now + BOOKMARK);
            let kind = &self.request.kind;
            self.lines.push_back(json!({"type": "BOOKMARK", "object": {
                "apiVersion": kind.api_version(),
                "kind": kind.kind,
                "metadata": {"resourceVersion": self.cursor.to_string()},
            }}));
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.server.close(self.id);
    }
}

fn line(change: &Change) -> Value {
    let type_ = match change.type_ {
        ChangeType::Added => "ADDED",
        ChangeType::Modified => "MODIFIED",
        ChangeType::Deleted => "DELETED",
    };
    json!({"type": type_, "object": *change.object})
}
