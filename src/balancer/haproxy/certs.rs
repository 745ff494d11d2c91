//! Replaces certificates in the running process, without interrupting connections.

use std::path::Path;

use super::{
    HaProxy, NAME,
    check::check,
    command::{Answer, Command, FileWord},
    quote::quoted,
    socket,
};
use crate::balancer::{
    CertificateChange, ConfigError, DriverError, Pem,
    certificate::{Offer, refusal},
    files,
};

/// The longest PEM that fits into a command: HAProxy's buffer (`tune.bufsize`, 16 KiB by default) minus the command's
/// own line. A larger buffer would double the cost of each request of a client.
const LONGEST: usize = 16_384 - 1_536;

impl HaProxy {
    /// Writes the certificate and key of a Secret of type `kubernetes.io/tls` to `file`, and makes HAProxy serve them.
    ///
    /// # Errors
    /// They are not PEM, or HAProxy refuses them (for example because the key does not match): then nothing changes.
    pub async fn set_certificate(
        &self,
        file: &Path,
        certificate: &str,
        key: &str,
    ) -> Result<CertificateChange, DriverError> {
        let Some(offer) = Offer::of(file, certificate, key).await? else {
            return Ok(CertificateChange::None);
        };
        let config = self.with_pair_alone(&offer.place())?;
        offer.check(NAME, &config, check(&self.paths.program, &offer.config())).await?;
        if offer.pem.as_str().len() > LONGEST {
            files::put_in_place(file).await?;
            return match self.observe().await {
                Ok(seen) => {
                    let taken = self.take_over(seen.structure.as_deref().unwrap_or_default(), &seen).await;
                    if let (Err(_), Some(before)) = (&taken, offer.before) {
                        // The file must match what is served, or the new content would never be tried again.
                        files::replace(file, &before).await?;
                    }
                    taken.map(|_| CertificateChange::Reloaded)
                }
                Err(error) if error.is_down() => Ok(CertificateChange::Written),
                Err(error) => Err(error),
            };
        }
        let swapped = self.swap(file, offer.pem).await?;
        files::put_in_place(file).await?;
        Ok(swapped)
    }

    /// A configuration with only the pair `pem`, for HAProxy's own check.
    fn with_pair_alone(&self, pem: &str) -> Result<String, ConfigError> {
        let pem = quoted("the path of a certificate", pem)?;
        Ok(format!(
            "frontend check\n    mode http\n    timeout client 1s\n    bind 127.0.0.1:{} ssl crt {pem}\n",
            self.paths.metrics
        ))
    }

    async fn swap(&self, file: &Path, pem: Pem) -> Result<CertificateChange, DriverError> {
        let word = FileWord::new(&file.display().to_string())?;
        let set = Command::SetCertificate(word.clone(), pem);
        let answer = match socket::ask(&self.paths.admin, &set).await {
            Ok(answer) => answer,
            Err(socket::SocketError::Connect { .. }) => return Ok(CertificateChange::Written),
            Err(error) => return Err(error.into()),
        };
        if answer.contains("not referenced by the configuration") {
            return Ok(CertificateChange::Written);
        }
        done(file, &set, &answer)?;
        let commit = Command::CommitCertificate(word.clone());
        let answer = socket::ask(&self.paths.admin, &commit).await?;
        if let Err(error) = done(file, &commit, &answer) {
            socket::ask(&self.paths.admin, &Command::AbortCertificate(word)).await?;
            return Err(error);
        }
        Ok(CertificateChange::Swapped)
    }
}

fn done(file: &Path, command: &Command, answer: &str) -> Result<(), DriverError> {
    match command.answered(answer) {
        Answer::Refused(answer) => Err(refusal(NAME, file, answer)),
        _ => Ok(()),
    }
}
