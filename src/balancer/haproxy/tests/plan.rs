//! A plan reaches the wanted state from any state and after any interruption, without losing capacity on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use plimsoll_api::Percent;
use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{
        Epoch, Seen, SeenServer, Step,
        backend::GATE,
        command::{AdminState, Answer, Command},
        plan,
        standbys::{instead, is_standby, own},
    },
    paths, standby, wanted,
};
use crate::balancer::{Server, ServerState, Standby, Wanted};

/// Standbys of the property tests, in order.
const STANDBYS: [&str; 3] = ["x", "y", "z"];

/// Simulates what HAProxy does with a step.
fn take(seen: &mut Seen, step: &Step, wanted: &Wanted) -> Answer {
    let refused = || Answer::Refused(format!("{step:?}"));
    if matches!(step, Step::Cookies) {
        seen.servers.values_mut().for_each(|server| server.cookie = true);
        return Answer::Done;
    }
    if let Step::Bound(standby, below) | Step::NewBound(standby, below) = step {
        let there = seen.shares.insert(standby.clone(), Some(*below)).is_some();
        return if there == matches!(step, Step::Bound(..)) { Answer::Done } else { refused() };
    }
    let name = step.server().unwrap();
    if let Step::Add(_, address) = step {
        let new = SeenServer {
            address: *address,
            admin: AdminState::Maint,
            up: true,
            weight: 1,
            maxconn: wanted.connections_per_server().map_or(0, |_| 1),
            checked: false,
            cookie: false,
            active: 0,
            queued: 0,
        };
        return if seen.servers.insert(name.to_owned(), new).is_none() { Answer::Done } else { refused() };
    }
    let server = match name {
        GATE => seen.gate.as_mut(),
        name if is_standby(name) => seen.standbys.get_mut(name),
        name => seen.servers.get_mut(name),
    };
    let Some(server) = server else { return refused() };
    match step {
        Step::Move(_, address) => server.address = *address,
        Step::Limit(_, most) => server.maxconn = *most,
        Step::Check(_) => server.checked = true,
        Step::Forget(_) if !server.checked => return refused(),
        Step::Forget(_) => server.up = true,
        Step::Share(_) => server.weight = 1,
        Step::Ready(_) => server.admin = AdminState::Ready,
        Step::Drain(_) => server.admin = AdminState::Drain,
        Step::Close(_) => {
            server.admin = AdminState::Maint;
            server.queued = 0;
        }
        Step::Delete(_) if server.admin != AdminState::Maint => return refused(),
        Step::Delete(_) if server.active > 0 => return Answer::Busy,
        Step::Delete(_) => {
            seen.servers.remove(name);
        }
        Step::Add(..) | Step::Cookies | Step::Bound(..) | Step::NewBound(..) => {}
    }
    Answer::Done
}

fn usable(seen: &Seen) -> usize {
    seen.servers.values().filter(|server| server.admin == AdminState::Ready && server.weight > 0).count()
}

/// The share of each standby and, last, of the service, as HAProxy computes it.
fn shares(seen: &Seen) -> Vec<u8> {
    let mut above = 0;
    let mut shares = Vec::new();
    for standby in STANDBYS {
        let below = seen.shares.get(standby).copied().flatten().unwrap_or(0).min(100);
        shares.push(below.saturating_sub(above));
        above = above.max(below);
    }
    shares.push(100 - above);
    shares
}

/// Executes at most `most` steps of a plan. No step may be refused, lose capacity, or make a share larger than both
/// before and after.
fn carry_out(seen: &mut Seen, wanted: &Wanted, most: usize) {
    let steps = plan(wanted, seen);
    let before = usable(seen);
    let mut whole = seen.clone();
    for step in &steps {
        take(&mut whole, step, wanted);
    }
    let least = before.min(usable(&whole));
    let (from, to) = (shares(seen), shares(&whole));
    for step in steps.iter().take(most) {
        assert!(!matches!(take(seen, step, wanted), Answer::Refused(_)), "{step:?} of {steps:?}");
        assert!(usable(seen) >= least, "{step:?} of {steps:?} leaves {} of {least}", usable(seen));
        for (standby, share) in shares(seen).into_iter().enumerate() {
            assert!(share <= from[standby].max(to[standby]), "{step:?} of {steps:?}: {from:?} to {to:?}");
        }
    }
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    (1..4u8).prop_map(|number| SocketAddr::from(([10, 0, 0, number], 8080)))
}

fn names() -> impl Strategy<Value = String> {
    "[a-g]"
}

fn servers() -> impl Strategy<Value = SeenServer> {
    let admin = prop::sample::select(vec![AdminState::Ready, AdminState::Drain, AdminState::Maint]);
    let counts = (0..3u16, 0..3u32, 0..3u32, 0..3u32);
    (addresses(), admin, any::<[bool; 3]>(), counts).prop_map(
        |(address, admin, [up, checked, cookie], (weight, maxconn, active, queued))| SeenServer {
            address,
            admin,
            up,
            weight,
            maxconn,
            checked,
            cookie,
            active,
            queued,
        },
    )
}

fn seen() -> impl Strategy<Value = Seen> {
    let standbys = prop::collection::vec(servers(), 4 * STANDBYS.len());
    let bound = prop::option::of(prop::option::of(0..=110u8));
    let bounds = prop::collection::vec(bound, STANDBYS.len());
    let servers = prop::collection::btree_map(names(), servers(), 0..7);
    (servers, prop::option::of(self::servers()), standbys, bounds).prop_map(
        |(servers, gate, standbys, bounds)| Seen {
            epoch: Epoch::default(),
            version: "2.6.12".to_owned(),
            structure: None,
            servers,
            gate: gate.map(|gate| SeenServer { weight: 1, up: true, ..gate }),
            standbys: STANDBYS
                .iter()
                .flat_map(|name| [own(name, 0), instead(name, 0), own(name, 1), instead(name, 1)])
                .zip(standbys)
                .collect(),
            shares: STANDBYS
                .iter()
                .zip(bounds)
                .filter_map(|(name, bound)| Some(((*name).to_owned(), bound?)))
                .collect(),
            foreign: Vec::new(),
            queued: 0,
        },
    )
}

fn wanteds() -> impl Strategy<Value = Wanted> {
    let state = prop::sample::select(vec![ServerState::Ready, ServerState::Drain]);
    let server = (addresses(), state).prop_map(|(address, state)| Server { address, state });
    let servers = prop::collection::btree_map(names(), server, 0..7);
    let places = prop::collection::btree_set(addresses(), 0..3);
    let standbys = prop::collection::vec((places, 0..=100u8, 0..3u32), STANDBYS.len());
    (servers, any::<[bool; 3]>(), standbys).prop_map(|(servers, [checks, sticky, limited], standbys)| {
        let standby = |(name, (places, weight, replicas)): (&&str, (BTreeSet<SocketAddr>, _, _))| Standby {
            addresses: places.into_iter().collect(),
            replicas,
            ..standby(name, None, weight)
        };
        let standbys = STANDBYS.iter().zip(standbys).map(standby).collect();
        let mut traffic = json!({});
        let fields = traffic.as_object_mut().unwrap();
        if checks {
            fields.insert("healthCheck".to_owned(), json!({}));
        }
        if sticky {
            fields.insert("sessionPersistence".to_owned(), json!({"cookie": "SID"}));
        }
        if limited {
            fields.insert("limits".to_owned(), json!({"connectionsPerReplica": 4}));
        }
        let gate = Some("127.0.0.1:9103".parse().unwrap());
        Wanted { servers, gate, standbys, ..wanted(&traffic) }
    })
}

/// Whether the plan has reached its goal: the same servers, in the wanted states.
fn reached(seen: &Seen, wanted: &Wanted) -> bool {
    let state = |server: &SeenServer| match server.admin {
        AdminState::Ready => server.weight > 0,
        AdminState::Drain | AdminState::Maint => false,
    };
    let have: BTreeMap<_, _> =
        seen.servers.iter().map(|(name, server)| (name, (server.address, state(server)))).collect();
    let want: BTreeMap<_, _> = wanted
        .servers
        .iter()
        .map(|(name, server)| (name, (server.address, server.state == ServerState::Ready)))
        .collect();
    let all = wanted.primary_share() == Percent::ZERO;
    let taking = |server: fn(&str, usize) -> String, standby: &Standby| {
        let servers = [0, 1].map(|slot| &seen.standbys[&server(&standby.name, slot)]);
        let taking = servers.iter().filter(|one| one.admin == AdminState::Ready && one.weight > 0);
        let mut addresses: Vec<SocketAddr> = taking.map(|one| one.address).collect();
        addresses.sort_unstable();
        addresses
    };
    let standbys = wanted.shares().all(|(standby, share)| {
        let waiting = if all && share > Percent::ZERO { standby.addresses.clone() } else { Vec::new() };
        taking(own, standby) == standby.addresses && taking(instead, standby) == waiting
    });
    let mut want_shares: Vec<u8> = wanted.shares().map(|(_, share)| share.into()).collect();
    want_shares.push(wanted.primary_share().into());
    have == want && standbys && shares(seen) == want_shares
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_plan_reaches_the_wanted_state(mut seen in seen(), wanted in wanteds(), cut in 0..20usize) {
        // Interrupted anywhere, for example by the death of the agent; then executed completely.
        carry_out(&mut seen, &wanted, cut);
        carry_out(&mut seen, &wanted, usize::MAX);
        let left = plan(&wanted, &seen);
        prop_assert!(left.iter().all(|step| matches!(step, Step::Delete(_))), "{left:?}");
        // Busy servers become idle at some time.
        for server in seen.servers.values_mut() {
            (server.active, server.queued) = (0, 0);
        }
        carry_out(&mut seen, &wanted, usize::MAX);
        prop_assert!(reached(&seen, &wanted), "{seen:#?}");
        prop_assert_eq!(plan(&wanted, &seen), []);
    }

    #[test]
    fn every_command_is_one_line(seen in seen(), wanted in wanteds()) {
        for step in plan(&wanted, &seen) {
            let line = step.command(&wanted, &paths()).unwrap().to_string();
            prop_assert!(!line.contains(['\n', ';', '<', '\\']) && line.len() < 1_024, "{line}");
        }
    }
}

#[test]
fn servers_are_added_first_and_get_cookies_before_requests() {
    let mut wanted = wanted(&json!({"sessionPersistence": {"cookie": "SID"}, "healthCheck": {}}));
    let mut seen = Seen {
        epoch: Epoch::default(),
        version: String::new(),
        structure: None,
        servers: BTreeMap::new(),
        gate: None,
        standbys: BTreeMap::new(),
        shares: BTreeMap::new(),
        foreign: vec!["Foreign_one".to_owned()],
        queued: 0,
    };
    wanted.servers.insert("old".to_owned(), super::server("10.0.0.1:8080", ServerState::Ready));
    carry_out(&mut seen, &wanted, usize::MAX);
    wanted.servers = BTreeMap::from([("new".to_owned(), super::server("10.0.0.2:8080", ServerState::Ready))]);
    let lines: Vec<String> = plan(&wanted, &seen)
        .iter()
        .map(|step| step.command(&wanted, &paths()).map(|line: Command| line.to_string()).unwrap())
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    add server checkout/new 10.0.0.2:8080 check inter 2000ms rise 2 fall 3 observe layer4 error-limit 3 on-error sudden-death pool-purge-delay 1s
    set dynamic-cookie-key backend checkout shop:checkout
    enable health checkout/new
    set server checkout/new state ready
    set server checkout/old state maint
    del server checkout/old
    ");
}
