//! Who leads, and the right to write that it gives, which every writing request needs: it ends with the lease, and at the writer's own time limit.

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

/// What the rest of the process knows about the lease.
#[derive(Clone, Debug)]
pub struct Leader {
    pub(super) state: watch::Receiver<Leadership>,
    pub(super) until: watch::Receiver<Option<Instant>>,
}

impl Leader {
    /// One that leads without end.
    #[cfg(test)]
    pub(crate) fn for_good() -> Self {
        let leading = Leadership::Leading { since: jiff::Timestamp::UNIX_EPOCH, transitions: 0 };
        let year = Duration::from_secs(365 * 86_400);
        Self { state: watch::channel(leading).1, until: watch::channel(Some(Instant::now() + year)).1 }
    }

    /// Who leads; changes are signalled, also that the elector ended.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.state.clone()
    }

    /// Whether this process leads at this moment, by the clock and not by what was published: a process that was paused
    /// learns of the loss late. A writer needs a [`Permit`], which checks this itself.
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

    /// The right to write as long as this process leads, for `limit` from now. It can be asked for at any time; the lease
    /// is checked when a request is sent.
    #[must_use]
    pub fn permit(&self, limit: Duration) -> Permit {
        Permit::new(self.clone(), limit)
    }

    /// The deadline of the lease; `None` if this process does not lead at this moment.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        let until = (*self.until.borrow()).filter(|until| Instant::now() < *until);
        until.filter(|_| self.state.borrow().is_leading())
    }

    /// Waits until the deadline of the lease changes. An elector that ends changes it for the last time.
    pub(super) async fn renewed(&mut self) {
        if self.until.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Why a write has no result.
#[derive(Debug, Error)]
pub enum WriteError {
    /// This process does not lead, so the request was not sent, or was aborted.
    #[error("this process does not lead")]
    NotLeading,
    /// The writer's time limit is over.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The API server refused, or did not answer.
    #[error(transparent)]
    Api(#[from] Box<kube::Error>),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// The right of one writer to send its requests, which have one time limit together. Only [`Leader::permit`] makes one.
///
/// An aborted request may still take place: it may have been sent. So a writer must use a resource version too.
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

    /// Sends `request`, which writes.
    ///
    /// The lease is compared with the clock before each poll, so the request is not sent after the lease's deadline. A
    /// request under way is aborted at the deadline, unless the lease is renewed before.
    ///
    /// # Errors
    /// This process does not lead, the limit is over, or the request failed.
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
                // Both only wake: what the lease is worth now is compared with the clock.
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
    /// This process does not lead, the limit is over, or the request failed.
    pub async fn read<T>(&self, read: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
        if !self.leader.leads() {
            return Err(WriteError::NotLeading);
        }
        self.within(read).await?.map_err(|error| self.failed(error.into()))
    }

    /// Waits for `work` other than a write.
    ///
    /// # Errors
    /// The limit is over; if this process does not lead any more, only that counts.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, WriteError> {
        timeout_at(self.deadline, work).await.map_err(|_| self.failed(WriteError::Timeout(self.limit)))
    }

    /// What a failure means for the writer: without the lease there was nothing to fail at.
    fn failed(&self, error: WriteError) -> WriteError {
        if self.leader.leads() { error } else { WriteError::NotLeading }
    }

    /// Polls `request` only while this process leads and the limit lasts, both by the clock: after a pause of the process,
    /// timers may fire later than the request is polled.
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
