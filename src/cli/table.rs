//! Tables in kubectl's format: columns padded with spaces, three spaces between columns, no trailing spaces.

use super::style::{Paint, Style};

const GAP: usize = 3;

/// One field of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell(pub String, pub Paint);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), Paint::Plain)
    }
}

/// Rows of cells; rows can have different lengths.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    widths: Vec<usize>,
}

impl Table {
    /// A table with a header.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        let mut table = Self::default();
        table.push(header.iter().map(|name| Cell((*name).to_owned(), Paint::Strong)).collect());
        table
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.widths.resize(self.widths.len().max(row.len()), 0);
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.0.chars().count());
        }
        self.rows.push(row);
    }

    /// The lines, each indented by `indent` spaces.
    #[must_use]
    pub fn lines(&self, indent: usize, style: &Style) -> Vec<String> {
        self.rows.iter().map(|row| self.line(row, indent, style)).collect()
    }

    fn line(&self, row: &[Cell], indent: usize, style: &Style) -> String {
        let mut line = " ".repeat(indent);
        let mut padding = 0;
        for (Cell(text, paint), width) in row.iter().zip(&self.widths) {
            if !text.is_empty() {
                line.push_str(&" ".repeat(padding));
                line.push_str(&style.paint(*paint, text));
                padding = 0;
            }
            padding += width - text.chars().count() + GAP;
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Table};
    use crate::cli::style::{Paint, Style};

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "AGE"]);
        table.push(vec!["checkout".into(), Cell("✔ Steady".into(), Paint::Good), "3d".into()]);
        table.push(vec!["a".into(), "".into(), "12s".into()]);
        table.push(vec!["b".into()]);
        table
    }

    #[test]
    fn columns_are_padded_and_lines_end_without_spaces() {
        let lines = table().lines(0, &Style::default());
        assert_eq!(
            lines,
            ["NAME       STATE      AGE", "checkout   ✔ Steady   3d", "a                     12s", "b"]
        );
    }

    #[test]
    fn colour_does_not_move_a_column() {
        let lines = table().lines(2, &Style { color: true, ..Style::default() });
        assert_eq!(lines[1], "  checkout   \u{1b}[32m✔ Steady\u{1b}[0m   3d");
    }
}
