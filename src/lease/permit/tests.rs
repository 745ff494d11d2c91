//! Writes within the lease and the limit, in virtual time.

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
    /// A lease that expires in `left`, and its leader.
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

/// A request that takes `time` and counts how often it was sent and answered.
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
    assert!(matches!(read, Err(WriteError::NotLeading)), "without the lease nothing is read: {read:?}");
    assert_eq!(sent.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_aborted_at_the_deadline_of_the_lease() {
    let (_lease, leader) = Lease::held(seconds(5));
    let (sent, answered) = (Cell::new(0), Cell::new(0));
    let begin = Instant::now();
    let written = leader.permit(LIMIT).write(request(seconds(8), &sent, &answered)).await;
    assert!(matches!(written, Err(WriteError::NotLeading)), "{written:?}");
    assert_eq!((begin.elapsed().as_secs(), sent.get(), answered.get()), (5, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_in_time_extends_a_request_in_progress() {
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
async fn losing_or_dropping_the_lease_aborts_a_request_immediately() {
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
async fn the_time_limit_is_shared_by_all_requests_of_a_permit() {
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
