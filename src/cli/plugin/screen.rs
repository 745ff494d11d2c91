//! Standard output: a terminal that can be redrawn, or a stream that only takes appended text.

use std::io::{IsTerminal, Write};

use super::{args::Color, failure::Failure};
use crate::cli::style::Style;

/// Standard output.
pub struct Screen {
    color: bool,
    redraws: bool,
}

impl Screen {
    /// Inspects standard output and the environment.
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

    /// A style with the colour setting only.
    pub fn style(&self) -> Style {
        Style { color: self.color, ..Style::default() }
    }

    /// Whether [`Self::redraw`] can replace the shown text.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// Appends text.
    pub fn append(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Replaces the shown text.
    pub fn redraw(&mut self, text: &str) -> Result<(), Failure> {
        // Cursor home, overwrite each line and erase its rest, then erase below: this avoids flicker.
        let lines: String = text.lines().map(|line| format!("{line}\u{1b}[K\n")).collect();
        self.append(&format!("\u{1b}[H{lines}\u{1b}[J"))
    }
}

/// By no-color.org: NO_COLOR applies unless the command line asks for colours.
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
    fn auto_uses_colours_only_on_a_capable_terminal_without_no_color() {
        assert!(color(Color::Auto, true, false, false));
        assert!(!color(Color::Auto, false, false, false));
        assert!(!color(Color::Auto, true, true, false));
        assert!(!color(Color::Auto, true, false, true));
        assert!(color(Color::Always, false, true, true));
        assert!(!color(Color::Never, true, false, false));
    }
}
