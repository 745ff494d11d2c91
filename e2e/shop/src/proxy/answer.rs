//! Answers of Prometheus' HTTP API, changed as a fault demands.

use serde_json::{Map, Value, json};

use super::faults::{Fault, Mode};
use super::question::Question;

/// A value this close to its sample's time is taken for a moment, in seconds: a day.
const NEAR: f64 = 86_400.0;

/// The body as the fault leaves it; `None` if it is no answer of this API, or needs no change.
pub fn changed(fault: &Fault, question: &Question, body: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
    match fault.mode {
        Mode::Partial => {
            let warning = json!("some stores could not be reached; the result may be incomplete");
            match answer.get_mut("warnings").and_then(Value::as_array_mut) {
                Some(warnings) => warnings.push(warning),
                None => drop(answer.insert("warnings".to_owned(), json!([warning]))),
            }
        }
        Mode::Empty => empty(answer.get_mut("data")?),
        Mode::Half => halve(answer.get_mut("data")?),
        Mode::Nan => samples(answer.get_mut("data")?, |_, value| "NaN".clone_into(value)),
        Mode::Skew => {
            let skew = fault.skew_seconds.unwrap_or(0.0);
            let moments = question.asks_for_moments();
            samples(answer.get_mut("data")?, |time, value| {
                if moments
                    && let Ok(moment) = value.parse::<f64>()
                    && (moment - *time).abs() < NEAR
                {
                    *value = rounded(moment + skew).to_string();
                }
                *time = rounded(*time + skew);
            });
        }
        _ => return None,
    }
    serde_json::to_vec(&answer).ok()
}

/// To the millisecond, which is what Prometheus has.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// A scalar or a string, which always has a value, becomes a vector without any.
fn empty(data: &mut Value) {
    match data {
        Value::Array(list) => list.clear(),
        Value::Object(object) => match object.get_mut("result") {
            Some(result) => {
                *result = json!([]);
                if object.get("resultType").is_none_or(|kind| kind != "matrix") {
                    object.insert("resultType".to_owned(), json!("vector"));
                }
            }
            None => object.clear(),
        },
        _ => {}
    }
}

fn halve(data: &mut Value) {
    let list = match data {
        Value::Object(object)
            if object.get("resultType").is_some_and(|kind| kind == "vector" || kind == "matrix") =>
        {
            object.get_mut("result")
        }
        list => Some(list),
    };
    if let Some(Value::Array(list)) = list {
        let mut keep = false;
        list.retain(|_| {
            keep = !keep;
            keep
        });
    }
}

/// Applies a change to the time and the value of every sample.
fn samples(data: &mut Value, mut change: impl FnMut(&mut f64, &mut String)) {
    let kind = data.get("resultType").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(result) = data.get_mut("result") else { return };
    if kind == "scalar" {
        return sample(result, &mut change);
    }
    for series in result.as_array_mut().into_iter().flatten() {
        if let Some(one) = series.get_mut("value") {
            sample(one, &mut change);
        }
        for one in series.get_mut("values").and_then(Value::as_array_mut).into_iter().flatten() {
            sample(one, &mut change);
        }
    }
}

fn sample(sample: &mut Value, change: &mut impl FnMut(&mut f64, &mut String)) {
    if let Some([time, Value::String(value)]) = sample.as_array_mut().map(Vec::as_mut_slice)
        && let Some(mut seconds) = time.as_f64()
    {
        change(&mut seconds, value);
        *time = json!(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"a":"1"},"value":[1000.5,"3"]},{"metric":{"a":"2"},"value":[1000.5,"990.25"]},
        {"metric":{"a":"3"},"value":[1000.5,"5"]}]}}"#;
    const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{},"values":[[1000,"3"],[1015,"4"]]}]}}"#;
    const SCALAR: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1000,"1000"]}}"#;

    fn change(mode: Mode, query: &str, body: &str) -> Value {
        let skew_seconds = (mode == Mode::Skew).then_some(-300.0);
        let fault = Fault { mode, delay_seconds: None, skew_seconds };
        let question = Question::new(&format!("/api/v1/query?query={query}").parse().expect("uri"), None);
        let changed = changed(&fault, &question, body.as_bytes()).expect("changed");
        serde_json::from_slice::<Value>(&changed).expect("json")
    }

    fn values(answer: &Value) -> Vec<&Value> {
        answer["data"]["result"].as_array().expect("vector").iter().map(|series| &series["value"]).collect()
    }

    #[test]
    fn empty_is_a_valid_answer_without_series() {
        assert_eq!(change(Mode::Empty, "a", VECTOR)["data"], json!({"resultType": "vector", "result": []}));
        assert_eq!(change(Mode::Empty, "a", MATRIX)["data"], json!({"resultType": "matrix", "result": []}));
        assert_eq!(change(Mode::Empty, "a", SCALAR)["data"], json!({"resultType": "vector", "result": []}));
        assert_eq!(change(Mode::Empty, "", r#"{"status":"success","data":["a"]}"#)["data"], json!([]));
    }

    #[test]
    fn nan_replaces_every_value_and_no_time() {
        let nan = json!([1000.5, "NaN"]);
        assert_eq!(values(&change(Mode::Nan, "a", VECTOR)), [&nan, &nan, &nan]);
        let matrix = change(Mode::Nan, "a", MATRIX);
        assert_eq!(matrix["data"]["result"][0]["values"], json!([[1000.0, "NaN"], [1015.0, "NaN"]]));
        assert_eq!(change(Mode::Nan, "a", SCALAR)["data"]["result"], json!([1000.0, "NaN"]));
    }

    #[test]
    fn half_drops_every_second_series() {
        let half = change(Mode::Half, "a", VECTOR);
        let left: Vec<_> =
            half["data"]["result"].as_array().expect("vector").iter().map(|s| &s["metric"]["a"]).collect();
        assert_eq!(left, ["1", "3"]);
        assert_eq!(change(Mode::Half, "", r#"{"data":["a","b"]}"#)["data"], json!(["a"]));
        assert_eq!(change(Mode::Half, "a", SCALAR)["data"]["result"], json!([1000, "1000"]));
    }

    #[test]
    fn partial_adds_a_warning_to_those_that_are_there() {
        assert_eq!(change(Mode::Partial, "a", VECTOR)["warnings"].as_array().expect("list").len(), 1);
        let warned = change(Mode::Partial, "a", r#"{"status":"success","data":{},"warnings":["w"]}"#);
        assert_eq!(warned["warnings"].as_array().expect("list").len(), 2);
    }

    #[test]
    fn skew_shifts_times_and_the_moments_that_were_asked_for() {
        let plain = change(Mode::Skew, "a", VECTOR);
        assert_eq!(values(&plain), [&json!([700.5, "3"]), &json!([700.5, "990.25"]), &json!([700.5, "5"])]);
        let far = VECTOR.replace("1000.5", "100000.5").replace("990.25", "99990.25");
        let moments = change(Mode::Skew, "timestamp(a)", &far);
        assert_eq!(values(&moments)[1], &json!([99_700.5, "99690.25"]));
        let ages = change(Mode::Skew, "time()-timestamp(a)", &far.replace("99990.25", "10.25"));
        assert_eq!(values(&ages)[1], &json!([99_700.5, "10.25"]), "far from its time: an age, not a moment");
        let matrix = change(Mode::Skew, "a", MATRIX);
        assert_eq!(matrix["data"]["result"][0]["values"], json!([[700.0, "3"], [715.0, "4"]]));
    }

    #[test]
    fn what_is_not_an_answer_is_left_alone() {
        let fault = Fault { mode: Mode::Nan, ..Fault::default() };
        let question = Question::new(&"/api/v1/query".parse().expect("uri"), None);
        assert_eq!(changed(&fault, &question, b"<html>"), None);
        assert_eq!(changed(&fault, &question, br#"{"status":"error","error":"x"}"#), None);
    }
}
