//! Session persistence by cookie.

use std::time::Duration;

use plimsoll::balancer::ServerState::{Drain, Ready};
use serde_json::json;

use crate::support::{Balancer, Client, Reached as _, Replica, eventually, wanted};

const DELAY: Duration = Duration::ZERO;

/// The session cookie of an answer, as the client returns it.
fn cookie(head: &str) -> Option<String> {
    let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: "))?;
    line.split(';').next().map(|cookie| format!("cookie: theme=dark; {cookie}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stays_on_its_replica_until_that_is_drained() {
    let mut replicas = Vec::new();
    for number in 0..20 {
        replicas.push(Replica::start(&format!("checkout-{number}"), DELAY).await);
    }
    let empty = wanted(json!({"sessionPersistence": {"cookie": "SID"}}));
    let ten = empty.with(replicas[..10].iter().map(|replica| replica.server(Ready)));
    let twenty = empty.with(replicas.iter().map(|replica| replica.server(Ready)));
    let balancer = Balancer::start(&empty).await;
    balancer.sync(&ten).await;
    balancer.sync(&twenty).await;
    let mut clients = Vec::new();
    for _ in 0..60 {
        let answer = Client::new(empty.front()).get("/", &[]).await.unwrap();
        clients.push((cookie(&answer.head).expect("every replica has a cookie"), answer.body));
    }
    assert!(clients.iter().any(|(_, name)| replicas[10..].iter().any(|replica| replica.name == *name)));
    let draining = empty.with(
        replicas
            .iter()
            .enumerate()
            .map(|(number, replica)| replica.server(if number < 10 { Ready } else { Drain })),
    );
    balancer.sync(&draining).await;
    for (cookie, name) in &clients {
        let answer = Client::new(empty.front()).get("/", &[cookie]).await.unwrap();
        assert_eq!(answer.body, *name, "also while it is draining");
    }
    let going: Vec<String> = replicas[10..].iter().map(|replica| replica.name.clone()).collect();
    assert_eq!(balancer.driver.drained(&draining, &going).await.unwrap().len(), 10);
    // No client returns to a drained replica, even before its server is removed.
    for (cookie, name) in &clients {
        let answer = Client::new(empty.front()).get("/", &[cookie]).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body == *name, !going.contains(name), "{name} is served by {}", answer.body);
    }
    balancer.sync(&ten).await;
    for (cookie, name) in clients.iter().filter(|(_, name)| !going.contains(name)) {
        assert_eq!(Client::new(empty.front()).get("/", &[cookie]).await.unwrap().body, *name);
    }
    // Replicas never get the balancer's cookie.
    let heads = replicas[0].heads.lock().unwrap().concat();
    assert!(heads.contains("theme=dark") && !heads.contains("SID="), "{heads}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sticky_clients_that_never_pause_move_during_a_drain_and_lose_no_request() {
    let delay = Duration::from_millis(30);
    let both = [Replica::start("a", delay).await, Replica::start("b", delay).await];
    let empty = wanted(json!({"sessionPersistence": {"cookie": "SID"}}));
    let balancer = Balancer::start(&empty.with(both.each_ref().map(|replica| replica.server(Ready)))).await;
    let front = empty.front();
    let bound = Client::new(front).get("/", &[]).await.unwrap();
    let (cookie, name) = (cookie(&bound.head).unwrap(), bound.body);
    // So that the replica is never idle.
    let slow = cookie.clone();
    let slow = tokio::spawn(async move { Client::new(front).get("/1500ms", &[&slow]).await });
    let its_own = both.iter().find(|replica| replica.name == name).unwrap();
    eventually("it is busy", || async { (its_own.working() > 0).then_some(()) }).await;
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let cookie = cookie.clone();
            tokio::spawn(async move {
                let mut client = Client::new(front);
                let mut names = Vec::new();
                for _ in 0..40 {
                    let answer = client.get("/", &[&cookie]).await.unwrap();
                    assert_eq!(answer.status, 200);
                    names.push(answer.body);
                }
                names
            })
        })
        .collect();
    let state = |replica: &Replica| replica.server(if replica.name == name { Drain } else { Ready });
    let draining = empty.with(both.each_ref().map(state));
    balancer.sync(&draining).await;
    let pods = [name.clone()];
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(balancer.driver.drained(&draining, &pods).await.unwrap().is_empty(), "it is never idle");
    }
    balancer.driver.unbind(&draining, &pods.clone().into()).await.unwrap();
    eventually("it is drained", || async {
        (balancer.driver.drained(&draining, &pods).await.unwrap() == pods).then_some(())
    })
    .await;
    assert_eq!(slow.await.unwrap().unwrap().status, 200, "the request in flight is finished");
    assert!(balancer.sync(&draining).await.steps.is_empty(), "nothing opens it again");
    for client in clients {
        let names = client.await.unwrap();
        let moved = names.iter().position(|served| *served != name).expect("it moved");
        assert!(moved > 0 && names[moved..].iter().all(|served| *served != name), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_is_bound_to_the_gate() {
    let gate = Replica::start("gate", DELAY).await;
    let replica = Replica::start("checkout-0", DELAY).await;
    let mut empty = wanted(json!({"sessionPersistence": {"cookie": "SID"}}));
    empty.gate = Some(gate.address);
    let balancer = Balancer::start(&empty).await;
    let held = Client::new(empty.front()).get("/", &[]).await.unwrap();
    assert_eq!(held.body, "gate");
    let of_the_gate = cookie(&held.head).unwrap();
    balancer.sync(&empty.with([replica.server(Ready)])).await;
    let served = Client::new(empty.front()).get("/", &[&of_the_gate]).await.unwrap();
    assert_eq!(served.body, "checkout-0");
    assert!(cookie(&served.head).is_some(), "it is bound to the replica");
    assert!(replica.heads.lock().unwrap().concat().contains("theme=dark"), "other cookies are passed on");
}
