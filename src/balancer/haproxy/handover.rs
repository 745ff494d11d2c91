//! Passes listening sockets from one process to another, with HAProxy's protocol for a seamless reload (`expose-fd
//! listeners` and `-x` in its manual): the request is the line `_getsocks`; the answer is the number of sockets and
//! then a message that carries them, which is confirmed.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::UnixStream,
    time::timeout,
};

use super::socket::{PATIENCE, SocketError, connect};

/// The request.
pub(super) const ASK: &str = "_getsocks";
/// Most sockets in one message (SCM_MAX_FD of the kernel); no configuration of ours has as many.
const MOST: usize = 253;
/// Metadata of each socket: no network namespace, no interface, and four bytes that have no meaning any more.
const EACH: [u8; 6] = [0; 6];
/// Size of the buffer for the metadata in a message: names of namespaces and interfaces, which our sockets do not have.
const WORDS: usize = 16 << 10;
/// Confirmation of a message.
const CONFIRMED: [u8; 4] = [0; 4];

/// All listening sockets of the HAProxy whose runtime API is at `admin`.
///
/// # Errors
/// HAProxy does not hand them over.
pub(super) async fn take(admin: &Path) -> Result<Vec<OwnedFd>, SocketError> {
    let exchange = async {
        let mut stream = connect(admin).await?;
        let taken = async {
            stream.write_all(format!("{ASK}\n").as_bytes()).await?;
            let mut count = [0; 4];
            stream.read_exact(&mut count).await?;
            // An error message instead of the number reads as a very large number.
            let count = usize::try_from(i32::from_ne_bytes(count)).ok().filter(|count| *count <= MOST);
            let count = count.ok_or(io::ErrorKind::InvalidData)?;
            let mut sockets = Vec::with_capacity(count);
            while sockets.len() < count {
                stream.async_io(Interest::READABLE, || receive(&stream, &mut sockets)).await?;
                // HAProxy does not wait for the confirmation of the last message, and may have closed the connection.
                drop(stream.write_all(&CONFIRMED).await);
            }
            Ok(sockets)
        };
        taken.await.map_err(|source| SocketError::Broken { answered: 0, commands: 1, source })
    };
    timeout(PATIENCE, exchange).await.unwrap_or(Err(SocketError::Slow { answered: 0, commands: 1 }))
}

fn receive(stream: &UnixStream, sockets: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut words = vec![0; WORDS];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(&mut words)];
    if recvmsg(stream.as_fd(), into, &mut along, RecvFlags::CMSG_CLOEXEC)?.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            sockets.extend(more);
        }
    }
    Ok(())
}

/// Sends the sockets to a HAProxy that has requested them, and waits for its confirmation.
///
/// # Errors
/// The connection ended before that.
pub(super) async fn give(mut stream: UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let sockets = sockets.get(..MOST).unwrap_or(sockets);
    let count = i32::try_from(sockets.len()).unwrap_or_default();
    stream.write_all(&count.to_ne_bytes()).await?;
    if !sockets.is_empty() {
        stream.async_io(Interest::WRITABLE, || send(&stream, sockets)).await?;
        stream.read_exact(&mut [0; CONFIRMED.len()]).await?;
    }
    Ok(())
}

fn send(stream: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    along.push(SendAncillaryMessage::ScmRights(&descriptors));
    let words = EACH.repeat(sockets.len());
    sendmsg(stream.as_fd(), &[IoSlice::new(&words)], &mut along, SendFlags::NOSIGNAL)?;
    Ok(())
}
