//! The access log of a balancer in front of one replica.

use serde_json::{Value, json};

use super::{Replica, eventually};

/// A path that needs escaping in JSON.
pub const STRANGE: &str = "/a\"b\\c]?token=secret";

/// The JSON lines of `log`.
pub fn json_lines(log: &str) -> Vec<Value> {
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The JSON lines of `log`, once there is one of the path `last`. Each must have the ID of a request that the replica got.
pub async fn lines(log: impl Fn() -> String, replica: &Replica, last: Option<&str>) -> Vec<Value> {
    let lines = || json_lines(&log());
    let is_complete = || last.is_none_or(|last| lines().iter().any(|line| line["path"] == last));
    eventually("the last line", || async { is_complete().then_some(()) }).await;
    let id = |head: &String| {
        let head = head.to_lowercase();
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ").map(str::to_owned));
        json!(id.unwrap())
    };
    let ids: Vec<Value> = replica.heads.lock().unwrap().iter().map(id).collect();
    let lines = lines();
    assert!(lines.iter().all(|line| ids.contains(&line["x_request_id"])), "{lines:?}");
    lines
}
