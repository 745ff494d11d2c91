//! Conflicts of scalers on one target: only one may keep it. Pure.

use super::index::{Scaler, Workload};

/// The scaler that keeps the target instead of `me`, if any.
///
/// A HorizontalPodAutoscaler or a ScaledObject always keeps it, since it does not know ScalableServices. Of two
/// ScalableServices the older one keeps it, and of two of the same age the one whose name sorts first.
#[must_use]
pub fn keeper<'a>(me: &Scaler, others: impl IntoIterator<Item = &'a Scaler>) -> Option<&'a Scaler> {
    let before_me = |other: &Scaler| {
        other.kind != me.kind || (other.created, other.name.as_str()) < (me.created, me.name.as_str())
    };
    let mut keepers: Vec<_> = others
        .into_iter()
        .filter(|other| (other.kind, other.name.as_str()) != (me.kind, me.name.as_str()))
        .filter(|other| before_me(other))
        .collect();
    // A ScaledObject creates its own HPA; name the ScaledObject.
    keepers.sort_by_key(|other| (other.kind != "ScaledObject", other.created, other.name.clone()));
    keepers.into_iter().next()
}

/// The sentence about a conflict: the scaler, and how to resolve it.
#[must_use]
pub fn message(keeper: &Scaler) -> String {
    let Workload { kind, namespace, name } = &keeper.workload;
    format!(
        "{} {} already scales {kind} {name}: delete one of the two (`kubectl -n {namespace} delete {} {}` keeps the replicas as they are)",
        keeper.kind,
        keeper.name,
        keeper.kind.to_lowercase(),
        keeper.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaler(kind: &'static str, name: &str, created: i64) -> Scaler {
        let workload =
            Workload { kind: "Deployment".into(), namespace: "shop".into(), name: "checkout".into() };
        Scaler { kind, name: name.into(), created, workload }
    }

    #[test]
    fn another_kind_of_scaler_keeps_the_target_and_of_two_services_the_older() {
        let me = scaler("ScalableService", "b", 100);
        let hpa = scaler("HorizontalPodAutoscaler", "keda-hpa-x", 500);
        let keda = scaler("ScaledObject", "x", 400);
        let older = scaler("ScalableService", "z", 50);
        let twin = scaler("ScalableService", "a", 100);
        let younger = scaler("ScalableService", "a", 200);
        assert_eq!(keeper(&me, [&me]), None);
        assert_eq!(keeper(&me, [&me, &younger]), None);
        assert_eq!(keeper(&me, [&me, &older]), Some(&older));
        assert_eq!(keeper(&me, [&me, &twin]), Some(&twin));
        assert_eq!(keeper(&me, [&hpa]), Some(&hpa));
        assert_eq!(keeper(&me, [&hpa, &keda]), Some(&keda), "the HPA is KEDA's own");
        assert!(message(&keda).contains("ScaledObject x already scales Deployment checkout"));
    }
}
