//! The serialized form of a step: numbers by name, so that a reader of another version can still show them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use super::{DecisionCode, DecisionReason, DecisionStep, ReasonCode};

/// One step of a decision, with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Reason")]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Name of the step.
    #[schemars(with = "ReasonCode")]
    pub code: DecisionCode,
    /// Name of the KPI or schedule entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Replicas before the step (for a KPI's proposal: the current number).
    pub from: i32,
    /// Replicas after the step.
    pub to: i32,
    /// Numbers by name: `value`, `target`, `perReplica`, `windowSeconds`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// Further information as text, such as the state of a sample or the error of a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A serialized step does not have the fields of its code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the step {} can't be read: {why}", ReasonCode::from(*.code).name())]
pub struct UnknownStep {
    /// The code of the step.
    pub code: DecisionCode,
    /// The missing or invalid field.
    pub why: String,
}

impl From<&DecisionStep> for StepRecord {
    fn from(step: &DecisionStep) -> Self {
        let mut record = Self {
            code: step.code(),
            name: None,
            from: step.from,
            to: step.to,
            numbers: BTreeMap::new(),
            detail: None,
        };
        // A struct of text and numbers always has a JSON form.
        let fields = serde_json::to_value(&step.reason).unwrap_or_default();
        for (key, field) in fields.as_object().into_iter().flatten() {
            match (key.as_str(), field) {
                ("code", _) => {}
                ("name", Value::String(name)) => record.name = Some(name.clone()),
                ("detail", Value::String(detail)) => record.detail = Some(detail.clone()),
                // A number that is not finite is null in JSON, and omitted.
                (_, field) => {
                    record.numbers.extend(field.as_f64().map(|number| (key.clone(), significant(number))));
                }
            }
        }
        record
    }
}

impl TryFrom<&StepRecord> for DecisionStep {
    type Error = UnknownStep;

    fn try_from(record: &StepRecord) -> Result<Self, UnknownStep> {
        let StepRecord { code, name, from, to, numbers, detail } = record;
        let mut fields: Map<String, Value> =
            numbers.iter().filter_map(|(key, value)| Some((key.clone(), json_number(*value)?))).collect();
        let text = |text: &str| Value::String(text.to_owned());
        fields.insert("code".to_owned(), text(ReasonCode::from(*code).name()));
        fields.extend(name.as_deref().map(|name| ("name".to_owned(), text(name))));
        fields.extend(detail.as_deref().map(|detail| ("detail".to_owned(), text(detail))));
        let reason = DecisionReason::deserialize(Value::Object(fields));
        let reason = reason.map_err(|error| UnknownStep { code: *code, why: error.to_string() })?;
        Ok(reason.step(*from, *to))
    }
}

/// Deserializes a list of steps and omits those that are unknown to this version. A step of another version must not make the
/// whole object unreadable.
pub(crate) fn known_steps<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StepRecord>, D::Error> {
    let steps = Vec::<Value>::deserialize(from)?;
    Ok(steps.into_iter().filter_map(|step| serde_json::from_value(step).ok()).collect())
}

/// Six significant digits, for readability.
fn significant(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// A whole number as a JSON integer, so that it can be deserialized as a count.
fn json_number(value: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers within an i32 fit an i64")]
    let number = if value.fract() == 0.0 && value.abs() <= f64::from(i32::MAX) {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    };
    number.map(Value::Number)
}

/// The value of an omitted number, which was beyond the range of an f64.
pub(super) fn beyond() -> f64 {
    f64::INFINITY
}

/// A flag that is always set: 1 among the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct One;

impl From<One> for u8 {
    fn from(One: One) -> Self {
        1
    }
}

impl TryFrom<u8> for One {
    type Error = &'static str;

    fn try_from(flag: u8) -> Result<Self, Self::Error> {
        if flag == 1 { Ok(Self) } else { Err("the flag must be 1") }
    }
}

/// A flag among the numbers: 1 or 0.
pub(super) mod flag {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(in super::super) fn serialize<S: Serializer>(flag: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(u8::from(*flag))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        Ok(f64::deserialize(from)? == 1.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::DecisionRecord;

    #[test]
    fn steps_that_can_not_be_read_are_omitted() {
        let record: DecisionRecord = serde_json::from_str(
            r#"{"time": "2026-03-01T12:00:00Z", "from": 1, "to": 2, "reasons": [
                {"code": "SomethingNewer", "from": 1, "to": 1}, 7, {"code": "ScaledUp", "from": 1, "to": 2}]}"#,
        )
        .unwrap();
        let codes: Vec<&str> = record.reasons.iter().map(|step| step.code.into()).collect();
        assert_eq!(codes, ["ScaledUp"]);
    }
}
