//! When a schedule entry holds: pure calendar arithmetic on a cron expression with a time zone.

use cronexpr::{Crontab, MakeTimestamp};
use jiff::{SignedDuration, Timestamp};

/// One schedule entry, ready to be asked.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name in the spec.
    pub name: String,
    /// Fewest replicas while it holds.
    pub min_replicas: i32,
    start: Crontab,
    duration: SignedDuration,
}

impl Schedule {
    /// Reads `start` (five cron fields) in the zone `time_zone` (IANA). The error says what is wrong with either.
    pub fn parse(
        name: &str,
        start: &str,
        time_zone: &str,
        duration: SignedDuration,
        min_replicas: i32,
    ) -> Result<Self, String> {
        let fields = start.split_whitespace().count();
        if fields != 5 {
            return Err(format!("start is {start:?}, which has {fields} fields; a cron expression has five"));
        }
        jiff::tz::TimeZone::get(time_zone).map_err(|_| {
            format!("timeZone is {time_zone:?}; it must be an IANA name such as Europe/Berlin")
        })?;
        let start = cronexpr::parse_crontab(&format!("{start} {time_zone}"))
            .map_err(|error| format!("start is {start:?}: {}", first_line(&error.to_string())))?;
        Ok(Self { name: name.to_owned(), min_replicas, start, duration })
    }

    /// Whether the entry holds at `now`: some start lies in `(now - duration, now]`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now.checked_sub(self.duration)
            .ok()
            .and_then(|earliest| self.start.find_next(MakeTimestamp(earliest)).ok())
            .is_some_and(|start| start.timestamp() <= now)
    }

    /// When it next begins or ends after `now`, if the calendar has that.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let start_after =
            |at: Timestamp| self.start.find_next(MakeTimestamp(at)).ok().map(|start| start.timestamp());
        let begins = start_after(now);
        let ends = now.checked_sub(self.duration).ok().and_then(start_after);
        let ends = ends.and_then(|start| start.checked_add(self.duration).ok());
        begins.into_iter().chain(ends).min()
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::Schedule;

    fn friday() -> Schedule {
        Schedule::parse("sale", "0 8 * * 5", "Europe/Berlin", SignedDuration::from_hours(14), 20).unwrap()
    }

    #[test]
    fn holds_from_its_start_for_its_duration_in_its_zone() {
        for (at, holds) in [
            ("2026-11-27T06:59:59Z", false), // Friday, 07:59:59 in Berlin
            ("2026-11-27T07:00:00Z", true),
            ("2026-11-27T20:59:59Z", true),
            ("2026-11-27T21:00:00Z", false),
            ("2026-11-28T08:00:00Z", false),
            ("2026-07-03T06:00:00Z", true), // summer time: 08:00 in Berlin
            ("2026-07-03T05:59:59Z", false),
        ] {
            assert_eq!(friday().holds(at.parse::<Timestamp>().unwrap()), holds, "{at}");
        }
    }

    #[test]
    fn tells_its_next_beginning_and_its_end() {
        for (at, next) in [
            ("2026-11-27T06:00:00Z", "2026-11-27T07:00:00Z"),
            ("2026-11-27T07:00:00Z", "2026-11-27T21:00:00Z"),
            ("2026-11-27T21:00:00Z", "2026-12-04T07:00:00Z"),
        ] {
            let next: Timestamp = next.parse().unwrap();
            assert_eq!(friday().next_change(at.parse().unwrap()), Some(next), "{at}");
        }
    }

    #[test]
    fn an_error_names_what_is_wrong() {
        let parse =
            |start, zone| Schedule::parse("x", start, zone, SignedDuration::from_hours(1), 1).unwrap_err();
        assert!(parse("0 8 * *", "UTC").contains("has 4 fields"));
        assert!(parse("0 25 * * *", "UTC").contains("0 25 * * *"));
        assert!(parse("0 8 * * *", "Mars/Olympus").contains("Mars/Olympus"));
    }
}
