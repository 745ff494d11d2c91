//! A certificate authority, and the certificates that it signs.

use crate::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

/// A certificate and its key, in PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

/// A certificate authority with a key of its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(&[], &[(DnType::CommonName, name)])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?);
        Ok(Self(issuer.with_context(|| format!("cannot create the certificate authority {name}"))?))
    }

    pub fn own(&self) -> Signed {
        Signed { certificate: self.0.pem(), key: self.0.key().serialize_pem() }
    }

    /// A server certificate for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Result<Signed> {
        let name = names.first().context("a server needs a name")?;
        self.sign(names, &[(DnType::CommonName, name)], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate, which Kubernetes maps to a user and a group.
    pub fn client(&self, user: &str, group: &str) -> Result<Signed> {
        let subject = [(DnType::OrganizationName, group), (DnType::CommonName, user)];
        self.sign(&[], &subject, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        names: &[&str],
        subject: &[(DnType, &str)],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Signed> {
        let (mut params, key) = (params(names, subject)?, KeyPair::generate()?);
        params.extended_key_usages = vec![usage];
        Ok(Signed { certificate: params.signed_by(&key, &self.0)?.pem(), key: key.serialize_pem() })
    }
}

fn params(names: &[&str], subject: &[(DnType, &str)]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    Ok(params)
}
