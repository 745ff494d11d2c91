//! Dependencies that lead back to the service itself.

use std::collections::BTreeMap;

/// The first cycle of dependencies, as the names on the way from a service back to it. `depends_on` has the names of the
/// dependencies of each service of one namespace; unknown names have none.
#[must_use]
pub fn cycle<'a>(depends_on: &BTreeMap<&'a str, Vec<&'a str>>) -> Option<Vec<&'a str>> {
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    for start in depends_on.keys() {
        // Each entry of the path is a service with its dependencies that are still to be visited.
        let mut path: Vec<(&str, Vec<&str>)> =
            vec![(start, depends_on.get(start).cloned().unwrap_or_default())];
        while let Some((name, open)) = path.last_mut() {
            let name = *name;
            let Some(next) = open.pop().filter(|_| done.get(name) != Some(&true)) else {
                done.insert(name, true);
                path.pop();
                continue;
            };
            if let Some(at) = path.iter().position(|(name, _)| *name == next) {
                let names = path.iter().skip(at).map(|(name, _)| *name);
                return Some(names.chain([next]).collect());
            }
            if done.get(next) != Some(&true) {
                path.push((next, depends_on.get(next).cloned().unwrap_or_default()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::cycle;

    #[test]
    fn a_cycle_is_found_with_its_way() {
        let of = |edges: &[(&'static str, &[&'static str])]| {
            cycle(&edges.iter().map(|(name, all)| (*name, all.to_vec())).collect())
        };
        assert_eq!(of(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]), None);
        assert_eq!(of(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), Some(vec!["b", "c", "b"]));
        assert_eq!(of(&[("a", &["a"])]), Some(vec!["a", "a"]));
        assert_eq!(of(&[("a", &["unknown"])]), None);
    }
}
