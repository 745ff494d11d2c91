//! An answer of a requested duration: a line with this pod's name four times a second.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::time::{Interval, interval};

use crate::http;

use super::metrics::{Ended, InFlight, Metrics};

/// Time between two lines.
const PERIOD: Duration = Duration::from_millis(250);
/// Longest stream in seconds, an hour.
const LONGEST: u64 = 3_600;

/// Answers `/stream?seconds=N` as `pod`; without N for ten seconds. It needs no worker.
pub fn answer(metrics: &Arc<Metrics>, pod: &str, uri: &Uri) -> Response {
    let request = metrics.begin();
    match http::number_in(uri, "seconds", 10, LONGEST) {
        Ok(seconds) => {
            let left = seconds * (1_000 / PERIOD.as_millis() as u64);
            let line = Bytes::from(format!("{pod}\n"));
            let lines = Lines { line, left, period: interval(PERIOD), request: Some(request) };
            Body::new(lines).into_response()
        }
        Err(error) => {
            request.end(Ended::Refused);
            http::line(StatusCode::BAD_REQUEST, &error)
        }
    }
}

struct Lines {
    line: Bytes,
    left: u64,
    period: Interval,
    /// If it is dropped without an end, the client has closed the connection.
    request: Option<InFlight>,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            if let Some(request) = self.request.take() {
                request.end(Ended::Served);
            }
            return Poll::Ready(None);
        }
        ready!(self.period.poll_tick(context));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.line.clone()))))
    }
}
