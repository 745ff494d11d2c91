//! Prometheus' classic text format (version 0.0.4), written by hand: the few families of
//! the shop need no registry, and every series exists from the first scrape on.

use std::fmt::{Display, Write as _};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use rustix::time::{ClockId, clock_gettime};

/// A page of metrics that is being written.
#[derive(Default)]
pub struct Page(String);

impl Page {
    /// Starts a family; its samples follow.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// One sample. `labels` is what stands between the braces, or empty.
    pub fn sample(&mut self, name: &str, labels: &str, value: impl Display) -> &mut Self {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
        self
    }

    /// A family with one sample without labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) -> &mut Self {
        self.family(name, kind, help).sample(name, "", value)
    }

    /// CPU time and memory of this process, under their usual names.
    pub fn process(&mut self) -> &mut Self {
        let help = "User and system CPU time of the process in seconds.";
        self.single("process_cpu_seconds_total", "counter", help, cpu_seconds());
        let help = "Resident memory of the process in bytes.";
        self.single("process_resident_memory_bytes", "gauge", help, resident_bytes())
    }

    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], self.0).into_response()
    }
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
    fn a_page_is_in_the_classic_format() {
        let mut page = Page::default();
        page.family("a_total", "counter", "Help.").sample("a_total", "code=\"200\"", 3);
        page.single("b", "gauge", "Help.", 0.5);
        let wanted = "# HELP a_total Help.\n# TYPE a_total counter\na_total{code=\"200\"} 3\n\
                      # HELP b Help.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page.text(), wanted);
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
