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
mod tests {
    use std::{cell::Cell, future::pending};

    use jiff::Timestamp;
    use tokio::time::{advance, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The sending ends of a leader.
    struct Lease {
        state: watch::Sender<Leadership>,
        until: watch::Sender<Option<Instant>>,
    }

    impl Lease {
        /// A lease that runs out in `left`, and its leader.
        fn held(left: Duration) -> (Self, Leader) {
            let leading = Leadership::Leading { since: Timestamp::UNIX_EPOCH, transitions: 0 };
            let (state, seen_state) = watch::channel(leading);
            let (until, seen_until) = watch::channel(Some(Instant::now() + left));
            (Self { state, until }, Leader { state: seen_state, until: seen_until })
        }

        fn renew(&self, left: Duration) {
            self.until.send_replace(Some(Instant::now() + left));
        }

        fn lose(&self) {
            self.until.send_replace(None);
            self.state.send_replace(Leadership::Following { holder: None });
        }
    }

    /// A request that takes `time` and counts how often it was sent, and answered.
    async fn request(time: Duration, sent: &Cell<u32>, answered: &Cell<u32>) -> Result<u32, kube::Error> {
        sent.set(sent.get() + 1);
        sleep(time).await;
        answered.set(answered.get() + 1);
        Ok(7)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_takes_place_while_this_process_leads() {
        let (_lease, leader) = Lease::held(seconds(10));
        let (sent, answered) = (Cell::new(0), Cell::new(0));
        let written = leader.permit(LIMIT).write(request(seconds(9), &sent, &answered)).await;
        assert!(matches!(written, Ok(7)), "{written:?}");
        assert_eq!((sent.get(), answered.get()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_not_sent_after_the_deadline_of_the_lease() {
        let (_lease, leader) = Lease::held(seconds(5));
        let permit = leader.permit(LIMIT);
        let (sent, answered) = (Cell::new(0), Cell::new(0));
        let first = permit.write(request(Duration::ZERO, &sent, &answered)).await;
        assert!(first.is_ok() && sent.get() == 1);
        let waiting = permit.write(request(Duration::ZERO, &sent, &answered));
        advance(seconds(5)).await;
        let written = waiting.await;
        assert!(matches!(written, Err(WriteError::NotLeading)), "{written:?}");
        assert_eq!(sent.get(), 1);
        let read = permit.read(request(Duration::ZERO, &sent, &answered)).await;
        assert!(matches!(read, Err(WriteError::NotLeading)), "nothing is to be written: {read:?}");
        assert_eq!(sent.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_aborted_at_the_deadline_of_the_lease() {
        let (_lease, leader) = Lease::held(seconds(5));
        let (sent, answered) = (Cell::new(0), Cell::new(0));
        let begin = Instant::now();
        let written = leader.permit(LIMIT).write(request(seconds(8), &sent, &answered)).await;
        assert!(matches!(written, Err(WriteError::NotLeading)), "{written:?}");
        assert_eq!((begin.elapsed().as_secs(), sent.get(), answered.get()), (5, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_in_time_extends_a_request_under_way() {
        let (lease, leader) = Lease::held(seconds(5));
        let (sent, answered) = (Cell::new(0), Cell::new(0));
        let permit = leader.permit(LIMIT);
        let renewals = async {
            sleep(seconds(4)).await;
            lease.renew(seconds(5));
            pending::<()>().await;
        };
        let written = tokio::select! {
            written = permit.write(request(seconds(8), &sent, &answered)) => written,
            () = renewals => unreachable!(),
        };
        assert!(matches!(written, Ok(7)), "{written:?}");
        assert_eq!((sent.get(), answered.get()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_one_takes_or_that_is_given_up_aborts_at_once() {
        for dropped in [false, true] {
            let (lease, leader) = Lease::held(seconds(10));
            let (sent, answered) = (Cell::new(0), Cell::new(0));
            let begin = Instant::now();
            let loss = async {
                sleep(seconds(1)).await;
                lease.lose();
                if dropped {
                    drop(lease);
                }
            };
            let permit = leader.permit(LIMIT);
            let write = permit.write(request(seconds(8), &sent, &answered));
            let (written, ()) = tokio::join!(write, loss);
            assert!(matches!(written, Err(WriteError::NotLeading)), "{written:?}");
            assert_eq!((begin.elapsed().as_secs(), sent.get(), answered.get()), (1, 1, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_counts_from_the_permit_over_all_requests() {
        let (_lease, leader) = Lease::held(seconds(60));
        let (sent, answered) = (Cell::new(0), Cell::new(0));
        let (permit, begin) = (leader.permit(LIMIT), Instant::now());
        assert!(permit.read(request(seconds(4), &sent, &answered)).await.is_ok());
        assert!(permit.write(request(seconds(4), &sent, &answered)).await.is_ok());
        let late = permit.write(request(seconds(4), &sent, &answered)).await;
        assert!(matches!(late, Err(WriteError::Timeout(LIMIT))), "{late:?}");
        assert_eq!((begin.elapsed(), sent.get(), answered.get()), (LIMIT, 3, 2));
        let after = permit.write(request(Duration::ZERO, &sent, &answered)).await;
        assert!(matches!(after, Err(WriteError::Timeout(_))), "{after:?}");
        assert_eq!(sent.get(), 3);
        let read = permit.read(request(seconds(1), &sent, &answered)).await;
        assert_eq!(read.unwrap_err().to_string(), "no answer within 10 s");
    }
}
