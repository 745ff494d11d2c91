//! A new certificate and key, checked by the balancer before they replace the file that it reads.

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use super::{DriverError, Pem, Wanted, files};
use crate::fingerprint::fingerprint;

/// A certificate and key in the temporary file beside their final one.
pub(super) struct Offer<'a> {
    file: &'a Path,
    /// The certificate and key.
    pub pem: Pem,
    /// The current content of the file.
    pub before: Option<String>,
    /// Path of the temporary file.
    beside: PathBuf,
}

impl<'a> Offer<'a> {
    /// Writes the certificate and key of a Secret of type `kubernetes.io/tls` to the temporary file of `file`; `None` if the
    /// file already has them.
    ///
    /// # Errors
    /// They are not PEM or can't be written.
    pub async fn of(file: &'a Path, certificate: &str, key: &str) -> Result<Option<Self>, DriverError> {
        let pem = Pem::of(certificate, key)?;
        let before = files::read(file).await?;
        if before.as_deref() == Some(pem.as_str()) {
            return Ok(None);
        }
        let beside = files::write_beside(file, pem.as_str()).await?;
        Ok(Some(Self { file, pem, before, beside }))
    }

    /// Path of the temporary file, as text.
    pub fn place(&self) -> String {
        self.beside.display().to_string()
    }

    /// Path of a configuration with only the pair, for a check.
    pub fn config(&self) -> PathBuf {
        let mut config = self.beside.as_os_str().to_owned();
        config.push(".conf");
        config.into()
    }

    /// Writes that configuration and awaits `complaint`, the message of the balancer `by` if it refuses it.
    ///
    /// # Errors
    /// The balancer refuses the pair, for example because the key does not match the certificate.
    pub async fn check(
        &self,
        by: &'static str,
        config: &str,
        complaint: impl Future<Output = Result<Option<String>, DriverError>>,
    ) -> Result<(), DriverError> {
        let path = self.config();
        files::replace(&path, config).await?;
        let refused = complaint.await;
        let _gone_is_fine = tokio::fs::remove_file(&path).await;
        match refused? {
            None => Ok(()),
            Some(answer) => Err(refusal(by, self.file, answer)),
        }
    }
}

/// The error if the balancer `by` refuses the certificate in `file`.
pub(super) fn refusal(by: &'static str, file: &Path, answer: String) -> DriverError {
    DriverError::Certificate { by, file: file.display().to_string(), answer }
}

/// Fingerprints of the listeners' certificates, so that a new certificate changes the structure.
pub(super) async fn marks(wanted: &Wanted) -> String {
    let mut marks = String::new();
    for file in wanted.listeners.iter().filter_map(|listen| listen.certificate.as_ref()) {
        // The balancer's own check refuses a missing certificate, with its own message.
        let content = files::read(file).await.ok().flatten().unwrap_or_default();
        marks += &fingerprint(&content);
    }
    marks
}
