//! Readable numbers, durations and other phrases.

/// A number with at most four significant digits (whole numbers below a million are kept whole), without an
/// exponent from 0.001 to a million. `?` if it is not finite.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "?".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if (1e3..1e6).contains(&size) {
        format!("{value:.0}")
    } else if (1e-3..1e3).contains(&size) {
        rounded(value).to_string()
    } else {
        shortened(value)
    }
}

/// Four significant digits; Rust prints the nearest float without trailing zeros.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// `1.235e7`, `5e-5`; a million itself stays plain.
fn shortened(value: f64) -> String {
    let rounded = rounded(value);
    if rounded.abs() <= 1e6 && rounded.abs() >= 1.0 { rounded.to_string() } else { format!("{rounded:e}") }
}

/// An amount of a resource as a Kubernetes quantity: as [`number`], and from a gibi on with a binary suffix, `1.5Gi`. Counts are
/// smaller than that.
#[must_use]
pub fn amount(value: f64) -> String {
    let units = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30)];
    let unit = units.into_iter().map(|(suffix, bits)| (suffix, 2f64.powi(bits)));
    match unit.into_iter().find(|(_, size)| value.is_finite() && value >= *size) {
        Some((suffix, size)) => format!("{}{suffix}", rounded(value / size)),
        None => number(value),
    }
}

/// Seconds as `140 s`, `25 min`, `3 h` or `4 d`; negative values as `0 s`.
#[must_use]
pub fn seconds(value: f64) -> String {
    let whole = value.max(0.0).round();
    match whole {
        _ if !value.is_finite() => "?".to_owned(),
        _ if whole <= 600.0 => format!("{whole} s"),
        _ if whole < 3.0 * 3600.0 => format!("{:.0} min", whole / 60.0),
        _ if whole < 48.0 * 3600.0 => format!("{:.0} h", whole / 3600.0),
        _ => format!("{:.0} d", whole / 86_400.0),
    }
}

/// `1 replica`, `7 replicas`.
#[must_use]
pub fn replicas(count: i32) -> String {
    counted(count, "replica", "replicas")
}

/// `1 request waits`, `7 requests wait`.
#[must_use]
pub fn counted(count: i32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `: ` and the cause without its full stop; nothing without a cause.
#[must_use]
pub fn cause(text: &str) -> String {
    let text = text.trim_end_matches('.');
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use super::{number, seconds};

    #[test]
    fn numbers_are_formatted_with_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7"),
            (812.5, "812.5"),
            (0.21, "0.21"),
            (1.0 / 3.0, "0.3333"),
            (0.001, "0.001"),
            (0.000_05, "5e-5"),
            (999.96, "1000"),
            (1234.56, "1235"),
            (123_456.0, "123456"),
            (999_999.7, "1000000"),
            (1e6, "1000000"),
            (12_345_678.0, "1.235e7"),
            (-42.25, "-42.25"),
            (f64::NAN, "?"),
            (f64::INFINITY, "?"),
        ] {
            assert_eq!(number(value), text, "{value:?}");
        }
    }

    #[test]
    fn durations_are_formatted_with_one_unit() {
        for (value, text) in [
            (-3.0, "0 s"),
            (0.4, "0 s"),
            (140.2, "140 s"),
            (600.0, "600 s"),
            (1500.0, "25 min"),
            (3.0 * 3600.0, "3 h"),
            (4.0 * 86_400.0, "4 d"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(seconds(value), text, "{value:?}");
        }
    }
}
