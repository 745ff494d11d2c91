//! The burst query: the same query over the newest two samples, to see a surge before the window's average shows it.

use std::convert::Infallible;

use promql_parser::parser::{self, Call, Expr, Function, MatrixSelector};
use promql_parser::util::visitor::{ExprVisitorMut, walk_expr_mut};

/// The expression with `irate(x[d])` for `rate(x[d])` and `(irate(x[d]) * seconds)` for `increase(x[d])`.
/// `None` if nothing was rewritten, or if the result would not be the newest value of the same quantity: within a subquery
/// (its past values would be rewritten too) and over one (it has no scrapes). A window of the past (`offset`, `@`) is kept,
/// since a surge is in the present.
pub(super) fn twin(expr: &Expr) -> Option<Expr> {
    let mut twin = expr.clone();
    let mut rewrite = Rewrite { rewritten: 0, unsound: false };
    let _ = walk_expr_mut(&mut rewrite, &mut twin);
    (rewrite.rewritten > 0 && !rewrite.unsound).then_some(twin)
}

struct Rewrite {
    rewritten: usize,
    unsound: bool,
}

impl ExprVisitorMut for Rewrite {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &mut Expr) -> Result<bool, Infallible> {
        // Checked before the subquery is walked: a rate within it makes the rewrite unsound.
        if let Expr::Subquery(subquery) = expr {
            self.unsound |= has_average(&subquery.expr);
        }
        let Expr::Call(call) = expr else { return Ok(!self.unsound) };
        if !is_average(call) {
            return Ok(!self.unsound);
        }
        match call.args.args.first().map(|arg| without_parens(arg)) {
            Some(Expr::MatrixSelector(matrix)) if matrix.vs.offset.is_none() && matrix.vs.at.is_none() => {
                match replacement(call.func.name, matrix) {
                    Some(replacement) => {
                        *expr = replacement;
                        self.rewritten += 1;
                    }
                    None => self.unsound = true,
                }
            }
            Some(Expr::MatrixSelector(_)) => {}
            _ => self.unsound = true,
        }
        Ok(!self.unsound)
    }
}

fn is_average(call: &Call) -> bool {
    matches!(call.func.name, "rate" | "increase")
}

fn has_average(expr: &Expr) -> bool {
    struct Find(bool);
    impl promql_parser::util::ExprVisitor for Find {
        type Error = Infallible;
        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
            self.0 |= matches!(expr, Expr::Call(call) if is_average(call));
            Ok(!self.0)
        }
    }
    let mut find = Find(false);
    let _ = promql_parser::util::walk_expr(&mut find, expr);
    find.0
}

fn without_parens(mut expr: &Expr) -> &Expr {
    while let Expr::Paren(paren) = expr {
        expr = &paren.expr;
    }
    expr
}

fn replacement(function: &str, matrix: &MatrixSelector) -> Option<Expr> {
    let irate = match parser::parse("irate(x[1m])") {
        Ok(Expr::Call(Call { func, mut args })) => {
            let func: Function = func;
            **args.args.first_mut()? = Expr::MatrixSelector(matrix.clone());
            Call { func, args }
        }
        _ => return None,
    };
    if function == "rate" {
        return Some(Expr::Call(irate));
    }
    parser::parse(&format!("({irate} * {})", matrix.range.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use crate::kpi::Question;

    fn twin(query: &str) -> Option<String> {
        Question::parse(query).unwrap().burst().map(str::to_owned)
    }

    #[test]
    fn averages_become_the_newest_two_samples() {
        for (query, expected) in [
            ("sum(rate(x[1m]))", "sum(irate(x[1m]))"),
            ("sum(increase(x{a=\"b\"}[90s])) / 90", "sum((irate(x{a=\"b\"}[1m30s]) * 90)) / 90"),
            ("sum(rate(a[1m])) + sum(rate((b[1m])))", "sum(irate(a[1m])) + sum(irate(b[1m]))"),
            ("sum(rate(a[1m])) + sum(queue)", "sum(irate(a[1m])) + sum(queue)"),
            ("rate(a[1m]) - rate(a[1m] offset 1w)", "irate(a[1m]) - rate(a[1m] offset 1w)"),
            ("sum(rate(a[1m])) > 0 or vector(0)", "sum(irate(a[1m])) > 0 or vector(0)"),
        ] {
            assert_eq!(twin(query).as_deref(), Some(expected), "{query}");
        }
    }

    #[test]
    fn a_query_whose_meaning_would_change_has_no_twin() {
        for query in [
            "sum(queue)",
            "irate(x[1m])",
            "rate(x[1m] offset 1w)",
            "max_over_time(sum(rate(x[1m]))[10m:])",
            "sum(rate(y[1m])) + max_over_time(sum(rate(x[1m]))[10m:])",
            "rate(sum(x)[5m:])",
            "1",
        ] {
            assert_eq!(twin(query), None, "{query}");
        }
    }
}
