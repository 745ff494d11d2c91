//! How far back a query reads.

use std::convert::Infallible;
use std::time::Duration;

use promql_parser::parser::Expr;
use promql_parser::util::{ExprVisitor, walk_expr};

/// The longest distance from the query's time back to the start of a range; ranges of nested subqueries are added.
/// Offsets are ignored: a gap of today is not within the range of a day last week.
pub(super) fn of(expr: &Expr) -> Duration {
    let mut longest = Longest { within: Duration::ZERO, found: Duration::ZERO };
    let _ = walk_expr(&mut longest, expr);
    longest.found
}

struct Longest {
    /// Sum of the ranges of the enclosing subqueries.
    within: Duration,
    found: Duration,
}

impl ExprVisitor for Longest {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::Subquery(subquery) => self.within = self.within.saturating_add(subquery.range),
            Expr::MatrixSelector(matrix) => {
                self.found = self.found.max(self.within.saturating_add(matrix.range));
            }
            Expr::VectorSelector(_) => self.found = self.found.max(self.within),
            _ => {}
        }
        Ok(true)
    }

    fn post_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        if let Expr::Subquery(subquery) = expr {
            self.within = self.within.saturating_sub(subquery.range);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::kpi::Question;

    #[test]
    fn the_longest_range_counts_and_subqueries_add_to_it() {
        for (query, seconds) in [
            ("sum(queue)", 0),
            ("1", 0),
            ("sum(rate(x[1m])) / sum(rate(y[5m]))", 300),
            ("rate(x[1m] offset 1w)", 60),
            ("max_over_time(sum(rate(x[1m]))[10m:]) + rate(y[5m])", 660),
            ("max_over_time(queue[10m:30s])", 600),
        ] {
            assert_eq!(Question::parse(query).unwrap().reach().as_secs(), seconds, "{query}");
        }
    }
}
