//! The style of the output: colours and columns.

/// The style of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// More columns.
    pub wide: bool,
    /// A column for the namespace.
    pub all_namespaces: bool,
}

/// The meaning of a text, which decides its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// No colour.
    #[default]
    Plain,
    /// Headings and the main answer.
    Strong,
    /// Healthy.
    Good,
    /// Something to note.
    Warn,
    /// Something to act on.
    Bad,
    /// Less important.
    Quiet,
}

impl Style {
    /// The text in its colour, or unchanged without colours.
    #[must_use]
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Strong => "1",
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Quiet => "2",
        };
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
