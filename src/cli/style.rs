//! How text is shown: colours and the width of tables.

/// How to show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// More columns.
    pub wide: bool,
    /// Objects of several namespaces: name the namespace.
    pub all_namespaces: bool,
}

/// What a text means, which decides its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    #[default]
    Plain,
    /// What to look at first.
    Strong,
    /// All is well.
    Good,
    /// Somebody should know.
    Warn,
    /// Somebody should act.
    Bad,
    /// Less important.
    Quiet,
}

impl Style {
    /// The text in its colour, or as it is.
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
