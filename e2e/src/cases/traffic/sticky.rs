//! Clients with a session cookie, while replicas are added and removed.

use crate::{
    cases::prelude::*,
    stage::{Client, StickyClients, Visit},
};
use std::collections::BTreeSet;

const SETUP: Setup = Setup {
    traffic: "listeners: [{port: 80}]\nsessionPersistence: {cookie: SHOP}\ndrain: {timeout: 5s}",
    ..Setup::of("traffic-sticky", 10)
};
const CLIENTS: usize = 40;

pub fn run(fixture: &Fixture) -> Result<String> {
    let front = Front::set(fixture, &SETUP, |_| Ok(()))?;
    let clients = StickyClients::start(&front.url, CLIENTS, true);
    let forgetful = StickyClients::start(&front.url, CLIENTS / 4, false);
    sleep(Duration::from_secs(2));
    front.ask(20)?;
    front.wait_for(20, Duration::from_secs(40))?;
    // These clients start with twenty replicas.
    let later = StickyClients::start(&front.url, CLIENTS, true);
    sleep(Duration::from_secs(2));
    let asked = SystemTime::now();
    front.ask(10)?;
    front.draining(asked, Duration::from_secs(10))?;
    front.wait_for(10, Duration::from_secs(40))?;
    sleep(Duration::from_secs(2));
    let victims = front.drained(asked);
    let (mut all, forgetful) = (clients.finish()?, forgetful.finish()?);
    all.extend(later.finish()?);
    let mut moved = 0;
    for client in &all {
        moved += usize::from(moves(client, &victims, asked)?);
    }
    let wanderers = forgetful.iter().filter(|client| pods(client).len() > 1).count();
    ensure!(wanderers == forgetful.len(), "control: only {wanderers} clients without a cookie moved");
    ensure!(moved > 0, "no client was on a removed replica, so nothing is proven");
    let visits: usize = all.iter().map(Vec::len).sum();
    count("requests, none lost", visits);
    count("clients moved from a removed replica", moved);
    count("clients of the control that moved, of 10", wanderers);
    Ok(format!("{} clients through 10 -> 20 -> 10", all.len()))
}

/// Checks that no request was lost, and that a client changed its replica at most once and only if that was being removed.
fn moves<'a>(client: &'a Client, victims: &BTreeSet<String>, asked: SystemTime) -> Result<bool> {
    let lost = client.iter().find(|visit| visit.pod.is_err());
    ensure!(lost.is_none(), "a request was lost: {lost:?}");
    let change = |pair: &'a [Visit]| match pair {
        [before, after] if before.pod != after.pod => Some((before, after)),
        _ => None,
    };
    let changes: Vec<_> = client.windows(2).filter_map(change).collect();
    for (before, after) in &changes {
        let left = before.pod.as_ref().ok().context("checked above")?;
        ensure!(victims.contains(left), "a client left {left}, which was not removed, for {:?}", after.pod);
        let early = seconds(after.at, asked);
        ensure!(after.at >= asked, "a client left {left} {early:.1} s before the scale-down");
    }
    ensure!(changes.len() <= 1, "a client moved {} times", changes.len());
    Ok(!changes.is_empty())
}

fn pods(client: &Client) -> BTreeSet<&String> {
    client.iter().filter_map(|visit| visit.pod.as_ref().ok()).collect()
}
