//! The newest known scale of a target: a watch may lag behind reads and writes. Pure.

use super::index::Target;
use crate::actuate::FoundScale;

/// The scale of one target as it was last read or written.
#[derive(Debug, Default)]
pub struct KnownScale(Option<FoundScale>);

impl KnownScale {
    /// Records a scale that was read or written.
    pub fn note(&mut self, found: FoundScale) {
        self.0 = Some(found);
    }

    /// Replaces the replicas of `target`, from the watch, by the recorded ones if those are newer.
    ///
    /// Resource versions come from etcd's revision, so the later version of an object is the greater number. If a version is
    /// not a number, the watch takes precedence.
    pub fn correct(&self, target: &mut Target) {
        let number = |version: &Option<String>| version.as_ref()?.parse::<u64>().ok();
        let newer = self.0.as_ref().filter(|known| known.uid.is_some() && known.uid == target.uid);
        if let Some(known) = newer
            && let (Some(ours), Some(seen)) = (number(&known.version), number(&target.version))
            && ours > seen
        {
            target.replicas = known.replicas;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::index::Owner;

    #[test]
    fn a_recorded_scale_counts_until_the_watch_is_newer() {
        let text = |text: &str| Some(text.to_owned());
        let mut known = KnownScale::default();
        known.note(FoundScale { uid: text("a"), version: text("100"), replicas: 8 });
        let replicas = |uid: &str, version: &str| {
            let (uid, version) = (text(uid), text(version));
            let (selector, owner, revision, priority_class) = (None, Owner::Any, None, None);
            let mut target =
                Target { uid, version, replicas: 4, ready: 4, selector, owner, revision, priority_class };
            known.correct(&mut target);
            target.replicas
        };
        assert_eq!(replicas("a", "99"), 8, "the watch is behind, and 99 is less than 100");
        assert_eq!((replicas("a", "100"), replicas("a", "101")), (4, 4));
        assert_eq!(replicas("b", "99"), 4, "another target");
        assert_eq!(replicas("a", "x99"), 4, "no number");
    }
}
