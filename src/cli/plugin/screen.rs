//! Standard output: a terminal that can be drawn again, or a stream that can only be added to.

use std::io::{IsTerminal, Write};

use super::{args::Color, failure::Failure};
use crate::cli::style::Style;

/// Standard output.
pub struct Screen {
    color: bool,
    redraws: bool,
}

impl Screen {
    /// Looks at standard output and the environment.
    pub fn new(choice: Color) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        Self { color: color(choice, terminal, dumb, set("NO_COLOR").is_some()), redraws: terminal && !dumb }
    }

    /// Whether to use colours.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Only the colours of a style.
    pub fn style(&self) -> Style {
        Style { color: self.color, ..Style::default() }
    }

    /// Whether [`Self::redraw`] replaces what was there.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// Adds text.
    pub fn append(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Shows text instead of what was there.
    pub fn redraw(&mut self, text: &str) -> Result<(), Failure> {
        // Home, then each line with the rest of the old one erased, then what is below: no flicker.
        let lines: String = text.lines().map(|line| format!("{line}\u{1b}[K\n")).collect();
        self.append(&format!("\u{1b}[H{lines}\u{1b}[J"))
    }
}

/// By no-color.org: NO_COLOR counts unless the user asked for colours on the command line.
fn color(choice: Color, terminal: bool, dumb: bool, no_color: bool) -> bool {
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !dumb && !no_color,
    }
}

#[cfg(test)]
mod tests {
    use super::{Color, color};

    #[test]
    fn colours_only_where_they_are_seen_and_wanted() {
        assert!(color(Color::Auto, true, false, false));
        assert!(!color(Color::Auto, false, false, false));
        assert!(!color(Color::Auto, true, true, false));
        assert!(!color(Color::Auto, true, false, true));
        assert!(color(Color::Always, false, true, true));
        assert!(!color(Color::Never, true, false, false));
    }
}
