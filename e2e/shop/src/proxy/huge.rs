//! A valid answer of 100 MiB, made while it is sent: it is never in this process's memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

/// At least so many bytes are sent.
pub const SIZE: usize = 100 << 20;

const HEAD: &str = r#"{"status":"success","data":{"resultType":"vector","result":["#;
const SERIES: &str = r#"{"metric":{"__name__":"huge","instance":"shop"},"value":[0,"1"]}"#;
const TAIL: &str = "]}}";
const SERIES_IN_CHUNK: usize = 1_024;

pub struct Huge {
    chunk: Bytes,
    sent: usize,
    state: State,
}

enum State {
    Head,
    Chunks,
    Tail,
    Done,
}

impl Huge {
    pub fn new() -> Self {
        let chunk = format!("{SERIES},").repeat(SERIES_IN_CHUNK);
        Self { chunk: chunk.into(), sent: 0, state: State::Head }
    }

    fn next(&mut self) -> Option<Bytes> {
        let (bytes, state) = match self.state {
            State::Head => (HEAD.into(), State::Chunks),
            State::Chunks if self.sent < SIZE => (self.chunk.clone(), State::Chunks),
            State::Chunks => (SERIES.into(), State::Tail),
            State::Tail => (TAIL.into(), State::Done),
            State::Done => return None,
        };
        self.state = state;
        self.sent += bytes.len();
        Some(bytes)
    }
}

impl Body for Huge {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_valid_and_of_its_size() {
        let mut huge = Huge::new();
        let mut size = 0;
        while let Some(bytes) = huge.next() {
            size += bytes.len();
        }
        assert!((SIZE..SIZE + (1 << 20)).contains(&size), "{size}");
        let mut short = Huge::new();
        short.sent = SIZE - 1;
        let text: Vec<u8> = std::iter::from_fn(|| short.next()).flatten().collect();
        let answer: serde_json::Value = serde_json::from_slice(&text).expect("valid JSON");
        assert_eq!(answer["data"]["result"].as_array().map(Vec::len), Some(1));
    }
}
