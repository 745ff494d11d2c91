//! TLS of the load generator: one authority is trusted, and sessions are not resumed, so that each connection gets the
//! present certificate.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::failure::failure_of_io;
use super::report::Failure;

/// TLS client settings.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl Tls {
    /// Trusts the authority in the PEM file; expects `server_name` instead of the target's host.
    pub fn new(ca: &Path, server_name: Option<&str>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca).with_context(|| format!("cannot read {}", ca.display()))?
        {
            roots.add(certificate?)?;
        }
        ensure!(!roots.is_empty(), "{} has no certificate", ca.display());
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, server_name: server_name.map(str::to_owned) })
    }

    /// Does the handshake; the certificate must be for the expected name, or for `host`.
    pub async fn handshake(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| Failure::Tls)?;
        self.connector.connect(name, stream).await.map_err(|error| match failure_of_io(&error) {
            Failure::Other => Failure::Tls,
            known => known,
        })
    }
}
