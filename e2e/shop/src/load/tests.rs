use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use clap::Parser as _;

/// Arguments as a user writes them.
fn args(flags: &str) -> LoadArgs {
    let all = ["plimsoll-shop", "load"].into_iter().chain(flags.split_whitespace());
    match crate::args::Cli::try_parse_from(all).expect("valid").role {
        crate::args::Role::Load(args) => args,
        _ => panic!("not a load"),
    }
}

async fn run_quietly(flags: &str, stop: &Stop) -> (Summary, Vec<report::Line>) {
    let args = args(flags);
    let plan = plan(&args).expect("plan");
    let mut lines = Vec::new();
    let keep = |line: &report::Line| {
        let json = serde_json::to_string(line)?;
        writeln!(std::io::sink(), "{json}")?;
        lines.push(report::Line { ..*line });
        Ok(())
    };
    let summary = drive(&args, &plan, stop, keep).await.expect("runs");
    (summary, lines)
}

/// Starts a server that handles the n-th connection (from 1) by `answer`. Returns its URL and the
/// number of connections.
async fn server<F>(answer: impl Fn(u64, TcpStream) -> F + Send + 'static) -> (String, Arc<AtomicU64>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("address"));
    let count = Arc::new(AtomicU64::new(0));
    let connections = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(connections.fetch_add(1, Ordering::Relaxed) + 1, stream));
        }
    });
    (url, count)
}

/// Answers every request on a connection, each after `delay`, until the client is done.
async fn answer_all(mut stream: TcpStream, delay: Duration, answer: &'static str) {
    let mut buffer = [0; 1_024];
    loop {
        let Ok(read) = stream.read(&mut buffer).await else { return };
        if read == 0 {
            return;
        }
        tokio::time::sleep(delay).await;
        let last = String::from_utf8_lossy(&buffer[..read]).to_lowercase().contains("connection: close");
        if stream.write_all(answer.as_bytes()).await.is_err() || last {
            return;
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn assert_complete(summary: &Summary, lines: &[report::Line]) {
    assert_eq!(summary.sent, summary.ok + summary.http_errors + summary.transport_errors);
    assert_eq!(summary.codes.values().sum::<u64>(), summary.ok + summary.http_errors);
    assert_eq!(summary.failures.values().sum::<u64>(), summary.transport_errors);
    let sum = |count: fn(&report::Line) -> u64| lines.iter().map(count).sum::<u64>();
    assert_eq!(sum(|line| line.sent), summary.sent);
    assert_eq!(sum(|line| line.ok), summary.ok);
    assert_eq!(sum(|line| line.http_errors), summary.http_errors);
    assert_eq!(sum(|line| line.transport_errors), summary.transport_errors);
    assert_eq!(sum(|line| line.late), summary.late);
}

#[tokio::test]
async fn requests_on_reset_connections_are_accounted() {
    let (url, connections) = server(|number, mut stream| async move {
        if number.is_multiple_of(3) {
            // Only after the whole request: an earlier reset is a refused connection, or a broken pipe.
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            stream.set_zero_linger().expect("linger");
        } else {
            answer_all(stream, Duration::ZERO, OK).await;
        }
    })
    .await;
    let flags = format!("--target {url} --shape 300@1s --arrivals uniform --requests-per-connection 1");
    let (summary, lines) = run_quietly(&flags, &Stop::by_hand().1).await;
    assert_complete(&summary, &lines);
    assert_eq!((summary.sent, summary.ok), (300, 200));
    assert_eq!(summary.failures[&Failure::Reset], 100, "{:?}", summary.failures);
    assert_eq!(connections.load(Ordering::Relaxed), 300, "nothing is retried");
}

#[tokio::test]
async fn connections_carry_the_configured_number_of_requests() {
    let (url, connections) = server(|_, stream| answer_all(stream, Duration::ZERO, OK)).await;
    let flags = format!("--target {url} --shape 100@2s --arrivals uniform --requests-per-connection 50");
    let (summary, lines) = run_quietly(&flags, &Stop::by_hand().1).await;
    assert_complete(&summary, &lines);
    assert_eq!((summary.sent, summary.ok), (200, 200));
    assert_eq!(summary.connections, connections.load(Ordering::Relaxed));
    // Four, and a few more if answers overlap on a busy machine.
    let connections = connections.load(Ordering::Relaxed);
    assert!((4..=12).contains(&connections), "{connections}");
    assert_eq!(lines.iter().map(|line| line.offered).collect::<Vec<_>>()[..2], [100.0, 100.0]);
}

#[tokio::test]
async fn a_stalled_server_also_delays_the_requests_behind_it() {
    // It serves one connection at a time: 10 requests of 100 ms each are due within 100 ms.
    let free = Arc::new(tokio::sync::Mutex::new(()));
    let (url, _) = server(move |_, stream| {
        let free = Arc::clone(&free);
        async move {
            let _turn = free.lock().await;
            answer_all(stream, Duration::from_millis(100), OK).await;
        }
    })
    .await;
    let flags = format!(
        "--target {url} --shape 100@100ms --arrivals uniform --requests-per-connection 1 --objective 250ms"
    );
    let (summary, lines) = run_quietly(&flags, &Stop::by_hand().1).await;
    assert_complete(&summary, &lines);
    assert_eq!(summary.ok, 10);
    assert!(summary.max.expect("some") > 0.85, "waiting counts: {summary:?}");
    assert!((7..=10).contains(&summary.late), "{summary:?}");
}

#[tokio::test]
async fn every_kind_of_failure_is_reported() {
    let (hung, _) = server(|_, stream| answer_all(stream, Duration::from_secs(60), OK)).await;
    let (closing, _) = server(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 1_024]).await;
    })
    .await;
    let (garbled, _) = server(|_, stream| answer_all(stream, Duration::ZERO, "SSH-2.0\r\n\r\n")).await;
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let (busy, _) = server(move |_, stream| answer_all(stream, Duration::ZERO, busy)).await;
    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\nok";
    let (cut, _) = server(move |_, mut stream| async move {
        let _ = stream.read(&mut [0; 1_024]).await;
        let _ = stream.write_all(cut.as_bytes()).await;
    })
    .await;
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("address");
    let targets = [hung, closing, garbled, busy, cut, format!("http://{unused}"), "http://no.invalid".into()];
    let targets: Vec<_> = targets.iter().map(|url| format!("--target {url}")).collect();
    let flags = format!("{} --shape 70@1s --arrivals uniform --timeout 500ms", targets.join(" "));
    let (summary, lines) = run_quietly(&flags, &Stop::by_hand().1).await;
    assert_complete(&summary, &lines);
    let failures = &summary.failures;
    assert_eq!(summary.codes[&503], 10, "{summary:?}");
    assert_eq!(failures[&Failure::Refused], 10, "{failures:?}");
    assert_eq!(failures[&Failure::Malformed], 10, "{failures:?}");
    assert_eq!(failures[&Failure::Closed], 20, "{failures:?}");
    // Without a resolver the lookup may take so long that the request times out.
    let dns = failures.get(&Failure::Dns).copied().unwrap_or(0);
    assert_eq!(failures[&Failure::Timeout] + dns, 20, "{failures:?}");
    assert_eq!(summary.late, 70);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_errors_and_a_stop_ends_the_run_early() {
    let (hung, _) = server(|_, stream| answer_all(stream, Duration::from_secs(60), OK)).await;
    let (stop, stopped) = Stop::by_hand();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        stop.send_replace(true);
        stop.closed().await;
    });
    let flags =
        format!("--target {hung} --shape 100@60s --arrivals uniform --max-in-flight 30 --timeout 1500ms");
    let (summary, lines) = run_quietly(&flags, &stopped).await;
    assert_complete(&summary, &lines);
    assert!((100..=200).contains(&summary.sent), "{summary:?}");
    assert_eq!(summary.failures[&Failure::ClientLimit], summary.sent - 30);
    assert_eq!(summary.failures[&Failure::Timeout], 30);
    assert!((1.0..2.0).contains(&summary.duration_seconds), "{summary:?}");
}
