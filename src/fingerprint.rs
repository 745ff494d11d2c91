//! A short word that stands for a text.

use std::hash::Hasher as _;

use fnv::FnvHasher;

/// FNV-1a, 64 bits: the same in every build, so that an upgrade does not write what did not change; and nobody gains by two
/// texts with the same one.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    format!("{:016x}", hash(text))
}

/// The same as a number.
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
    fn it_is_the_one_of_every_version_before() {
        assert_eq!(fingerprint(""), "cbf29ce484222325");
        assert_eq!(fingerprint("a"), "af63dc4c8601ec8c");
    }
}
