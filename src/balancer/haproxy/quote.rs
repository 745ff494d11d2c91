//! Quotes text of users for HAProxy's configuration, or refuses it.

use crate::balancer::ConfigError;

/// Quotes a text as one word in single quotes, where only the quote itself is special (configuration.txt, 2.2).
///
/// # Errors
/// The text is not printable ASCII, or longer than 512 bytes.
pub(super) fn quoted(field: &str, text: &str) -> Result<String, ConfigError> {
    if text.len() > 512 || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(ConfigError::Text { field: field.to_owned(), text: text.chars().take(64).collect() });
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_quotes_are_escaped() {
        assert_eq!(quoted("x", r#"a"b #$X\ {}"#).as_deref(), Ok(r#"'a"b #$X\ {}'"#));
        assert_eq!(quoted("x", "it's").as_deref(), Ok(r"'it'\''s'"));
        for text in ["a\nb", "a\r", "\0", "ä", &"x".repeat(513)] {
            assert!(quoted("x", text).is_err(), "{text:?}");
        }
    }
}
