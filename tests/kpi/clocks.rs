//! A real Prometheus behind a proxy that reports wrong times.

use std::time::Duration;

use jiff::Timestamp;
use plimsoll::kpi::{KpiReader, SourceConfig};
use plimsoll_api::KpiState;

use crate::support::{Exporter, LOAD, Prometheus, Proxy, ask};

const RATE: &str = "sum(rate(app_requests_total[5s]))";

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_stopped_or_jumping_clock_makes_samples_stale() {
    let exporter = Exporter::start().await;
    let prometheus = Prometheus::start(&[&exporter]).await;
    let proxy = Proxy::start(&prometheus.url).await;
    let reader = KpiReader::new(vec![SourceConfig::new("default", &proxy.server.url())]).unwrap();
    let look = async || {
        let sample = ask(&reader, LOAD, RATE).await;
        (sample.state, sample.message.unwrap_or_default())
    };
    let skew = || reader.health("default").unwrap().skew_seconds;

    assert_eq!((look().await.0, skew()), (KpiState::Fresh, None));

    proxy.lie(|lie| lie.shift = 600.0);
    pause(20).await;
    let sample = ask(&reader, LOAD, RATE).await;
    assert_eq!(sample.state, KpiState::Fresh, "an offset alone is not an error");
    let age = Timestamp::now().duration_since(sample.at.unwrap()).as_secs_f64();
    assert!((-1.0..4.0).contains(&age), "the age is by the local clock: {age}");
    assert!((590.0..610.0).contains(&skew().unwrap()), "{:?}", skew());

    proxy.lie(|lie| lie.shift = -600.0);
    let (state, message) = look().await;
    assert_eq!(state, KpiState::Stale);
    assert!(message.contains("clock of source \"default\" went back by 1"), "{message}");
    pause(20).await;
    assert_eq!(look().await.0, KpiState::Fresh, "reported once, then accepted");
    assert!((-610.0..-590.0).contains(&skew().unwrap()), "{:?}", skew());

    proxy.lie(|lie| lie.frozen = true);
    pause(1200).await;
    for _ in 0..2 {
        let (state, message) = look().await;
        assert_eq!(state, KpiState::Stale);
        assert!(message.contains("returned the same evaluation time as 1 s ago"), "{message}");
    }
    proxy.lie(|lie| lie.frozen = false);
    assert_eq!(look().await.0, KpiState::Fresh);

    proxy.lie(|lie| lie.warning = Some("store 10.0.0.7 is unavailable"));
    pause(20).await;
    let expected = "source \"default\" warns: store 10.0.0.7 is unavailable".to_owned();
    assert_eq!(look().await, (KpiState::Partial, expected));
}
