//! Names of users in the configuration of a balancer: of a small alphabet that means nothing anywhere, or refused.

/// Longest name.
const LONGEST: usize = 253;

/// What can't stand in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not printable, or too long.
    #[error(
        "{field} is {text:?}, which can't be written into a configuration: printable ASCII of at most 512 bytes can"
    )]
    Text {
        /// Field of the spec, or what else it is.
        field: String,
        /// What was found, as far as 64 characters.
        text: String,
    },
    /// Names are of a small alphabet.
    #[error("{field} is {text:?}: letters, digits and any of {allowed} are allowed")]
    Name {
        /// Field of the spec, or what else it is.
        field: String,
        /// What was found, as far as 64 characters.
        text: String,
        /// The punctuation that is allowed.
        allowed: &'static str,
    },
    /// Two listeners would share a port.
    #[error(
        "port {0} of the balancer's pods is needed twice: listeners below 1024 listen 10000 higher there, and 9101 to 9104 \
         are the balancer's own"
    )]
    SamePort(u16),
}

impl ConfigError {
    /// A bounded word for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Text { .. } | Self::Name { .. } => "text",
            Self::SamePort(_) => "port",
        }
    }
}

/// As it is.
///
/// # Errors
/// Something else than 1 to 253 of `[A-Za-z0-9_.:-]`.
pub(super) fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, ConfigError> {
    word(field, text, "_ . : -")
}

/// The path of a file, as it is.
///
/// # Errors
/// Something else than 1 to 253 of `[A-Za-z0-9_.:/-]`.
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
    fn what_means_something_to_a_configuration_is_no_name() {
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
