//! Parses a cron expression field by field, so that an error can name the invalid field and its allowed values.

use chrono::NaiveDate;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::words::quoted;

/// The fields of a cron expression, with their names, letters and allowed values.
const FIELDS: [Field; 5] = [
    Field { name: "minute", names: &[], letters: "", allowed: "0 to 59" },
    Field { name: "hour", names: &[], letters: "", allowed: "0 to 23" },
    Field {
        name: "day of the month",
        names: &[],
        letters: "LW",
        allowed: "1 to 31, L for the last one, or 15W for the weekday closest to the 15th",
    },
    Field { name: "month", names: &MONTHS, letters: "", allowed: "1 to 12 or JAN to DEC" },
    Field {
        name: "day of the week",
        names: &DAYS,
        letters: "L",
        allowed: "0 to 7 or SUN to SAT, 5L for the last Friday of a month, or 5#2 for the second",
    },
];

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Index of the day of the month among the fields.
const DAY_OF_MONTH: usize = 2;
/// Index of the day of the week among the fields.
const DAY_OF_WEEK: usize = 4;

/// Number of the fields for the time of day, which come first.
pub(super) const TIME: usize = 2;

struct Field {
    name: &'static str,
    /// Names of its numbers.
    names: &'static [&'static str],
    /// Letters with a special meaning.
    letters: &'static str,
    /// Allowed values, as text.
    allowed: &'static str,
}

/// Parses a cron expression. The error continues a sentence that ends with the expression.
pub(super) fn read(text: &str) -> Result<Cron, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let count = fields.len();
    if count != FIELDS.len() {
        let fields = if count == 1 { "field" } else { "fields" };
        return Err(format!(", which has {count} {fields}; a cron expression has five"));
    }
    let named = || FIELDS.iter().zip(&fields).enumerate();
    let values = named().map(|(place, (field, found))| {
        field.numbers(place, &found.to_uppercase()).ok_or_else(|| field.error(found))
    });
    let values: Vec<String> = values.collect::<Result<_, _>>()?;
    // As in Vixie cron, `*/2` is a star: with it, the days of the month and of the week must both match.
    let star = [DAY_OF_MONTH, DAY_OF_WEEK]
        .iter()
        .any(|day| values.get(*day).is_some_and(|day| day.starts_with('*')));
    let cron = parse(&values.join(" "), star).map_err(|error| {
        // Each field is parsed separately, to find the invalid one.
        let invalid = named().zip(&values).find(|((place, _), value)| !is_valid(*place, value));
        invalid.map_or_else(
            || format!(", which is not a cron expression: {error}"),
            |((_, (field, found)), _)| field.error(found),
        )
    })?;
    let first = NaiveDate::from_ymd_opt(2000, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0));
    match first.map(|first| cron.find_next_occurrence(&first.and_utc(), true)) {
        Some(Ok(_)) => Ok(cron),
        _ => Err(", which matches no date".into()),
    }
}

fn parse(expression: &str, star: bool) -> Result<Cron, croner::errors::CronError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
    parser.dom_and_dow(star).build().parse(expression)
}

/// Whether a field is valid if all others are `*`.
fn is_valid(place: usize, value: &str) -> bool {
    let alone = (0..FIELDS.len()).map(|other| if other == place { value } else { "*" });
    parse(&alone.collect::<Vec<_>>().join(" "), false).is_ok()
}

impl Field {
    fn error(&self, found: &str) -> String {
        format!(
            "; its {} is {}, and must be {}; or *, or a list or steps of these",
            self.name,
            quoted(found),
            self.allowed
        )
    }

    /// The field with numbers for names. The library accepts the names of one field in another, and ignores empty parts of a
    /// list; here they are refused.
    fn numbers(&self, place: usize, found: &str) -> Option<String> {
        let parts = found.split(',').map(|part| self.part(place, part)).collect::<Option<Vec<_>>>()?;
        Some(parts.join(","))
    }

    /// One part of a list with numbers for names; `None` if the library would misinterpret it.
    fn part(&self, place: usize, part: &str) -> Option<String> {
        let known = |word: &str| {
            let letters = word.len() == 1 && self.letters.contains(word);
            word.is_empty() || letters || self.names.contains(&word.strip_suffix('L').unwrap_or(word))
        };
        let words = part.split(|char: char| !char.is_alphabetic()).all(known);
        let w_ends = part.find('W').is_none_or(|at| at + 1 == part.len());
        if part.is_empty() || part.starts_with(['+', '@']) || !words || !w_ends {
            return None;
        }
        let first = usize::from(place != DAY_OF_WEEK);
        // Sunday is 7 only at the end of a range.
        let mut part = if place == DAY_OF_WEEK { part.replace("-SUN", "-7") } else { part.to_owned() };
        for (number, name) in self.names.iter().enumerate() {
            part = part.replace(name, &(number + first).to_string());
        }
        if place != DAY_OF_WEEK {
            return Some(part);
        }
        // Steps end at Saturday (6), since 7 is Sunday again.
        if let Some((day, step)) = part.split_once('/').filter(|(day, _)| day.parse::<u8>().is_ok()) {
            part = format!("{day}-6/{step}");
        }
        // With these, the library creates an expression that never matches.
        (part != "L").then(|| part.replace("7L", "0L").replace("7#L", "0#L"))
    }
}
