//! Text of users in HAProxy's configuration: quoted so that it means itself, or refused.

use crate::balancer::ConfigError;

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
