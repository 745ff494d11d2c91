//! What a bench's figures say of promises that are no matter of speed: nothing lost, every case held.

use serde_json::Value;

/// What did not hold, by its place in the figures.
pub fn broken(figures: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    look(figures, "", &mut broken);
    broken
}

fn look(figures: &Value, place: &str, broken: &mut Vec<String>) {
    let Some(fields) = figures.as_object() else { return };
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    if let (Some(runs), Some(held)) = (number("runs"), number("held"))
        && held < runs
    {
        broken.push(format!("{place} held in {held} of {runs} runs"));
    }
    let most = fields.get("lost").and_then(|lost| lost.get("max")).and_then(Value::as_f64);
    if let Some(most) = most.filter(|most| *most > 0.0) {
        broken.push(format!("{place} lost {most}"));
    }
    for (name, value) in fields {
        look(value, format!("{place} {name}").trim_start(), broken);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_loss_or_a_case_that_did_not_hold_is_found_wherever_it_stands() {
        let good = json!({"runs": 5, "drain": {"runs": 5, "held": 5, "figures": {"lost": {"max": 0.0}}}});
        assert!(broken(&good).is_empty());
        let bad = json!({
            "drain": {"runs": 5, "held": 4, "figures": {"lost": {"min": 0, "max": 2.0}, "lost by the control": {"max": 9}}},
            "endpoints": {"fresh": {"lost": {"max": 1}, "controlKilledUndrained_lost": {"max": 30}}},
        });
        let told = ["drain held in 4 of 5 runs", "drain figures lost 2", "endpoints fresh lost 1"];
        assert_eq!(broken(&bad), told);
    }
}
