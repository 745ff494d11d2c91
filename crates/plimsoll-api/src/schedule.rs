//! The times at which a schedule entry is active: a cron expression on the wall clock of a time zone.
//!
//! The expression is matched against wall-clock time, and a match is converted to a timestamp by the rules of the zone. So the
//! cron library needs no time zones, and starts that the zone's clock skips or repeats are handled here.

mod cron;

use chrono::{NaiveDate, NaiveDateTime};
use croner::Cron;
use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use crate::words::quoted;

/// One parsed schedule entry.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Name in the spec.
    pub name: String,
    /// Minimum number of replicas while it is active.
    pub min_replicas: i32,
    start: Cron,
    /// Whether it starts at intervals instead of at fixed times. If the clock repeats an hour, such an entry starts in both, as
    /// with ISC cron.
    repeats: bool,
    zone: TimeZone,
    duration: SignedDuration,
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

impl Schedule {
    /// Parses `start` (five cron fields) in the zone `time_zone` (IANA). The error names the invalid field.
    pub fn parse(
        name: &str,
        start: &str,
        time_zone: &str,
        duration: SignedDuration,
        min_replicas: i32,
    ) -> Result<Self, String> {
        let zone = TimeZone::get(time_zone).ok().filter(|zone| !zone.is_unknown()).ok_or_else(|| {
            let zone = quoted(time_zone);
            format!("timeZone is {zone}; it must be an IANA name such as Europe/Berlin")
        })?;
        let message = |error| format!("start is {}{error}", quoted(start));
        let cron = cron::read(start).map_err(message)?;
        let time = start.split_whitespace().take(cron::TIME);
        let repeats = time.flat_map(str::chars).any(|char| matches!(char, '*' | '-' | '/'));
        Ok(Self { name: name.to_owned(), min_replicas, start: cron, repeats, zone, duration })
    }

    /// Whether the entry is active at `now`: it has a start in `(now - duration, now]`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        let earliest = now.checked_sub(self.duration).ok();
        earliest.and_then(|earliest| self.start_after(earliest)).is_some_and(|start| start <= now)
    }

    /// The next start or end after `now`, if it is within the calendar.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let begins = self.start_after(now);
        let ends = now.checked_sub(self.duration).ok().and_then(|earliest| self.start_after(earliest));
        let ends = ends.and_then(|start| start.checked_add(self.duration).ok());
        begins.into_iter().chain(ends).min()
    }

    /// The first start after `at`.
    fn start_after(&self, at: Timestamp) -> Option<Timestamp> {
        let mut wall = self.wall_before(at)?;
        let mut soonest: Option<Timestamp> = None;
        loop {
            wall = self.start.find_next_occurrence(&wall.and_utc(), false).ok()?.naive_utc();
            let (first, second) = self.moments(to_jiff(wall)?)?;
            let after = [Some(first), second].into_iter().flatten().filter(|moment| *moment > at);
            soonest = after.chain(soonest).min();
            // Later wall-clock times can't be before the first moment of this one.
            if first > at {
                return soonest;
            }
        }
    }

    /// The wall-clock time from which a start may be after `at`.
    fn wall_before(&self, at: Timestamp) -> Option<NaiveDateTime> {
        let wall = self.zone.to_datetime(at);
        let offset = self.zone.to_ambiguous_timestamp(wall).offset();
        let AmbiguousOffset::Fold { after, .. } = offset else { return to_chrono(wall) };
        if !self.repeats {
            return to_chrono(wall);
        }
        let set_back = self.change_before(after.to_timestamp(wall).ok()?)?;
        to_chrono(after.to_datetime(set_back).checked_sub(SECOND).ok()?)
    }

    /// The moments at which the zone's clock shows `wall`: one, or two if the clock repeats it and the entry starts at
    /// intervals. A skipped start is at the end of the gap, as with ISC cron.
    fn moments(&self, wall: DateTime) -> Option<(Timestamp, Option<Timestamp>)> {
        let moment = self.zone.to_ambiguous_timestamp(wall);
        match moment.offset() {
            // By the offset before the change, the skipped time is after the change.
            AmbiguousOffset::Gap { before, .. } => {
                Some((self.change_before(before.to_timestamp(wall).ok()?)?, None))
            }
            AmbiguousOffset::Fold { before, after } => {
                let second = after.to_timestamp(wall).ok().filter(|_| self.repeats);
                Some((before.to_timestamp(wall).ok()?, second))
            }
            AmbiguousOffset::Unambiguous { .. } => Some((moment.compatible().ok()?, None)),
        }
    }

    /// The last change of the zone's offset at or before `at`.
    fn change_before(&self, at: Timestamp) -> Option<Timestamp> {
        self.zone.preceding(at.checked_add(SECOND).ok()?).next().map(|change| change.timestamp())
    }
}

fn to_chrono(wall: DateTime) -> Option<NaiveDateTime> {
    let unsigned = |number: i8| u32::try_from(number).ok();
    let day = NaiveDate::from_ymd_opt(wall.year().into(), unsigned(wall.month())?, unsigned(wall.day())?)?;
    day.and_hms_opt(unsigned(wall.hour())?, unsigned(wall.minute())?, unsigned(wall.second())?)
}

fn to_jiff(wall: NaiveDateTime) -> Option<DateTime> {
    // Both count the seconds as if the wall clock were in UTC.
    let seconds = Timestamp::from_second(wall.and_utc().timestamp()).ok()?;
    Some(Offset::UTC.to_datetime(seconds))
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
    fn the_next_change_is_a_start_or_an_end() {
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
    fn an_error_names_the_invalid_field() {
        let parse =
            |start, zone| Schedule::parse("x", start, zone, SignedDuration::from_hours(1), 1).unwrap_err();
        for zone in ["Mars/Olympus", "Etc/Unknown"] {
            assert!(
                parse("0 8 * * *", zone)
                    .starts_with(&format!("timeZone is {zone:?}; it must be an IANA name"))
            );
        }
        for (start, error) in [
            ("0 8 * *", "which has 4 fields; a cron expression has five"),
            ("0 25 * * *", "its hour is \"25\", and must be 0 to 23"),
            ("60 8 * * *", "its minute is \"60\", and must be 0 to 59"),
            ("0 8 32 * *", "its day of the month is \"32\""),
            ("0 8 * MON *", "its month is \"MON\", and must be 1 to 12 or JAN to DEC"),
            ("0 8 * * JAN", "its day of the week is \"JAN\""),
            ("0 8 * * L", "its day of the week is \"L\""),
            ("0 8,, * * *", "its hour is \"8,,\""),
            ("*/0 8 * * *", "its minute is \"*/0\""),
            ("0 8 * JANFEB *", "its month is \"JANFEB\""),
            ("0 8 15W5 * *", "its day of the month is \"15W5\""),
            ("0 8 * * fri-mon", "its day of the week is \"fri-mon\""),
            ("0 0 30 2 *", "which matches no date"),
            ("0 0 31 4,6,9,11 *", "which matches no date"),
        ] {
            let found = parse(start, "UTC");
            assert!(found.starts_with(&format!("start is {start:?}")) && found.contains(error), "{found}");
        }
    }

    fn starts(start: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse("x", start, zone, SignedDuration::from_mins(1), 1).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        let next = |_| {
            at = schedule.start_after(at).unwrap();
            schedule.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_start_that_the_clock_skips_is_at_the_end_of_the_gap() {
        let night = |zone, start, day: &str| starts(start, zone, &format!("{day}T12:00:00Z"), 2);
        assert_eq!(
            night("Europe/Berlin", "30 2 * * *", "2026-03-28"),
            ["2026-03-29 03:00", "2026-03-30 02:30"]
        );
        assert_eq!(
            night("America/New_York", "15 2 * * *", "2026-03-07"),
            ["2026-03-08 03:00", "2026-03-09 02:15"]
        );
        assert_eq!(
            night("Africa/Cairo", "0 0 * * *", "2026-04-23"),
            ["2026-04-24 01:00", "2026-04-25 00:00"],
            "the gap begins at midnight"
        );
        assert_eq!(
            night("Australia/Lord_Howe", "10 2 * * *", "2026-10-03"),
            ["2026-10-04 02:30", "2026-10-05 02:10"],
            "a gap of half an hour"
        );
        assert_eq!(
            starts("0 8 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", 2),
            ["2011-12-31 00:00", "2011-12-31 08:00"],
            "a whole day is skipped"
        );
    }

    #[test]
    fn a_start_at_a_fixed_time_that_the_clock_repeats_counts_once() {
        assert_eq!(
            starts("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25 02:30", "2026-10-26 02:30"]
        );
        assert_eq!(
            starts("30 2,14 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 2),
            ["2026-10-25 02:30", "2026-10-25 14:30"]
        );
        let twice =
            Schedule::parse("x", "30 2 * * *", "Europe/Berlin", SignedDuration::from_mins(10), 1).unwrap();
        for (at, holds) in
            [("2026-10-25T00:30:00Z", true), ("2026-10-25T00:40:00Z", false), ("2026-10-25T01:35:00Z", false)]
        {
            assert_eq!(twice.holds(at.parse().unwrap()), holds, "{at}");
        }
    }

    #[test]
    fn starts_at_intervals_count_in_both_of_two_repeated_hours() {
        let quarters =
            Schedule::parse("x", "*/15 * * * *", "Europe/Berlin", SignedDuration::from_mins(15), 1).unwrap();
        let mut at: Timestamp = "2026-10-24T23:00:00Z".parse().unwrap();
        let until: Timestamp = "2026-10-25T04:00:00Z".parse().unwrap();
        while at < until {
            assert!(quarters.holds(at), "{at}");
            let next = quarters.next_change(at).unwrap();
            assert!(next.duration_since(at) <= SignedDuration::from_mins(15), "{at} until {next}");
            at += SignedDuration::from_mins(5);
        }
        assert_eq!(
            starts("30 * * * *", "Europe/Berlin", "2026-10-24T23:40:00Z", 4),
            ["2026-10-25 02:30", "2026-10-25 02:30", "2026-10-25 03:30", "2026-10-25 04:30"]
        );
    }

    #[test]
    fn a_clock_change_within_the_duration_does_not_change_its_length() {
        for (start, at, end) in [
            ("0 22 * * 6", "2026-03-28T21:00:00Z", "2026-03-29T07:00:00Z"),
            ("0 22 * * 6", "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
            ("30 2 * * 0", "2026-03-29T01:00:00Z", "2026-03-29T11:00:00Z"),
            ("30 2 * * 0", "2026-10-25T00:30:00Z", "2026-10-25T10:30:00Z"),
        ] {
            let week =
                Schedule::parse("x", start, "Europe/Berlin", SignedDuration::from_hours(10), 1).unwrap();
            let (at, end): (Timestamp, Timestamp) = (at.parse().unwrap(), end.parse().unwrap());
            let second = SignedDuration::from_secs(1);
            assert!(week.holds(at) && !week.holds(at - second), "{start} from {at}");
            assert!(week.holds(end - second) && !week.holds(end), "{start} until {end}");
            assert_eq!(week.next_change(at), Some(end), "{start}");
        }
    }

    #[test]
    fn the_last_day_and_the_last_friday_apply_to_every_month() {
        assert_eq!(
            starts("0 6 L * *", "Europe/Berlin", "2026-10-31T12:00:00Z", 3),
            ["2026-11-30 06:00", "2026-12-31 06:00", "2027-01-31 06:00"]
        );
        for friday in ["5L", "FRIL", "5#L"] {
            assert_eq!(
                starts(&format!("0 6 * * {friday}"), "UTC", "2026-11-30T12:00:00Z", 2),
                ["2026-12-25 06:00", "2027-01-29 06:00"],
                "{friday}"
            );
        }
        for sunday in ["0L", "7L", "SUNL"] {
            assert_eq!(
                starts(&format!("0 6 * * {sunday}"), "UTC", "2026-12-01T00:00:00Z", 1),
                ["2026-12-27 06:00"]
            );
        }
    }

    #[test]
    fn day_of_month_and_day_of_week_must_both_match_only_if_one_begins_with_a_star() {
        assert_eq!(
            starts("0 6 13 * 5", "UTC", "2026-11-01T00:00:00Z", 2),
            ["2026-11-06 06:00", "2026-11-13 06:00"]
        );
        assert_eq!(
            starts("0 6 * * 1/2", "UTC", "2026-11-01T00:00:00Z", 4),
            ["2026-11-02 06:00", "2026-11-04 06:00", "2026-11-06 06:00", "2026-11-09 06:00"],
            "Monday, Wednesday, Friday"
        );
        assert_eq!(starts("0 6 */7 * MON", "UTC", "2026-11-01T00:00:00Z", 1), ["2027-02-01 06:00"]);
    }

    #[test]
    fn the_ends_of_the_calendar_do_not_panic() {
        for at in [Timestamp::MIN, Timestamp::MAX] {
            assert!(!friday().holds(at));
            let _ = friday().next_change(at);
        }
    }
}
