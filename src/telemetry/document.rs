//! The documentation of the metrics, generated from their table.

use std::fmt::Write as _;

use super::{
    services::series_per_service_max,
    table::{ALL, Row},
};

/// The documentation of every metric, as Markdown.
pub(super) fn markdown() -> String {
    let mut text = format!(
        "# Metrics\n\n\
         Plimsoll exposes these on `/metrics` in OpenMetrics text. A ScalableService has at most \
         {} series, and none after it is deleted; no label holds a pod, a UID, a URL or the \
         text of an error.\n\n\
         | name | type | labels | unit | meaning |\n|---|---|---|---|---|\n",
        series_per_service_max()
    );
    for Row { name, kind, labels, unit, help } in ALL {
        let kind: &'static str = kind.into();
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        // Writing to a String can't fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {unit} | {help}. |");
    }
    text
}
