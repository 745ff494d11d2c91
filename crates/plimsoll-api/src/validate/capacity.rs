//! Validation of `spec.weight`, `spec.dependsOn` and `spec.consumes`.

use super::checks::{above_zero, number, unique};
use crate::{ScalableService, ScalableServiceSpec, words::key};

/// What each replica of a service uses of one budget.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumesRule {
    /// Name of the CapacityBudget.
    pub budget: String,
    /// Amount per replica, above 0, in the unit of the budget's resource.
    pub per_replica: f64,
}

/// Checks the fields that need no other object, and returns what each replica uses.
pub(super) fn rules(spec: &ScalableServiceSpec, errors: &mut Vec<String>) -> Vec<ConsumesRule> {
    number("spec.weight", spec.weight, 1..=1000, errors);
    unique("spec.dependsOn", spec.depends_on.iter().map(|needed| needed.name.as_str()), errors);
    unique("spec.consumes", spec.consumes.iter().map(|consumes| consumes.budget_name.as_str()), errors);
    let mut parsed = Vec::new();
    for (index, consumes) in spec.consumes.iter().enumerate() {
        let path = format!("spec.consumes[{index}].perReplica");
        let allowed = "a quantity above 0, such as \"8\" or \"500m\"";
        if let Some(per_replica) = above_zero(&path, &consumes.per_replica, f64::MAX, allowed, errors) {
            parsed.push(ConsumesRule { budget: consumes.budget_name.clone(), per_replica });
        }
    }
    parsed
}

/// Sentences for dependencies of the service on itself.
pub(super) fn invalid_dependencies(service: &ScalableService) -> Vec<String> {
    let own = service.metadata.name.as_deref();
    let needed = service.spec.depends_on.iter().enumerate();
    let itself = needed.filter(|(_, needed)| Some(needed.name.as_str()) == own);
    itself
        .map(|(index, needed)| {
            let name = key(&needed.name);
            format!("spec.dependsOn[{index}].name is {name}; it must not be this service itself")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::ConsumesRule;
    use crate::{Invalid, ScalableService, Validated};

    fn validated(more: &str) -> Result<Validated, Invalid> {
        let yaml = format!(
            "{{apiVersion: plimsoll.dev/v1alpha1, kind: ScalableService, metadata: {{name: shop, namespace: a}}, \
             spec: {{scaleTargetRef: {{kind: Deployment, name: x}}, maxReplicas: 4, \
             kpis: [{{name: load, type: Load, query: up, perReplica: '1'}}]{more}}}}}"
        );
        Validated::of(&serde_saphyr::from_str::<ScalableService>(&yaml).unwrap())
    }

    #[test]
    fn a_service_without_the_fields_has_weight_one_and_consumes_nothing() {
        let valid = validated("").unwrap();
        assert_eq!(valid.weight, 1);
        assert!(valid.depends_on.is_empty() && valid.consumes.is_empty());
    }

    #[test]
    fn amounts_per_replica_are_parsed() {
        let more = ", weight: 3, dependsOn: [{name: catalog}, {name: auth}], \
                    consumes: [{budgetName: orders-db, perReplica: 8}, {budgetName: cores, perReplica: 500m}]";
        let valid = validated(more).unwrap();
        assert_eq!((valid.weight, valid.depends_on), (3, vec!["catalog".to_owned(), "auth".to_owned()]));
        let rule = |budget: &str, per_replica| ConsumesRule { budget: budget.to_owned(), per_replica };
        assert_eq!(valid.consumes, [rule("orders-db", 8.0), rule("cores", 0.5)]);
    }

    #[test]
    fn each_invalid_field_has_a_sentence_with_its_path() {
        let above_zero = "it must be a quantity above 0, such as \"8\" or \"500m\"";
        for (more, sentence) in [
            ("weight: 0", "spec.weight is 0; it must be from 1 to 1000".to_owned()),
            ("weight: 1001", "spec.weight is 1001; it must be from 1 to 1000".to_owned()),
            (
                "dependsOn: [{name: a}, {name: shop}]",
                "spec.dependsOn[1].name is shop; it must not be this service itself".to_owned(),
            ),
            (
                "dependsOn: [{name: a}, {name: a}]",
                "spec.dependsOn has the name \"a\" twice; names must be unique".to_owned(),
            ),
            (
                "consumes: [{budgetName: b, perReplica: 1}, {budgetName: b, perReplica: 2}]",
                "spec.consumes has the name \"b\" twice; names must be unique".to_owned(),
            ),
            (
                "consumes: [{budgetName: b, perReplica: 0}]",
                format!("spec.consumes[0].perReplica is \"0\"; {above_zero}"),
            ),
            (
                "consumes: [{budgetName: b, perReplica: many}]",
                format!("spec.consumes[0].perReplica is \"many\"; {above_zero}"),
            ),
        ] {
            assert_eq!(validated(&format!(", {more}")).unwrap_err().0, [sentence], "{more}");
        }
    }

    #[test]
    fn errors_that_need_the_name_follow_the_others() {
        let sentences = validated(", weight: 0, dependsOn: [{name: shop}]").unwrap_err().0;
        assert_eq!(
            sentences,
            [
                "spec.weight is 0; it must be from 1 to 1000",
                "spec.dependsOn[0].name is shop; it must not be this service itself"
            ]
        );
    }
}
