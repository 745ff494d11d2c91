//! SIGTERM and SIGINT as a value that tasks can wait for.
//!
//! The handlers are installed explicitly: for PID 1 of a container the kernel ignores both
//! signals unless there is one.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether a stop was requested. Cheap to clone; all clones share the state.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Installs the handlers. Needs a Tokio runtime.
    pub fn on_signals() -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_replace(true);
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Waits until a stop is requested; returns immediately if it already was.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // The sender is dropped only when the runtime ends, which is a reason to stop too.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// A stop that is requested by sending `true`.
    pub fn by_hand() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }
}
