//! Self-signed certificates.

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

/// A key of the usual kind.
pub fn p256() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// An RSA key of 2,048 bits, as in old certificates.
pub fn rsa2048() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

/// An RSA key of 4,096 bits, for a long certificate.
pub fn rsa4096() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap()
}

/// A self-signed certificate and its key, in PEM, for a common name and for DNS names or IP addresses.
pub fn self_signed(common_name: &str, places: &[&str], key: &KeyPair) -> (String, String) {
    let certificate = parameters(common_name, places).self_signed(key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Parameters of a certificate that is not an authority.
pub fn parameters(common_name: &str, places: &[&str]) -> CertificateParams {
    let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
    let mut parameters = CertificateParams::new(places).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.is_ca = IsCa::ExplicitNoCa;
    // OpenSSL needs it to distinguish two authorities of the same name.
    parameters.use_authority_key_identifier_extension = true;
    parameters
}
