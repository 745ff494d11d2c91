//! The number of requests behind a ratio or an average, derived from the divisor of the query.

use std::convert::Infallible;

use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier};
use promql_parser::util::visitor::{ExprVisitorMut, walk_expr_mut};
use promql_parser::util::{ExprVisitor, walk_expr};

/// PromQL for the number of events behind the answer, over the range of the query. `None` if it can't be derived.
///
/// - `rate(errors[1m]) / rate(requests[1m])`: the divisor, with `increase` for `rate`. A divisor without a rate is a
///   capacity or a limit, not a number of events.
/// - `histogram_quantile(0.99, …)`: the observations in the histogram.
/// - An aggregation of such answers: the smallest of their numbers, since the answer may come from any of them.
///
/// Nothing is derived from a subquery: its answer may be of an earlier moment, but the divisor would be current.
pub(super) fn of(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Paren(paren) => of(&paren.expr),
        Expr::Unary(unary) => of(&unary.expr),
        Expr::Binary(binary) => divisor(binary).or_else(|| of(&binary.lhs)).or_else(|| of(&binary.rhs)),
        Expr::Aggregate(aggregate) => smallest(aggregate),
        Expr::Call(call) if call.func.name == "histogram_quantile" => observations(call),
        Expr::Call(call) => call.args.args.iter().find_map(|arg| of(arg)),
        _ => None,
    }
}

fn divisor(binary: &BinaryExpr) -> Option<Expr> {
    if binary.op.to_string() != "/" {
        return None;
    }
    counted(&binary.rhs)
}

fn smallest(aggregate: &AggregateExpr) -> Option<Expr> {
    let inner = of(&aggregate.expr)?;
    let Ok(Expr::Aggregate(min)) = parser::parse("min(x)") else { return None };
    let modifier = aggregate.modifier.clone();
    Some(Expr::Aggregate(AggregateExpr { expr: Box::new(inner), modifier, ..min }))
}

/// Buckets are cumulative, so the largest has all observations. A native histogram has their number.
fn observations(call: &Call) -> Option<Expr> {
    let histogram = counted(call.args.args.get(1)?)?;
    let text = if has_buckets(&histogram) {
        format!("max without (le) ({histogram})")
    } else {
        format!("histogram_count({histogram})")
    };
    parser::parse(&text).ok()
}

fn has_buckets(expr: &Expr) -> bool {
    struct Find(bool);
    impl ExprVisitor for Find {
        type Error = Infallible;
        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
            self.0 |= match expr {
                Expr::Aggregate(AggregateExpr { modifier: Some(LabelModifier::Include(by)), .. }) => {
                    by.labels.iter().any(|label| label == "le")
                }
                Expr::MatrixSelector(matrix) => {
                    matrix.vs.name.as_ref().is_some_and(|name| name.ends_with("_bucket"))
                }
                _ => false,
            };
            Ok(!self.0)
        }
    }
    let mut find = Find(false);
    let _ = walk_expr(&mut find, expr);
    find.0
}

/// The expression with each rate replaced by the number of events. `None` without a rate, or if the result would not be that
/// number: with a factor, or over a subquery.
fn counted(expr: &Expr) -> Option<Expr> {
    let mut counted = expr.clone();
    let mut count = Count { counters: 0, unsound: false };
    let _ = walk_expr_mut(&mut count, &mut counted);
    (count.counters > 0 && !count.unsound).then_some(counted)
}

/// Whether a counter sums seconds or bytes, by the naming conventions of Prometheus and OpenMetrics.
fn measures_a_quantity(name: &str) -> bool {
    let measured = name.strip_suffix("_total").or_else(|| name.strip_suffix("_sum"));
    measured.is_some_and(|name| ["_seconds", "_bytes"].iter().any(|unit| name.ends_with(unit)))
}

struct Count {
    counters: usize,
    unsound: bool,
}

impl ExprVisitorMut for Count {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &mut Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::Subquery(_) => self.unsound = true,
            Expr::MatrixSelector(matrix) => {
                self.unsound |= matrix.vs.name.as_deref().is_some_and(measures_a_quantity);
            }
            Expr::Binary(binary) => {
                self.unsound |= matches!(binary.op.to_string().as_str(), "*" | "/" | "%" | "^");
            }
            Expr::Call(call) => match call.func.name {
                "increase" => self.counters += 1,
                "rate" => self.replace(call, "increase(x[1m])"),
                // The difference of the newest two samples.
                "irate" => self.replace(call, "idelta(x[1m])"),
                _ => {}
            },
            _ => {}
        }
        Ok(!self.unsound)
    }
}

impl Count {
    fn replace(&mut self, call: &mut Call, by: &str) {
        let Ok(Expr::Call(Call { func, .. })) = parser::parse(by) else {
            self.unsound = true;
            return;
        };
        call.func = func;
        self.counters += 1;
    }
}

#[cfg(test)]
mod tests {
    use crate::kpi::Question;

    fn volume(query: &str) -> Option<String> {
        Question::parse(query).unwrap().volume().map(str::to_owned)
    }

    #[test]
    fn the_divisor_of_a_ratio_counts_its_requests() {
        for (query, expected) in [
            ("sum(rate(e[30s])) / sum(rate(r[30s]))", "sum(increase(r[30s]))"),
            ("sum(rate(e[5s])) / (sum(rate(r[5s])) > 0) or vector(0)", "(sum(increase(r[5s])) > 0)"),
            ("100 * sum(rate(e[1m])) / sum(rate(r[1m]))", "sum(increase(r[1m]))"),
            ("1 - (sum(rate(good[1m])) / sum(rate(r[1m])))", "sum(increase(r[1m]))"),
            ("sum(increase(e[1m])) / sum(increase(r[1m]))", "sum(increase(r[1m]))"),
            ("sum(irate(e[1m])) / sum(irate(r[1m]))", "sum(idelta(r[1m]))"),
            ("clamp_max(sum(rate(e[1m])) / sum(rate(r[1m])), 1)", "sum(increase(r[1m]))"),
            ("sum by (pod) (rate(e[1m])) / sum by (pod) (rate(r[1m]))", "sum by (pod) (increase(r[1m]))"),
            (
                "max(sum by (pod) (rate(e[1m])) / sum by (pod) (rate(r[1m])))",
                "min(sum by (pod) (increase(r[1m])))",
            ),
            ("sum(rate(t_sum[1m])) / sum(rate(t_count[1m]))", "sum(increase(t_count[1m]))"),
        ] {
            assert_eq!(volume(query).as_deref(), Some(expected), "{query}");
        }
    }

    #[test]
    fn the_histogram_of_a_quantile_counts_its_observations() {
        for (query, expected) in [
            (
                "histogram_quantile(0.99, sum by (le) (rate(t_bucket[1m])))",
                "max without (le) (sum by (le) (increase(t_bucket[1m])))",
            ),
            ("histogram_quantile(0.9, rate(t_bucket[1m]))", "max without (le) (increase(t_bucket[1m]))"),
            (
                "histogram_quantile(0.9, sum(rate(t_seconds[1m])))",
                "histogram_count(sum(increase(t_seconds[1m])))",
            ),
        ] {
            assert_eq!(volume(query).as_deref(), Some(expected), "{query}");
        }
    }

    #[test]
    fn a_query_that_does_not_divide_by_events_has_no_volume() {
        for query in [
            "sum(queue)",
            "sum(rate(r[1m]))",
            "sum(rate(e[1m])) / 60",
            "sum(rate(cpu[1m])) / sum(limits)",
            "sum(rate(busy_seconds_total[1m])) / sum(rate(worked_seconds_total[1m]))",
            "sum(rate(e[1m])) / (sum(rate(r[1m])) * 60)",
            "max_over_time((sum(rate(e[1m])) / sum(rate(r[1m])))[10m:])",
            "service:errors:ratio_rate1m",
        ] {
            assert_eq!(volume(query), None, "{query}");
        }
    }
}
