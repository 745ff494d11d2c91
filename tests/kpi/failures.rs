//! Servers that misbehave, credentials, and the breaker.

use std::fs;
use std::time::{Duration, Instant};

use plimsoll::kpi::{BasicAuth, BreakerState, KpiReader, SourceConfig};
use plimsoll_api::KpiState;
use plimsoll_engine::Sample;

use crate::support::{LOAD, OBJECTIVE, Recorder, ask};

fn reader(config: SourceConfig) -> KpiReader {
    KpiReader::new(vec![config]).unwrap()
}

fn error(sample: Sample) -> String {
    assert_eq!((sample.state, &sample.value), (KpiState::Error, &None));
    sample.message.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_source_has_its_message() {
    let recorder = Recorder::start().await;
    let reader = reader(SourceConfig::new("default", &recorder.server.url()));
    let look = async |status: u16, text: String| {
        recorder.behave(|behaviour| behaviour.instead = Some((status, text)));
        error(ask(&reader, OBJECTIVE, "vector(1)").await)
    };
    for (status, text, expected) in [
        (404, "nope", "source \"default\" has no query API at its url (HTTP 404): nope"),
        (403, "no tenant", "source \"default\" refused the credentials with HTTP 403: no tenant"),
        (429, "slow down", "source \"default\" is rate limiting queries (HTTP 429): slow down"),
        (502, "<h1>Bad Gateway</h1>", "source \"default\" failed with HTTP 502: <h1>Bad Gateway</h1>"),
        (301, "", "source \"default\" has no query API at its url (HTTP 301): no text"),
    ] {
        assert_eq!(look(status, text.into()).await, expected);
    }
    let login = look(200, "<html>Sign in</html>".into()).await;
    assert!(login.starts_with("source \"default\" returned an invalid answer: "), "{login}");
    let huge = look(200, "x".repeat(9 * 1024 * 1024)).await;
    assert_eq!(
        huge,
        "source \"default\" returned more than 8 MiB; aggregate in the query, for example with sum()"
    );
    recorder.behave(|behaviour| behaviour.instead = None);
    assert_eq!(ask(&reader, OBJECTIVE, "vector(1)").await.state, KpiState::Fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_source_is_reported_immediately() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reader = reader(SourceConfig::new("default", &format!("http://{free}")));
    let message = error(ask(&reader, LOAD, "sum(x)").await);
    assert!(message.starts_with("source \"default\" can't be reached: Connection refused"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_closed_without_an_answer_is_reported() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reader = reader(SourceConfig::new("default", &format!("http://{}", listener.local_addr().unwrap())));
    let closing = tokio::spawn(async move {
        use tokio::io::AsyncReadExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _request = stream.read(&mut [0; 1024]).await;
        }
    });
    let message = error(ask(&reader, LOAD, "sum(x)").await);
    assert!(message.starts_with("source \"default\" can't be reached: "), "{message}");
    closing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_a_slow_server_ends_with_the_timeout() {
    let recorder = Recorder::start().await;
    recorder.behave(|behaviour| behaviour.delay = Duration::from_secs(30));
    let config = SourceConfig::new("default", &recorder.server.url());
    let reader = reader(SourceConfig { timeout: Duration::from_millis(300).into(), ..config });
    let started = Instant::now();
    let message = error(ask(&reader, LOAD, "sum(rate(x[1m]))").await);
    assert_eq!(message, "source \"default\" did not answer within 0.3 s");
    assert!((0.3..1.0).contains(&started.elapsed().as_secs_f64()), "{:?}", started.elapsed());
    let requests = recorder.requests();
    let timeout = |body: &str| -> Option<u32> {
        body.split('&').find_map(|pair| pair.strip_prefix("timeout=")?.strip_suffix("ms")?.parse().ok())
    };
    // Before the client's own timeout, so that the server can report it.
    for request in &requests {
        assert!(timeout(&request.body).is_some_and(|limit| (100..290).contains(&limit)), "{}", request.body);
    }
    assert!(requests.iter().all(|request| request.path == "/api/v1/query"));
    assert!(
        requests.iter().all(|request| !request.body.contains("&time=")),
        "queries have no time of the client"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_sent_rotated_and_kept_secret() {
    let directory = std::env::temp_dir().join(format!("plimsoll-kpi-auth-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("secret");
    fs::write(&file, "token-one\n").unwrap();
    let recorder = Recorder::start().await;
    let last = |name: &str| {
        let requests = recorder.requests();
        requests.last().unwrap().headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };

    let headers = [("X-Scope-OrgID".to_owned(), "team-a".to_owned())].into();
    let config = SourceConfig { headers, ..SourceConfig::new("default", &recorder.server.url()) };
    let bearer = reader(SourceConfig { bearer_token_file: Some(file.clone()), ..config.clone() });
    assert_eq!(ask(&bearer, OBJECTIVE, "vector(1)").await.state, KpiState::Fresh);
    assert_eq!(last("authorization").as_deref(), Some("Bearer token-one"));
    assert_eq!(last("x-scope-orgid").as_deref(), Some("team-a"));
    assert!(last("user-agent").unwrap().starts_with("plimsoll/"));

    fs::write(directory.join("new"), "token-two").unwrap();
    fs::rename(directory.join("new"), &file).unwrap();
    ask(&bearer, OBJECTIVE, "vector(1)").await;
    assert_eq!(last("authorization").as_deref(), Some("Bearer token-two"));

    recorder.behave(|behaviour| behaviour.instead = Some((401, "token-two has expired".into())));
    let message = error(ask(&bearer, OBJECTIVE, "vector(1)").await);
    assert_eq!(message, "source \"default\" refused the credentials with HTTP 401: *** has expired");
    recorder.behave(|behaviour| behaviour.instead = None);

    let basic = BasicAuth { username: "ana".into(), password_file: file.clone() };
    let basic = reader(SourceConfig { basic_auth: Some(basic), ..config.clone() });
    ask(&basic, OBJECTIVE, "vector(1)").await;
    assert_eq!(last("authorization").as_deref(), Some("Basic YW5hOnRva2VuLXR3bw=="));

    fs::remove_file(&file).unwrap();
    let before = recorder.requests().len();
    let message = error(ask(&bearer, OBJECTIVE, "vector(1)").await);
    assert!(message.starts_with("source \"default\" can't be queried: bearerTokenFile is "), "{message}");
    assert_eq!(recorder.requests().len(), before, "no query without credentials");
    let missing = SourceConfig { bearer_token_file: Some(file), ..config.clone() };
    let refused = KpiReader::new(vec![missing]).err().unwrap().to_string();
    assert!(
        refused.contains("source \"default\": bearerTokenFile is ") && refused.contains("can't be read"),
        "{refused}"
    );

    let no_bundle = directory.join("ca.pem");
    fs::write(&no_bundle, "not a certificate").unwrap();
    let url = "https://127.0.0.1:1".to_owned();
    let refused = KpiReader::new(vec![SourceConfig { ca_file: Some(no_bundle), url, ..config }])
        .err()
        .unwrap()
        .to_string();
    assert_eq!(refused, "source \"default\": caFile contains no PEM certificate");
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_and_recovers() {
    let recorder = Recorder::start().await;
    let reader = reader(SourceConfig::new("default", &recorder.server.url()));
    let health = || reader.health("default").unwrap();
    recorder.behave(|behaviour| behaviour.instead = Some((503, "starting".into())));
    for _ in 0..5 {
        assert_eq!(
            error(ask(&reader, OBJECTIVE, "vector(1)").await),
            "source \"default\" failed with HTTP 503: starting"
        );
    }
    assert_eq!((health().breaker, health().failures), (BreakerState::Open, 5));
    assert_eq!(health().last_error.as_deref(), Some("failed with HTTP 503: starting"));
    let message = error(ask(&reader, OBJECTIVE, "vector(1)").await);
    assert!(message.starts_with("source \"default\" gets no queries for "), "{message}");
    assert!(
        message.ends_with(" s after 5 failures in a row; the last: failed with HTTP 503: starting"),
        "{message}"
    );
    assert_eq!(recorder.requests().len(), 5, "the source is not queried");

    recorder.behave(|behaviour| behaviour.instead = None);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(ask(&reader, OBJECTIVE, "vector(1)").await.state, KpiState::Fresh);
    assert_eq!((health().breaker, health().failures, health().last_error), (BreakerState::Closed, 0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_of_one_service_do_not_open_the_breaker_for_others() {
    let recorder = Recorder::start().await;
    let reader = reader(SourceConfig::new("default", &recorder.server.url()));
    let refusal = r#"{"status":"error","errorType":"execution","error":"many-to-many"}"#;
    recorder.behave(|behaviour| behaviour.instead = Some((422, refusal.into())));
    for _ in 0..20 {
        error(ask(&reader, OBJECTIVE, "vector(1)").await);
    }
    assert_eq!(reader.health("default").unwrap().breaker, BreakerState::Closed);
    assert_eq!(recorder.requests().len(), 20);
}
