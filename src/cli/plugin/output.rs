//! Objects in the requested output format.

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde::Serialize;
use serde_json::json;

use super::{args::Output, failure::Failure};
use crate::cli::{read::Listed, status, style::Style};

/// The output format.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Table, JSON or YAML.
    pub output: Output,
    /// One object, requested by its name, in detail.
    pub single: bool,
}

impl Form {
    /// Whether the output is a table.
    pub fn is_table(self) -> bool {
        matches!(self.output, Output::Table | Output::Wide)
    }

    /// The objects as text; several in JSON or YAML as a `List`, as kubectl does.
    pub fn render(self, objects: &[DynamicObject], now: Timestamp, style: &Style) -> Result<String, Failure> {
        match (objects, self.single) {
            ([object], true) if self.is_table() => Ok(status::render_one(&Listed::read(object), now, style)),
            ([object], true) => self.data(object),
            _ if self.is_table() => {
                let listed: Vec<Listed> = objects.iter().map(Listed::read).collect();
                Ok(status::render(&listed, now, style))
            }
            _ => self.data(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects})),
        }
    }

    /// One object as JSON or YAML.
    pub fn data(self, value: &impl Serialize) -> Result<String, Failure> {
        if self.output == Output::Yaml {
            return serde_saphyr::to_string(value)
                .map_err(|error| Failure::Form { form: "YAML", why: error.to_string() });
        }
        let json = serde_json::to_string_pretty(value);
        json.map(|json| json + "\n").map_err(|error| Failure::Form { form: "JSON", why: error.to_string() })
    }
}
