//! Maps connection errors to the failures of the report.

use std::error::Error as _;
use std::io::{Error as IoError, ErrorKind};

use rustix::io::Errno;

use super::report::Failure;

pub(super) fn failure_of(error: &hyper::Error) -> Failure {
    if let Some(source) = error.source().and_then(|source| source.downcast_ref::<IoError>()) {
        return failure_of_io(source);
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Failure::Closed
    } else if error.is_parse() {
        Failure::Malformed
    } else {
        Failure::Other
    }
}

pub(super) fn failure_of_io(error: &IoError) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Failure::Reset,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Failure::Unreachable
        }
        ErrorKind::TimedOut => Failure::Timeout,
        ErrorKind::UnexpectedEof => Failure::Closed,
        ErrorKind::AddrNotAvailable => Failure::ClientResources,
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS) => Failure::ClientResources,
            Some(Errno::PERM) => Failure::Unreachable,
            _ => Failure::Other,
        },
    }
}
