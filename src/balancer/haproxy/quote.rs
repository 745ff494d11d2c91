//! Text of users in HAProxy's configuration: quoted so that it means itself, or refused.

/// What can't stand in the configuration.
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
    #[error("{field} is {text:?}: letters, digits and any of _ . : - are allowed in a name")]
    Name {
        /// Field of the spec, or what else it is.
        field: String,
        /// What was found, as far as 64 characters.
        text: String,
    },
    /// Two listeners would share a port.
    #[error(
        "port {0} of the balancer's pods is needed twice: listeners below 1024 listen 10000 higher there, and 9101 is for metrics"
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

/// As one word between single quotes, in which nothing but the quote itself has a meaning (configuration.txt, 2.2).
///
/// # Errors
/// Something else than printable ASCII, or more than 512 bytes of it.
pub(super) fn quoted(field: &str, text: &str) -> Result<String, ConfigError> {
    if text.len() > 512 || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(ConfigError::Text { field: field.to_owned(), text: text.chars().take(64).collect() });
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// As it is.
///
/// # Errors
/// Something else than `[A-Za-z0-9_.:-]`, or nothing.
pub(super) fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, ConfigError> {
    match super::command::Word::new(text) {
        Ok(_) => Ok(text),
        Err(_) => Err(ConfigError::Name { field: field.to_owned(), text: text.chars().take(64).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_end_only_for_a_quote() {
        assert_eq!(quoted("x", r#"a"b #$X\ {}"#).as_deref(), Ok(r#"'a"b #$X\ {}'"#));
        assert_eq!(quoted("x", "it's").as_deref(), Ok(r"'it'\''s'"));
        for text in ["a\nb", "a\r", "\0", "ä", &"x".repeat(513)] {
            assert!(quoted("x", text).is_err(), "{text:?}");
        }
    }
}
