//! Parts of error messages: the value that was found, shortened if necessary, and the allowed ones.

/// Maximum length of a text that is quoted in full, in bytes.
const SHOWN_MAX: usize = 60;
/// Number of quoted characters of a longer text.
const SHOWN: usize = 30;
/// Maximum length of a name for which a similar one is searched; no field is longer.
const NAME_MAX: usize = 64;

/// Text in quotes, with control characters escaped. Long text is cut, and its length is added.
#[must_use]
pub fn quoted(text: &str) -> String {
    if text.len() <= SHOWN_MAX {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN).collect();
    let start = format!("{start:?}");
    let start = start.strip_suffix('"').unwrap_or(&start);
    format!("{start}…\" ({} characters)", text.chars().count())
}

/// A key in a path: in quotes unless it is a plain word.
#[must_use]
pub fn key(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.len() <= SHOWN_MAX && text.chars().all(plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The path of `field` within `path`, which is empty for the whole document.
#[must_use]
pub fn child(path: &str, field: &str) -> String {
    let field = key(field);
    if path.is_empty() { field } else { format!("{path}.{field}") }
}

/// `A, B or C`.
#[must_use]
pub fn any_of(names: &[&str]) -> String {
    joined(names, "or")
}

/// `A, B and C`.
#[must_use]
pub fn all_of(names: &[&str]) -> String {
    joined(names, "and")
}

fn joined(names: &[&str], last_by: &str) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [before @ .., last] => format!("{} {last_by} {last}", before.join(", ")),
    }
}

/// The sentence for a field that is not in `known`, with the most similar name.
#[must_use]
pub fn unknown_field(path: &str, field: &str, known: &[&str]) -> String {
    let meant = did_you_mean(field, known);
    let allowed = all_of(known);
    let verb = if known.len() == 1 { "is" } else { "are" };
    format!("{} is not a known field{meant}; allowed {verb} {allowed}", child(path, field))
}

/// The most similar name as a question in parentheses after a space; nothing if no name is similar.
#[must_use]
pub fn did_you_mean(found: &str, known: &[&str]) -> String {
    near(found, known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// The most similar name, if it differs only in case or in a few letters.
#[must_use]
pub fn near<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    if found.len() > NAME_MAX {
        return None;
    }
    let lower = found.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let nearest = known.iter().map(|name| (distance(name), *name)).min()?;
    (nearest.0 <= (found.len() / 4).clamp(1, 3)).then_some(nearest.1)
}

/// Description of a JSON or YAML list, which is too large to be quoted.
#[must_use]
pub fn a_list(length: usize) -> String {
    if length == 1 { "a list of 1 entry".to_owned() } else { format!("a list of {length} entries") }
}
