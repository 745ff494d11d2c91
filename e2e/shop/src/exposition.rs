//! The page of metrics of `serve`, `queue` and `work`.

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::{counter::ConstCounter, gauge::ConstGauge};
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

/// OpenMetrics text, and its content type.
pub type Page = ([(HeaderName, &'static str); 1], String);

/// The metrics of `registry`, with CPU time and memory of this process under their usual names.
pub fn page(mut registry: Registry) -> Page {
    let help = "User and system CPU time of the process in seconds";
    registry.register("process_cpu_seconds", help, ConstCounter::new(cpu_seconds()));
    let help = "Resident memory of the process in bytes";
    registry.register("process_resident_memory_bytes", help, ConstGauge::new(resident_bytes()));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The second number of `/proc/self/statm`, in pages; 0 where there is no such file.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_openmetrics_and_shows_the_process() {
        let ([(_, kind)], text) = page(Registry::default());
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0;"), "{kind}");
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes ") && text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn the_process_uses_cpu_and_memory() {
        let mut sum = 0_u64;
        let before = cpu_seconds();
        while cpu_seconds() < before + 0.01 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(resident_bytes() > 500_000, "{}", resident_bytes());
    }
}
