use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Exporter, eventually};

/// A real Prometheus that scrapes the exporters every second, under the path `/prometheus` as in many installations.
pub struct Prometheus {
    pub url: String,
    process: Child,
    directory: PathBuf,
}

impl Prometheus {
    pub async fn start(exporters: &[&Exporter]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("plimsoll-kpi-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let targets: Vec<&str> = exporters.iter().map(|exporter| exporter.server.address.as_str()).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\n\
             scrape_configs:\n- job_name: app\n  static_configs: [{{targets: {targets:?}}}]\n"
        );
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--web.external-url=http://127.0.0.1:{port}/prometheus"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .expect("these tests need the program `prometheus` (Debian: apt-get install prometheus)");
        let started = Self { url: format!("http://127.0.0.1:{port}/prometheus"), process, directory };
        started.wait_for_scrapes(exporters.len()).await;
        started
    }

    /// Waits until each target was scraped often enough to fill a window of five seconds.
    async fn wait_for_scrapes(&self, targets: usize) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/v1/query?query=count(count_over_time(app_queue[1m])>=7)", self.url);
        eventually("each target is scraped seven times", Duration::from_secs(60), || async {
            let body = http.get(&url).send().await.ok()?.text().await.ok()?;
            body.contains(&format!(",\"{targets}\"]")).then_some(())
        })
        .await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
