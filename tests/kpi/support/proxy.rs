use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use serde_json::{Value, json};

use super::Server;

/// A proxy in front of Prometheus that changes times, repeats old answers, or adds warnings.
pub struct Proxy {
    pub server: Server,
    lie: Arc<Mutex<Lie>>,
}

#[derive(Clone, Default)]
pub struct Lie {
    /// Added to every time in Prometheus' answers.
    pub shift: f64,
    /// Repeat the last answer to each query.
    pub frozen: bool,
    /// A warning in every answer.
    pub warning: Option<&'static str>,
}

impl Proxy {
    pub async fn start(upstream: &str) -> Self {
        let lie = Arc::new(Mutex::new(Lie::default()));
        let (seen, upstream) = (Arc::clone(&lie), format!("{upstream}/api/v1/query"));
        let kept: Arc<Mutex<HashMap<Bytes, String>>> = Arc::default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let handler = move |body: Bytes| async move {
            let lie = seen.lock().unwrap().clone();
            if lie.frozen
                && let Some(old) = kept.lock().unwrap().get(&body)
            {
                return old.clone();
            }
            let form = (CONTENT_TYPE, "application/x-www-form-urlencoded");
            let request = http.post(&upstream).header(form.0, form.1).body(body.clone());
            let text = request.send().await.unwrap().text().await.unwrap();
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            for series in answer["data"]["result"].as_array_mut().unwrap() {
                shift(series, lie.shift);
            }
            if let Some(warning) = lie.warning {
                answer["warnings"] = json!([warning]);
            }
            kept.lock().unwrap().insert(body, answer.to_string());
            answer.to_string()
        };
        let router = Router::new().route("/api/v1/query", post(handler));
        Self { server: Server::start(router).await, lie }
    }

    pub fn lie(&self, change: impl FnOnce(&mut Lie)) {
        change(&mut self.lie.lock().unwrap());
    }
}

/// Shifts the evaluation time, and the times that are values of the evidence query.
fn shift(series: &mut Value, by: f64) {
    series["value"][0] = json!(series["value"][0].as_f64().unwrap() + by);
    let part = series["metric"]["plimsoll"].as_str().unwrap_or_default();
    if part == "server" || part.starts_with("newest") {
        let time: f64 = series["value"][1].as_str().unwrap().parse().unwrap();
        series["value"][1] = json!((time + by).to_string());
    }
}
