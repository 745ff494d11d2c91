use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::Server;

/// Answers every query with the number 1, sampled now from one target, and records the requests.
pub struct Recorder {
    pub server: Server,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    behaviour: Mutex<Behaviour>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone, Default)]
pub struct Behaviour {
    /// Delay before the answer.
    pub delay: Duration,
    /// Status and body instead of the answer.
    pub instead: Option<(u16, String)>,
}

impl Recorder {
    pub async fn start() -> Self {
        let shared: Arc<Shared> = Arc::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        Self { server: Server::start(router).await, shared }
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.behaviour.lock().unwrap());
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let is_probe = body.contains("plimsoll");
    shared.requests.lock().unwrap().push(Request { path: uri.path().to_owned(), headers, body });
    let behaviour = shared.behaviour.lock().unwrap().clone();
    tokio::time::sleep(behaviour.delay).await;
    if let Some((status, text)) = behaviour.instead {
        return (StatusCode::from_u16(status).unwrap(), text).into_response();
    }
    let now = Timestamp::now().as_millisecond() as f64 / 1000.0;
    let series =
        |part: &str, value: f64| format!(r#"{{"metric":{{"plimsoll":"{part}"}},"value":[{now},"{value}"]}}"#);
    let result = if is_probe {
        [series("server", now), series("newest/0", now), series("targets", 1.0)].join(",")
    } else {
        format!(r#"{{"metric":{{}},"value":[{now},"1"]}}"#)
    };
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#).into_response()
}
