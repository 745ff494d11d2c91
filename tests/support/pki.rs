//! Certificates that sign themselves.

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

/// The usual kind of key.
pub fn p256() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A key of 2,048 bits, as old certificates have it.
pub fn rsa2048() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

/// A key that makes a certificate long.
pub fn rsa4096() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap()
}

/// A certificate of nobody else, and its key, in PEM: for a common name, and for DNS names or IP addresses.
pub fn self_signed(common_name: &str, places: &[&str], key: &KeyPair) -> (String, String) {
    let certificate = parameters(common_name, places).self_signed(key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Those of a certificate that signs no other.
pub fn parameters(common_name: &str, places: &[&str]) -> CertificateParams {
    let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
    let mut parameters = CertificateParams::new(places).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters
}
