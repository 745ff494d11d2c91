//! Durations as people write them: `250ms`, `1.5s`, `1m30s`, `2d`.

use std::time::Duration;

/// Longest duration that is accepted: 366 days.
const LONGEST_SECONDS: f64 = 366.0 * 86_400.0;

/// Parses one or more numbers, each with a unit: `us`, `ms`, `s`, `m`, `h` or `d`. A bare `0` is
/// allowed, any other bare number is not. The result is at most 366 days.
pub fn parse(text: &str) -> Result<Duration, String> {
    let fail = || {
        format!(
            "{text:?} is not a duration: write numbers with a unit of us, ms, s, m, h or d, as in 250ms or 1m30s"
        )
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: f64 = number.parse().map_err(|_| fail())?;
        seconds += number * seconds_of(unit).ok_or_else(fail)?;
        rest = after;
    }
    if seconds > LONGEST_SECONDS {
        return Err(format!("{text:?} is too long: at most 366 days are allowed"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| fail())
}

/// As [`parse`], for durations that must not be zero.
pub fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("{text:?} is zero: a positive duration is needed")),
        duration => Ok(duration),
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    })
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
    fn anything_else_says_what_is_allowed() {
        for text in ["", "5", "s", "1x", "-1s", "1s2", "1..5s", "1e3s", "1 s"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("250ms") && error.contains(&format!("{text:?}")), "{error}");
        }
        assert!(parse("367d").expect_err("too long").contains("366 days"));
        assert!(parse_positive("0ms").expect_err("zero").contains("positive"));
    }
}
