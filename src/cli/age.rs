//! Ages in kubectl's format: `45s`, `5m3s`, `45m`, `3h5m`, `20h`, `30d`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The age of `then` at `now`, by kubectl's rules; a future time counts as now.
#[must_use]
pub fn age(then: &Time, now: Timestamp) -> String {
    let total = elapsed(then, now).max(0);
    let (minutes, hours, days) = (total / 60, total / 3600, total / 86_400);
    let pair = |large: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match total {
        _ if total < 120 => format!("{total}s"),
        _ if minutes < 10 => pair(minutes, "m", total % 60, "s"),
        _ if hours < 3 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => pair(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ => pair(days / 365, "y", days % 365, "d"),
    }
}

/// Whole seconds from `then` to `now`; negative for a future time.
#[must_use]
pub fn elapsed(then: &Time, now: Timestamp) -> i64 {
    now.duration_since(then.0).as_secs()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn ages_have_kubectls_format() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (seconds, text) in [
            (-30, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (303, "5m3s"),
            (2700, "45m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (72_000, "20h"),
            (172_800, "2d"),
            (273_600, "3d4h"),
            (2_592_000, "30d"),
            (63_158_400, "2y1d"),
        ] {
            let then = Time(now - SignedDuration::from_secs(seconds));
            assert_eq!(super::age(&then, now), text, "{seconds}");
        }
    }
}
