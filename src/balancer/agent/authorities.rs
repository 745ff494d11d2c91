//! Certificate authorities of standbys over TLS: copied from mounted Secrets to files for the balancer, and used for
//! the agent's own connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{balancer::Standby, fingerprint::fingerprint};
use plimsoll_api::StandbyTls;

/// Key in the Secret, as cert-manager and Secrets of type `kubernetes.io/tls` name it.
const KEY: &str = "ca.crt";
/// Prefix of the names of the copied files.
const PREFIX: &str = "authorities-";

/// A connection to a standby, over TLS or not.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// The mounted Secrets, and the folder with one file for each content.
#[derive(Debug)]
pub struct Authorities {
    mounted: Mounted,
    folder: PathBuf,
    /// The file with the last usable content of each Secret. It stays in use when the Secret is deleted, since the
    /// standby may already get requests.
    files: BTreeMap<String, PathBuf>,
    /// Why one could not be copied.
    complaint: Option<String>,
}

impl Authorities {
    /// No Secret is read yet.
    #[must_use]
    pub fn new(mounted: Mounted, folder: &Path) -> Self {
        Self { mounted, folder: folder.to_owned(), files: BTreeMap::new(), complaint: None }
    }

    /// The file for each Secret.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, PathBuf> {
        &self.files
    }

    /// Copies new contents of the standbys' Secrets. Returns whether there were any.
    ///
    /// Each file is named after its content, so that the balancer's configuration changes with it. A missing or
    /// unusable Secret is reported by the probes of the standby.
    pub fn follow<'a>(&mut self, standbys: impl IntoIterator<Item = &'a Standby>) -> bool {
        let name = |standby: &'a Standby| Some(&standby.tls.as_ref()?.ca_secret_name);
        let named: BTreeSet<&String> = standbys.into_iter().filter_map(name).collect();
        self.files.retain(|name, _| named.contains(name));
        self.complaint = None;
        let mut changed = false;
        for name in named {
            let Ok(text) = self.mounted.read(name) else { continue };
            let file = self.folder.join(format!("{PREFIX}{}.pem", fingerprint(&text)));
            if self.files.get(name) == Some(&file) || roots(name, &text).is_err() {
                continue;
            }
            match copy(&text, &file) {
                Ok(()) => {
                    tracing::info!(secret = name, "new certificate authorities of a standby");
                    self.files.insert(name.clone(), file);
                    changed = true;
                }
                Err(error) => self.complaint = Some(format!("{} can't be written: {error}", file.display())),
            }
        }
        changed
    }

    /// Deletes files that are not in use any more, once new processes have taken over: the folder is in memory.
    pub fn forget_old(&self) {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(PREFIX)
        };
        let used: BTreeSet<&PathBuf> = self.files.values().collect();
        // A file that can't be deleted only takes space, and is tried again.
        files
            .filter(is_ours)
            .filter(|path| !used.contains(path))
            .for_each(|path| drop(fs::remove_file(path)));
    }

    /// Why one of them is not in use, in a sentence.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.complaint.clone()
    }
}

fn copy(text: &str, file: &Path) -> io::Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}

/// The Secrets of authorities, each mounted as a folder of its name.
#[derive(Clone, Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// The Secrets in `folder`.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Connects; over TLS only if the standby has a valid certificate.
    ///
    /// # Errors
    /// The connection fails, the certificate is not valid, or there are no usable authorities.
    pub async fn connect(
        &self,
        address: SocketAddr,
        tls: Option<&StandbyTls>,
    ) -> io::Result<Box<dyn Connection>> {
        let config = tls.map(|tls| self.config(tls)).transpose()?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some((config, name)) = config else { return Ok(Box::new(stream)) };
        Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
    }

    fn config(&self, tls: &StandbyTls) -> io::Result<(Arc<ClientConfig>, ServerName<'static>)> {
        let wrong = |words: String| io::Error::new(ErrorKind::InvalidInput, words);
        let name = ServerName::try_from(tls.hostname.clone())
            .map_err(|_| wrong(format!("tls.hostname is {:?}, which is no DNS name", tls.hostname)))?;
        let secret = &tls.ca_secret_name;
        let roots = self.read(secret).and_then(|text| roots(secret, &text)).map_err(wrong)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok((Arc::new(config), name))
    }

    /// The text of a Secret's certificates.
    fn read(&self, secret: &str) -> Result<String, String> {
        fs::read_to_string(self.0.join(secret).join(KEY)).map_err(|error| unusable(secret, error))
    }
}

/// The certificates in a text, at least one.
fn roots(secret: &str, text: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(secret, error))?;
        roots.add(certificate).map_err(|error| unusable(secret, error))?;
    }
    if roots.is_empty() {
        return Err(unusable(secret, "there is no certificate in PEM"));
    }
    Ok(roots)
}

fn unusable(secret: &str, why: impl Display) -> String {
    format!("Secret {secret} has no usable {KEY}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standby() -> Standby {
        let tls = StandbyTls { hostname: "east.example".to_owned(), ca_secret_name: "east-ca".to_owned() };
        Standby { tls: Some(tls), ..Standby::default() }
    }

    #[test]
    fn each_content_has_its_own_file_and_the_last_valid_one_stays_when_a_new_one_is_invalid() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secrets/east-ca");
        fs::create_dir_all(&secret).unwrap();
        let mounted = Mounted::at(folder.path().join("secrets"));
        let mut authorities = Authorities::new(mounted.clone(), folder.path());
        assert!(!authorities.follow(&[standby()]));
        let unusable = |why: &str| {
            let message = mounted.read("east-ca").and_then(|text| roots("east-ca", &text)).unwrap_err();
            assert!(message.starts_with(&format!("Secret east-ca has no usable ca.crt: {why}")), "{message}");
        };
        unusable("No such file");

        let authority = include_str!("../../../tests/agent/authority.pem");
        fs::write(secret.join(KEY), authority).unwrap();
        assert!(authorities.follow(&[standby()]));
        assert!(!authorities.follow(&[standby()]), "nothing is new");
        let file = authorities.files()["east-ca"].clone();
        assert_eq!(fs::read_to_string(&file).unwrap(), authority);

        fs::write(secret.join(KEY), "no certificate").unwrap();
        unusable("there is no certificate in PEM");
        assert!(!authorities.follow(&[standby()]));
        assert_eq!(authorities.files()["east-ca"], file);
        fs::write(secret.join(KEY), format!("{authority}{authority}")).unwrap();
        assert!(authorities.follow(&[standby()]));
        assert_ne!(authorities.files()["east-ca"], file, "another content, another name");
        assert_eq!(authorities.complaint(), None);
        assert!(!authorities.follow(&[]) && authorities.files().is_empty());
        fs::remove_dir_all(folder.path().join("secrets")).unwrap();
        unusable("No such file");
    }
}
