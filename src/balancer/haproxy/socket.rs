//! HAProxy's unix sockets: one connection for a batch of commands; the prompt separates their answers.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{sleep, timeout},
};

use super::command::Command;

/// Timeout of one exchange.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for which a master does not listen while it re-executes itself and reads the configuration.
const REEXECUTION: Duration = Duration::from_secs(2);
/// Interval between attempts to connect to a master within that time.
const POLL: Duration = Duration::from_millis(20);
/// The longest answer: `show stat` of 10,000 servers has 5 MiB.
const LONGEST: usize = 32 << 20;
/// End of each answer in interactive mode. Otherwise it is a blank line, which may also be part of an answer.
const PROMPT: &[u8] = b"\n> ";

/// A socket does not answer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The connection failed: HAProxy does not run, or uses another path.
    #[error("cannot connect to HAProxy's socket {path}: {source}")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to HAProxy's socket broke after {answered} of {commands} answers: {source}")]
    Broken {
        /// Answers before that.
        answered: usize,
        /// Commands that were sent.
        commands: usize,
        /// Why.
        source: io::Error,
    },
    /// The answers did not arrive in time.
    #[error("HAProxy sent only {answered} of {commands} answers within 5 s")]
    Slow {
        /// Answers in that time.
        answered: usize,
        /// Commands that were sent.
        commands: usize,
    },
    /// More than 32 MiB.
    #[error("an answer on HAProxy's socket is longer than 32 MiB")]
    Long,
}

impl SocketError {
    /// Label value for metrics, from a fixed set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Broken { .. } => "broken",
            Self::Slow { .. } => "slow",
            Self::Long => "long",
        }
    }
}

/// Sends one command and reads the answer until the connection is closed. The master closes it only after our end is
/// shut down.
///
/// # Errors
/// The socket does not answer.
pub async fn ask(path: &Path, command: &Command) -> Result<String, SocketError> {
    let exchange = async {
        let mut stream = connect(path).await?;
        let broken = |source| SocketError::Broken { answered: 0, commands: 1, source };
        stream.write_all(format!("{command}\n").as_bytes()).await.map_err(broken)?;
        stream.shutdown().await.map_err(broken)?;
        let mut answer = Vec::new();
        loop {
            match stream.read_buf(&mut answer).await {
                Ok(0) => break,
                Ok(_) if answer.len() > LONGEST => return Err(SocketError::Long),
                Ok(_) => {}
                // A master that re-executes itself resets the connection after its answer.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(PATIENCE, exchange).await.unwrap_or(Err(SocketError::Slow { answered: 0, commands: 1 }))
}

/// As [`ask`], for the master, which does not listen for a moment while it re-executes itself.
///
/// # Errors
/// The socket does not answer for two seconds.
pub async fn ask_master(path: &Path, command: &Command) -> Result<String, SocketError> {
    let begin = Instant::now();
    loop {
        match ask(path, command).await {
            Err(SocketError::Connect { .. }) if begin.elapsed() < REEXECUTION => sleep(POLL).await,
            answer => return answer,
        }
    }
}

/// Sends single-line commands without waiting in between, and passes each to `take` with its answer as soon as that
/// arrives.
///
/// # Errors
/// Not all commands were answered. Those passed to `take` were executed; for the others it is unknown.
pub async fn batch(
    path: &Path,
    commands: &[Command],
    mut take: impl FnMut(&Command, &str),
) -> Result<(), SocketError> {
    let mut answered = 0;
    let exchange = async {
        let (mut reader, mut writer) = connect(path).await?.into_split();
        let mut lines = String::from("prompt\n");
        for command in commands {
            lines += &format!("{command}\n");
        }
        lines += "quit\n";
        // Answers are read while commands are written: HAProxy stops reading while it can't answer.
        let write = async move {
            let written = writer.write_all(lines.as_bytes()).await;
            written.map(|()| writer) // kept open until the last answer
        };
        let read = async {
            let mut buffer = Vec::new();
            // The answer to `prompt` is the first prompt.
            let mut first = true;
            let mut searched = 0;
            loop {
                let mut from = 0;
                while let Some(end) = find(&buffer, searched.max(from)) {
                    let answer = String::from_utf8_lossy(buffer.get(from..end).unwrap_or_default());
                    if !std::mem::replace(&mut first, false) {
                        let Some(command) = commands.get(answered) else { return Ok(()) };
                        take(command, answer.trim());
                        answered += 1;
                    }
                    from = end + PROMPT.len();
                }
                buffer.drain(..from);
                // The prompt may arrive in two pieces.
                searched = buffer.len().saturating_sub(PROMPT.len());
                if answered == commands.len() && !first {
                    return Ok(());
                }
                if buffer.len() > LONGEST {
                    return Err(SocketError::Long);
                }
                let read = reader.read_buf(&mut buffer).await;
                if let Some(source) = match read {
                    Ok(0) => Some(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => None,
                    Err(error) => Some(error),
                } {
                    return Err(SocketError::Broken { answered, commands: commands.len(), source });
                }
            }
        };
        // If writing fails, reading ends too, and its error has the number of answers.
        let (_written, read) = tokio::join!(write, read);
        read
    };
    let ended = timeout(PATIENCE, exchange).await;
    ended.unwrap_or(Err(SocketError::Slow { answered, commands: commands.len() }))
}

fn find(buffer: &[u8], from: usize) -> Option<usize> {
    let rest = buffer.get(from..)?;
    rest.windows(PROMPT.len()).position(|window| window == PROMPT).map(|place| from + place)
}

pub(super) async fn connect(path: &Path) -> Result<UnixStream, SocketError> {
    UnixStream::connect(path)
        .await
        .map_err(|source| SocketError::Connect { path: path.display().to_string(), source })
}
