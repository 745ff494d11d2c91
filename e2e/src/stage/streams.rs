//! Clients that each read one long answer of the shop, and record which pod sent it and how it ended.

use crate::prelude::*;
use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::Builder,
};

/// A stream without a line for this time has stalled: the shop sends one every 250 ms.
const STALLED: Duration = Duration::from_secs(5);
const STACK: usize = 128 << 10;

#[derive(Debug, Clone)]
pub struct Stream {
    pub opened: SystemTime,
    pub pod: Option<String>,
    /// When the stream ended, and whether it was complete.
    pub ended: Option<(SystemTime, bool)>,
}

pub struct Streams {
    seen: Arc<Mutex<Vec<Stream>>>,
    sockets: Vec<TcpStream>,
}

impl Streams {
    /// Opens this number of streams of `seconds` each at `http://HOST:PORT`, over a second.
    pub fn open(url: &str, streams: usize, seconds: u64) -> Result<Self> {
        let address = url.strip_prefix("http://").context("streams are plain HTTP")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut sockets = Vec::new();
        for number in 0..streams {
            let mut socket =
                TcpStream::connect(address).with_context(|| format!("no connection to {url}"))?;
            socket.set_read_timeout(Some(STALLED))?;
            let request = format!("GET /stream?seconds={seconds} HTTP/1.1\r\nhost: {address}\r\n\r\n");
            socket.write_all(request.as_bytes())?;
            lock(&seen).push(Stream { opened: SystemTime::now(), pod: None, ended: None });
            sockets.push(socket.try_clone()?);
            let seen = Arc::clone(&seen);
            Builder::new().stack_size(STACK).spawn(move || read(socket, number, &seen))?;
            sleep(Duration::from_secs(1) / u32::try_from(streams)?);
        }
        Ok(Self { seen, sockets })
    }

    pub fn wait(&self, within: Duration) -> Result<()> {
        wait_for("a line on every stream", within, || {
            let silent = self.all().iter().filter(|stream| stream.pod.is_none()).count();
            ensure!(silent == 0, "{silent} of {} streams have none", self.sockets.len());
            Ok(true)
        })
    }

    pub fn all(&self) -> Vec<Stream> {
        lock(&self.seen).clone()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _may_be_closed = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Reads a chunked answer: head, then chunk lengths and lines with the pod's name, then the chunk of length 0.
fn read(socket: TcpStream, number: usize, seen: &Mutex<Vec<Stream>>) {
    let mut body = false;
    let mut complete = false;
    for line in BufReader::new(socket).lines() {
        let Ok(line) = line else { break };
        match line.as_str() {
            "" => body = true,
            "0" if body => {
                complete = true;
                break;
            }
            // A pod name has a hyphen, a chunk length has none.
            pod if body && pod.contains('-') => {
                if let Some(stream) = lock(seen).get_mut(number) {
                    stream.pod.get_or_insert_with(|| pod.to_owned());
                }
            }
            _ => {}
        }
    }
    if let Some(stream) = lock(seen).get_mut(number) {
        stream.ended = Some((SystemTime::now(), complete));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, net::TcpListener, thread};

    #[test]
    fn complete_cut_and_open_streams_are_distinguished() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut kept = Vec::new();
            for (number, socket) in listener.incoming().take(3).enumerate() {
                let mut socket = socket.unwrap();
                let _ = socket.read(&mut [0; 1_024]);
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                write!(socket, "{head}7\r\nshop-{number}\n\r\n").unwrap();
                match number {
                    0 => write!(socket, "0\r\n\r\n").unwrap(),
                    1 => socket.shutdown(Shutdown::Both).unwrap(),
                    _ => {}
                }
                kept.push(socket);
            }
            sleep(Duration::from_secs(2));
        });
        let streams = Streams::open(&url, 3, 10).unwrap();
        streams.wait(Duration::from_secs(1)).unwrap();
        sleep(Duration::from_millis(200));
        let all = streams.all();
        let ends: Vec<_> = all.iter().map(|stream| stream.ended.map(|(_, complete)| complete)).collect();
        assert_eq!(ends, [Some(true), Some(false), None]);
        assert_eq!(all[2].pod.as_deref(), Some("shop-2"));
    }
}
