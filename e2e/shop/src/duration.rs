//! Durations with units: `250ms`, `1.5s`, `1m30s`, `2d`.

use std::time::Duration;

/// Longest duration that is accepted: 366 days.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Parses one or more numbers, each with a unit, such as `us`, `ms`, `s`, `m`, `h` or `d`. A bare `0` is
/// allowed, any other bare number is not. The result is at most 366 days.
pub fn parse(text: &str) -> Result<Duration, String> {
    let fail = || {
        format!(
            "{text:?} is not a duration: write numbers with a unit of us, ms, s, m, h or d, as in 250ms or 1m30s"
        )
    };
    // An inner space is more likely a quoting mistake.
    if text.trim().contains(char::is_whitespace) {
        return Err(fail());
    }
    let duration = humantime::parse_duration(text.trim()).map_err(|_| fail())?;
    if duration > LONGEST {
        return Err(format!("{text:?} is too long: at most 366 days are allowed"));
    }
    Ok(duration)
}

/// As [`parse`], for durations that must not be zero.
pub fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("{text:?} is zero: a positive duration is needed")),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("1m30s", 90_000),
            ("1h2m3s4ms", 3_723_004),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn the_error_of_other_text_has_the_allowed_form() {
        for text in ["", "5", "s", "1x", "-1s", "1s2", "1..5s", "1e3s", "1 s"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("250ms") && error.contains(&format!("{text:?}")), "{error}");
        }
        assert!(parse("367d").expect_err("too long").contains("366 days"));
        assert!(parse_positive("0ms").expect_err("zero").contains("positive"));
    }
}
