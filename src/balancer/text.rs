//! User-provided names in the configuration of a balancer: only characters without a special meaning are accepted.

/// Longest name.
const LONGEST: usize = 253;

/// A value that can't be rendered into a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not printable, or too long.
    #[error(
        "{field} is {text:?}, which can't be written into a configuration: only printable ASCII of at most 512 bytes can"
    )]
    Text {
        /// The field of the spec, or a description of the value.
        field: String,
        /// The value found, truncated to 64 characters.
        text: String,
    },
    /// A name has a character that is not allowed, or a wrong length.
    #[error("{field} is {text:?}: letters, digits and any of {allowed} are allowed")]
    Name {
        /// The field of the spec, or a description of the value.
        field: String,
        /// The value found, truncated to 64 characters.
        text: String,
        /// The punctuation that is allowed.
        allowed: &'static str,
    },
    /// Two listeners need the same port, or a listener needs a reserved one.
    #[error(
        "port {0} of the balancer's pods is needed twice: listener ports below 1024 are raised by 10000 there, and 9101 to \
         9104 are reserved"
    )]
    SamePort(u16),
}

impl ConfigError {
    /// Label value for metrics, one of a closed set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Text { .. } | Self::Name { .. } => "text",
            Self::SamePort(_) => "port",
        }
    }
}

/// Returns the name unchanged.
///
/// # Errors
/// The name is not 1 to 253 characters of `[A-Za-z0-9_.:-]`.
pub(super) fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, ConfigError> {
    word(field, text, "_ . : -")
}

/// Returns the path of a file unchanged.
///
/// # Errors
/// The path is not 1 to 253 characters of `[A-Za-z0-9_.:/-]`.
pub(super) fn path<'a>(field: &str, text: &'a str) -> Result<&'a str, ConfigError> {
    word(field, text, "_ . : / -")
}

fn word<'a>(field: &str, text: &'a str, allowed: &'static str) -> Result<&'a str, ConfigError> {
    let fits = |char: char| char.is_ascii_alphanumeric() || (char != ' ' && allowed.contains(char));
    if (1..=LONGEST).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text);
    }
    Err(ConfigError::Name { field: field.to_owned(), text: text.chars().take(64).collect(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_with_a_special_meaning_in_a_configuration_are_refused() {
        assert_eq!(name("x", "checkout-7d9c6b.x:0"), Ok("checkout-7d9c6b.x:0"));
        assert_eq!(path("x", "/run/plimsoll/shop.tls.pem"), Ok("/run/plimsoll/shop.tls.pem"));
        for text in
            ["", "a b", "a;", "a{", "a}", "$a", "a\n", "#a", "\"a", "a'", "a\\", "ä", &"x".repeat(254)]
        {
            assert!(name("x", text).is_err() && path("x", text).is_err(), "{text:?}");
        }
        let error = name("the service", "a/b").unwrap_err().to_string();
        assert_eq!(error, "the service is \"a/b\": letters, digits and any of _ . : - are allowed");
    }
}
