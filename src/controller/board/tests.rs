//! Capacities, claims and departures.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use plimsoll_api::Percent;

use super::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", name)
}

fn asking(of: &str, replicas: i32, share: i64) -> Entry {
    let asks = BTreeMap::from([(key(of), Ask { replicas, share: Percent::clamped(share) })]);
    Entry { asks: Some(asks), away: replicas > 0, capacity: None }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

#[test]
fn claims_add_up_and_can_be_withdrawn() {
    let board = Board::default();
    let mut changes = board.changes();
    board.say(&key("a"), asking("spare", 4, 50));
    board.say(&key("b"), asking("spare", 3, 0));
    assert_eq!(board.asked(&key("spare")), Asked { replicas: 7, arrived: 2 });
    board.say(&key("b"), asking("spare", 3, 100));
    board.say(&key("a"), asking("spare", 0, 0));
    assert_eq!(board.asked(&key("spare")), Asked { replicas: 3, arrived: 3 });
    board.forget(&key("b"));
    assert_eq!(board.asked(&key("spare")), Asked::default());
    let changed = std::iter::from_fn(|| changes.try_recv().ok()).count();
    assert_eq!(changed, 4, "unchanged claims are not signalled");
}

#[test]
fn a_claim_stays_until_the_requests_have_left_the_standby() {
    let board = Board::default();
    let (a, spare) = (key("a"), key("spare"));
    board.say(&a, asking("spare", 4, 10));
    let asks = Some(board.and_still(&a, BTreeMap::new()));
    board.say(&a, Entry { asks, ..Entry::default() });
    assert_eq!(board.asked(&spare).replicas, 4);
    let other = asking("other", 2, 0).asks.unwrap();
    let both = board.and_still(&a, other.clone());
    assert_eq!((both[&spare].replicas, both[&key("other")].replicas), (4, 2));
    board.say(&a, Entry { asks: Some(other), ..Entry::default() });
    assert_eq!(board.asked(&spare), Asked::default());
}

#[test]
fn claims_of_others_are_not_available() {
    let board = Board::default();
    let capacity = Capacity { ready: 10, own: 2, most: 20 };
    board.say(&key("spare"), Entry { capacity: Some(capacity), ..Entry::default() });
    board.say(&key("a"), asking("spare", 4, 0));
    board.say(&key("b"), asking("spare", 3, 0));
    let own = |asker: &str| board.capacity_for(&key(asker), &key("spare")).map(|has| has.own);
    assert_eq!((own("a"), own("b"), own("c")), (Some(5), Some(6), Some(9)));
    board.unscaled(&key("spare"));
    assert_eq!(board.capacity_for(&key("c"), &key("spare")), Some(Capacity { ready: 10, own: 7, most: 10 }));
    assert_eq!(board.capacity_for(&key("c"), &key("nobody")), None);
}

/// A key in the given namespace.
fn in_namespace(namespace: &str, name: &str) -> ServiceKey {
    ServiceKey::new(namespace, name)
}

fn of(sources: &[&str]) -> BTreeSet<String> {
    sources.iter().map(|source| (*source).to_owned()).collect()
}

#[test]
fn two_or_a_fifth_of_the_services_may_leave_within_a_minute() {
    let (board, kpi, correlated_failures) = (Board::default(), of(&["default"]), of(&["default"]));
    for name in ["a", "b"] {
        assert_eq!(board.correlated_failures(&key(name), now()), BTreeSet::new());
        assert!(board.leave(&key(name), None, &kpi, now()));
    }
    assert_eq!(board.correlated_failures(&key("c"), now()), correlated_failures);
    assert_eq!(board.correlated_failures(&key("a"), now()), BTreeSet::new(), "its own one does not count");
    assert!(!board.leave(&key("c"), None, &kpi, now()), "the limit is used up");
    assert!(board.leave(&key("dead"), None, &of(&[]), now()), "a dead primary may always be left");
    assert_eq!(board.correlated_failures(&key("c"), now() + MINUTE), BTreeSet::new());
    for index in 0..20 {
        board.say(&key(&format!("s{index}")), asking("spare", 0, 0));
    }
    for name in ["a", "b", "c"] {
        assert!(board.leave(&key(name), None, &kpi, now()));
    }
    assert_eq!(board.correlated_failures(&key("d"), now()), BTreeSet::new(), "three of twenty");
    assert!(board.leave(&key("e"), None, &kpi, now()));
    assert_eq!(board.correlated_failures(&key("d"), now()), correlated_failures);
}

#[test]
fn dead_primaries_and_manual_overrides_do_not_count_towards_the_limit() {
    let board = Board::default();
    for index in 0..9 {
        assert!(board.leave(&in_namespace("loud", &format!("s{index}")), None, &of(&[]), now()));
    }
    assert_eq!(board.correlated_failures(&key("a"), now()), BTreeSet::new());
    assert!(board.leave(&key("a"), None, &of(&["default"]), now()));
}

#[test]
fn each_source_has_its_own_limit() {
    let board = Board::default();
    for name in ["a", "b"] {
        assert!(board.leave(&key(name), None, &of(&["one"]), now()));
    }
    assert!(!board.leave(&key("c"), None, &of(&["one"]), now()));
    assert!(board.leave(&key("c"), None, &of(&["two"]), now()));
    assert!(board.leave(&key("d"), None, &of(&["one", "two"]), now()), "two is not used up");
}

#[test]
fn a_namespace_never_uses_the_share_of_the_others() {
    let (board, kpi) = (Board::default(), of(&["default"]));
    for index in 0..30 {
        board.say(&in_namespace("loud", &format!("s{index}")), asking("spare", 0, 0));
    }
    board.say(&key("quiet"), asking("spare", 0, 0));
    let left =
        (0..30).filter(|index| board.leave(&in_namespace("loud", &format!("s{index}")), None, &kpi, now()));
    assert_eq!(left.count(), 5, "six may leave, and one place is reserved for the other namespace");
    assert!(board.leave(&key("quiet"), None, &kpi, now()));
}

#[test]
fn of_two_services_that_are_each_others_standby_only_one_may_leave() {
    let board = Board::default();
    assert!(board.leave(&key("a"), Some(&key("b")), &of(&[]), now()));
    assert!(board.is_away(&key("a")));
    assert!(!board.leave(&key("b"), Some(&key("a")), &of(&[]), now()), "its requests would loop back");
    board.say(&key("a"), asking("b", 0, 0));
    assert!(board.leave(&key("b"), Some(&key("a")), &of(&[]), now()));
}

#[test]
fn a_new_leader_fills_the_board_from_the_statuses() {
    let board = Board::default();
    let capacity = Some(Capacity { ready: 4, own: 2, most: 9 });
    let before = || {
        vec![
            (key("spare"), Entry { capacity, ..Entry::default() }, None),
            (key("a"), asking("spare", 4, 50), Some(Left { at: now(), sources: of(&["default"]) })),
            (key("b"), asking("spare", 3, 0), Some(Left { at: now() - MINUTE, sources: of(&["default"]) })),
        ]
    };
    board.say(&key("b"), asking("spare", 0, 0));
    board.begin(before);
    assert_eq!(board.asked(&key("spare")), Asked { replicas: 4, arrived: 2 }, "b has a newer entry");
    assert_eq!(board.capacity_for(&key("a"), &key("spare")), capacity);
    assert!(board.leave(&key("c"), None, &of(&["default"]), now()));
    assert_eq!(board.correlated_failures(&key("d"), now()), of(&["default"]));
    board.begin(|| panic!("the board is filled already"));
    board.forget_all(Some("elsewhere"));
    assert_eq!(board.asked(&key("spare")).replicas, 4, "another scope is kept");
    board.forget_all(None);
    assert_eq!(board.asked(&key("spare")), Asked::default());
}
