//! Checks a bench's figures: only controls lose requests, every case passes, and limits are kept.

use crate::prelude::*;

/// Names of figures with a limit, the part that counts, and its maximum.
const AT_MOST: &[(&str, &str, f64)] = &[
    ("lost", "max", 0.0),
    ("reloads", "max", 0.0),
    ("eventToFirstAnswer_ms", "p99", 100.0),
    ("fileToServed_ms", "max", 2_000.0),
    ("residentMostMiB", "max", 20.0),
    ("arbitration_ms", "median", 50.0),
];

pub fn broken(figures: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    check(figures, "", &mut broken);
    broken
}

fn check(figures: &Value, place: &str, broken: &mut Vec<String>) {
    let Some(fields) = figures.as_object() else { return };
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    if let (Some(runs), Some(held)) = (number("runs"), number("held"))
        && held < runs
    {
        broken.push(format!("{place} passed in {held} of {runs} runs"));
    }
    // A figure that was measured once is a plain number.
    let part = |figure: &Value, part: &str| figure.get(part).unwrap_or(figure).as_f64();
    for (name, which, most) in AT_MOST {
        let value = fields.get(*name).and_then(|figure| part(figure, which));
        if let Some(value) = value.filter(|value| value > most) {
            broken.push(format!("{place} {name} {value}, at most {most}").trim_start().to_owned());
        }
    }
    for (name, value) in fields {
        let is_control =
            name == "lost by the control" || name.starts_with("control") && name.ends_with("_lost");
        if is_control && part(value, "min") == Some(0.0) {
            broken.push(format!("{place} {name}: none in a run, so nothing is proven"));
        }
        check(value, format!("{place} {name}").trim_start(), broken);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exceeded_limits_and_failed_cases_are_found_at_any_depth() {
        let good = json!({
            "runs": 5,
            "drain": {"runs": 5, "held": 5, "figures": {"lost": {"max": 0.0}, "lost by the control": {"min": 9}}},
            "serving": {"eventToFirstAnswer_ms": {"p99": 99.0, "max": 400.0}},
            "changing": {"residentMostMiB": 19.0, "reloads": 0.0},
        });
        assert_eq!(broken(&good), Vec::<String>::new());
        let bad = json!({
            "changing": {"residentMostMiB": 20.5, "reloads": 1.0},
            "drain": {
                "runs": 5,
                "held": 4,
                "figures": {"lost": {"min": 0, "max": 2.0}, "lost by the control": {"min": 0.0, "max": 9}},
            },
            "endpoints": {"fresh": {"lost": {"max": 1}, "controlKilledUndrained_lost": {"min": 0, "max": 30}}},
        });
        let expected = [
            "changing reloads 1, at most 0",
            "changing residentMostMiB 20.5, at most 20",
            "drain passed in 4 of 5 runs",
            "drain figures lost 2, at most 0",
            "drain figures lost by the control: none in a run, so nothing is proven",
            "endpoints fresh lost 1, at most 0",
            "endpoints fresh controlKilledUndrained_lost: none in a run, so nothing is proven",
        ];
        assert_eq!(broken(&bad), expected);
    }
}
