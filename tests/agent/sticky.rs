//! Clients that are bound to a replica which is to go.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::{scene::Scene, support::Client};

/// Asks without a pause, bound to one replica, until it is served by another one, and a few times more.
async fn bound_and_busy(scene: &Scene) -> (String, Vec<JoinHandle<Instant>>) {
    let front = scene.front;
    let bound = Client::new(front).get("/", &[]).await.unwrap();
    let line = bound.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("cookie: {}", line.split(';').next().unwrap());
    let client = |name: String, cookie: String| async move {
        let mut client = Client::new(front);
        loop {
            let answer = client.get("/", &[&cookie]).await.unwrap();
            assert_eq!(answer.status, 200);
            if answer.body != name {
                return Instant::now();
            }
        }
    };
    let clients = (0..6).map(|_| tokio::spawn(client(bound.body.clone(), cookie.clone()))).collect();
    (bound.body, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_clients_leave_a_drained_replica_before_its_time_is_over_and_an_ejected_one_at_once() {
    for (ejected, soonest, latest) in [(false, 3.5, 5.5), (true, 0.0, 2.0)] {
        let spec = json!({"sessionPersistence": {"cookie": "SID"}, "drain": {"timeout": "6s"}});
        let mut scene = Scene::running(1, &spec).await;
        let delay = Duration::from_millis(20);
        let _both = [scene.replica(1, delay).await, scene.replica(2, delay).await];
        scene.programmed(2).await;
        let (name, clients) = bound_and_busy(&scene).await;
        let begin = Instant::now();
        if ejected {
            scene.eject(&[&name])
        } else {
            scene.drain(&[&name])
        }
        scene.until("it is drained", |status| status.drained == [name.clone()]).await;
        for client in clients {
            let moved = (client.await.unwrap() - begin).as_secs_f64();
            assert!((soonest..latest).contains(&moved), "{moved} s, ejected: {ejected}");
        }
    }
}
