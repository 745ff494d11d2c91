//! Fingerprints of texts.

use std::hash::Hasher as _;

use fnv::FnvHasher;

/// FNV-1a, 64 bits. It is the same in every build, so that an upgrade does not rewrite unchanged objects. It need not resist
/// deliberate collisions: an attacker gains nothing by one.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    format!("{:016x}", hash(text))
}

/// The same hash as a number.
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn the_fingerprint_does_not_change_between_versions() {
        assert_eq!(fingerprint(""), "cbf29ce484222325");
        assert_eq!(fingerprint("a"), "af63dc4c8601ec8c");
    }
}
