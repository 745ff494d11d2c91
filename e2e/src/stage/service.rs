//! ScalableServices as YAML.

use std::ops::RangeInclusive;

/// A ScalableService with a period of 1 s. `target` is its scaleTargetRef; `spec` has further fields.
pub fn scalable_service(
    (namespace, name): (&str, &str),
    target: &str,
    replicas: RangeInclusive<u32>,
    spec: &str,
) -> String {
    let (min, max, spec) = (replicas.start(), replicas.end(), spec.trim().replace('\n', "\n  "));
    format!(
        r"---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalableService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  scaleTargetRef: {target}
  minReplicas: {min}
  maxReplicas: {max}
  period: 1s
  {spec}
"
    )
}
