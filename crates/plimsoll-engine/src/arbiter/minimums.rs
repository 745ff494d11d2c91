//! Minimums of the demands of one criticality, group by group.

use super::{
    fill,
    groups::groups,
    ledger::Ledger,
    unit::{self, Unit},
};

/// Most attempts to exchange a granted group for one without its minimums.
const EXCHANGES_MAX: usize = 200;
/// Most demands for which exchanges are tried: each attempt copies the ledger.
const EXCHANGE_DEMANDS_MAX: usize = 1000;

/// Grants minimums: whole groups first, the smallest first; then single demands with their dependencies; then parts of a
/// minimum.
pub(super) fn grant(ledger: &mut Ledger<'_>, class: &[usize]) {
    let lacks = |ledger: &Ledger<'_>, position: usize| {
        ledger.demand(position).is_some_and(|demand| ledger.granted(position) < demand.min)
    };
    if !class.iter().any(|position| lacks(ledger, *position)) {
        return;
    }
    let mut groups = groups(ledger, class);
    groups.iter_mut().for_each(|group| group.retain(|position| lacks(ledger, *position)));
    groups.retain(|group| !group.is_empty());
    let (mut granted, mut refused) = (Vec::new(), Vec::new());
    for group in by_size(ledger, groups) {
        let before = before(ledger, &group);
        if ledger.raise_all(&minimums(ledger, &group)).is_ok() {
            granted.push(Granted { members: group, before });
        } else {
            refused.push(group);
        }
    }
    exchange(ledger, &mut granted, &mut refused);
    let singles = refused.into_iter().flatten().map(|position| vec![position]).collect();
    let singles: Vec<usize> = by_size(ledger, singles).into_iter().flatten().collect();
    for position in &singles {
        let unit = minimums(ledger, &[*position]);
        if let Err(obstacle) = ledger.raise_all(&unit) {
            ledger.limited(*position, obstacle);
        }
    }
    fill::grant(ledger, &singles, |demand| demand.min);
}

fn minimums(ledger: &Ledger<'_>, group: &[usize]) -> Unit {
    let targets = group.iter().filter_map(|position| Some((*position, ledger.demand(*position)?.min)));
    unit::unit(ledger, targets)
}

/// A group that has its minimums.
struct Granted {
    members: Vec<usize>,
    /// The grants of the members before. Dependencies of a higher criticality keep theirs: other groups may need them, too.
    before: Unit,
}

fn before(ledger: &Ledger<'_>, members: &[usize]) -> Unit {
    members.iter().map(|position| (*position, ledger.granted(*position))).collect()
}

fn by_size(ledger: &Ledger<'_>, groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let size = |group: &Vec<usize>| unit::size(ledger, &minimums(ledger, group));
    let mut sized: Vec<(f64, Vec<usize>)> = groups.into_iter().map(|group| (size(&group), group)).collect();
    sized.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    sized.into_iter().map(|(_, group)| group).collect()
}

/// Exchanges a granted group for a refused one of more weight where the refused one then fits. The smallest groups first give
/// many whole groups; the exchanges give more services with the same number of groups.
fn exchange(ledger: &mut Ledger<'_>, granted: &mut [Granted], refused: &mut [Vec<usize>]) {
    if ledger.situation().demands.len() > EXCHANGE_DEMANDS_MAX {
        return;
    }
    let mut attempts = 0;
    for outside in refused {
        // The group of the least weight first, since it is the one to lose.
        granted.sort_by_key(|inside| weight(ledger, &inside.members));
        let most = weight(ledger, outside);
        let lighter = granted.partition_point(|inside| weight(ledger, &inside.members) < most);
        for inside in granted.iter_mut().take(lighter) {
            attempts += 1;
            if attempts > EXCHANGES_MAX {
                return;
            }
            let mut tried = ledger.clone();
            inside.before.iter().for_each(|(position, replicas)| tried.lower(*position, *replicas));
            let before = before(&tried, outside);
            let fits = tried.raise_all(&minimums(&tried, outside)).is_ok();
            ledger.adopt_if(fits, tried);
            if fits {
                inside.before = before;
                std::mem::swap(outside, &mut inside.members);
                break;
            }
        }
    }
}

fn weight(ledger: &Ledger<'_>, group: &[usize]) -> i64 {
    let members = group.iter().filter_map(|position| ledger.demand(*position));
    members.map(|demand| i64::from(demand.weight.max(1))).sum()
}
