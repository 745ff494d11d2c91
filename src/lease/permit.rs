//! Leadership and write permits. Every write needs a permit, which ends with the lease or at the writer's own time limit.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use super::Leadership;

/// The leadership, as seen by the rest of the process.
#[derive(Clone, Debug)]
pub struct Leader {
    pub(super) state: watch::Receiver<Leadership>,
    pub(super) until: watch::Receiver<Option<Instant>>,
}

impl Leader {
    /// A leader whose lease does not expire during a test.
    #[cfg(test)]
    pub(crate) fn for_good() -> Self {
        let leading = Leadership::Leading { since: jiff::Timestamp::UNIX_EPOCH, transitions: 0 };
        let year = Duration::from_secs(365 * 86_400);
        Self { state: watch::channel(leading).1, until: watch::channel(Some(Instant::now() + year)).1 }
    }

    /// The leadership; changes are signalled, and so is the end of the elector.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.state.clone()
    }

    /// Whether this process leads at this moment, by the clock: after a pause of the process, the published state may be
    /// outdated. Writers need a [`Permit`], which does this check itself.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads_until().is_some()
    }

    /// The term in which this process leads at this moment: see [`Leadership::term`].
    #[must_use]
    pub fn term(&self) -> Option<i32> {
        self.leads_until()?;
        self.state.borrow().term()
    }

    /// A permit to write while this process leads, for `limit` from now. It can be obtained at any time; the lease is checked
    /// when a request is sent.
    #[must_use]
    pub fn permit(&self, limit: Duration) -> Permit {
        Permit::new(self.clone(), limit)
    }

    /// The deadline of the lease; `None` if this process does not lead at this moment.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        let until = (*self.until.borrow()).filter(|until| Instant::now() < *until);
        until.filter(|_| self.state.borrow().is_leading())
    }

    /// Waits until the deadline of the lease changes. The last change is at the end of the elector.
    pub(super) async fn renewed(&mut self) {
        if self.until.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Why a write failed.
#[derive(Debug, Error)]
pub enum WriteError {
    /// This process does not lead, so the request was not sent or was aborted.
    #[error("this process does not lead")]
    NotLeading,
    /// The writer's time limit has passed.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The API server refused the request, or did not answer.
    #[error(transparent)]
    Api(#[from] Box<kube::Error>),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// A permit for the requests of one writer, with a common time limit. Only [`Leader::permit`] creates one.
///
/// An aborted request may still take effect if it was already sent. So writers must use a resource version too.
#[derive(Debug)]
pub struct Permit {
    leader: Leader,
    limit: Duration,
    deadline: Instant,
}

impl Permit {
    /// A permit whose `limit` counts from now.
    pub(super) fn new(leader: Leader, limit: Duration) -> Self {
        Self { leader, limit, deadline: Instant::now() + limit }
    }

    /// Sends a writing request.
    ///
    /// The lease's deadline is checked before each poll, so the request is not sent after it. A request in progress is aborted
    /// at the deadline, unless the lease is renewed before.
    ///
    /// # Errors
    /// This process does not lead, the time limit has passed, or the request failed.
    pub async fn write<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let mut leader = self.leader.clone();
        let mut request = pin!(self.while_leading(request));
        let mut limit = pin!(sleep_until(self.deadline));
        loop {
            let until = leader.leads_until().ok_or(WriteError::NotLeading)?;
            tokio::select! {
                biased;
                // Both only wake this loop, which checks the lease again.
                () = leader.renewed() => {}
                () = sleep_until(until) => {}
                () = &mut limit => return Err(WriteError::Timeout(self.limit)),
                result = &mut request => return result,
            }
        }
    }

    /// Waits for `read`, on which a write depends.
    ///
    /// # Errors
    /// This process does not lead, the time limit has passed, or the request failed.
    pub async fn read<T>(&self, read: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        if !self.leader.leads() {
            return Err(WriteError::NotLeading);
        }
        self.within(read).await?.map_err(|error| self.failed(error.into()))
    }

    /// Waits for `work` other than a write.
    ///
    /// # Errors
    /// The time limit has passed; or `NotLeading` if this process does not lead any more.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, WriteError> {
        timeout_at(self.deadline, work).await.map_err(|_| self.failed(WriteError::Timeout(self.limit)))
    }

    /// The error for the writer: `NotLeading` takes precedence.
    fn failed(&self, error: WriteError) -> WriteError {
        if self.leader.leads() { error } else { WriteError::NotLeading }
    }

    /// Polls `request` only while this process leads and within the limit. Both are checked by the clock, since after a pause
    /// of the process the request may be polled before the timers fire.
    async fn while_leading<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let mut request = pin!(request);
        poll_fn(|context| {
            if !self.leader.leads() {
                return Poll::Ready(Err(WriteError::NotLeading));
            }
            if Instant::now() >= self.deadline {
                return Poll::Ready(Err(WriteError::Timeout(self.limit)));
            }
            request.as_mut().poll(context).map_err(WriteError::from)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
