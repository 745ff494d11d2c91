//! Reads values from pages of metrics.

use crate::prelude::*;
use anyhow::Context as _;

const APPLIED: &str = "plimsoll_balancer_endpoint_applied_seconds";

pub fn fetch(url: &str) -> Result<String> {
    Ok(ureq::get(url).call().with_context(|| url.to_owned())?.body_mut().read_to_string()?)
}

/// The value of a series, given with its labels as in the page.
pub fn sample(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
}

pub fn total(page: &str, name: &str) -> f64 {
    let series = page.lines().filter_map(|line| line.strip_prefix(name));
    let values = series.filter(|rest| rest.starts_with(['{', ' '])).filter_map(|rest| rest.rsplit_once(' '));
    values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

pub fn applied(page: &str) -> f64 {
    sample(page, &format!("{APPLIED}_count")).unwrap_or(0.0)
}

/// Time in milliseconds within which agents applied this share of the changes between two reads of their pages: the bound of
/// the histogram bucket; `None` above the last finite bound.
pub fn applied_within(before: &[String], after: &[String], share: f64) -> Option<f64> {
    let sum = |pages: &[String], of: &dyn Fn(&str) -> f64| pages.iter().map(|page| of(page)).sum::<f64>();
    let rank = share * (sum(after, &applied) - sum(before, &applied));
    let prefix = format!("{APPLIED}_bucket{{le=\"");
    let bounds = after.first()?.lines().filter_map(|line| {
        let (bound, _) = line.strip_prefix(&prefix)?.split_once('"')?;
        let series = format!("{prefix}{bound}\"}}");
        let count = |page: &str| sample(page, &series).unwrap_or(0.0);
        Some((bound.parse::<f64>().ok()?, sum(after, &count) - sum(before, &count)))
    });
    let mut bounds = bounds.filter(|(bound, _)| bound.is_finite());
    bounds.find(|(_, count)| *count >= rank).map(|(bound, _)| bound * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_of_a_share_counts_only_new_changes_of_all_pages() {
        let page = |counts: [u32; 3]| {
            let [fast, slow, all] = counts;
            format!(
                "{APPLIED}_sum 1.5\n{APPLIED}_count {all}\n{APPLIED}_bucket{{le=\"0.05\"}} {fast}\n\
                 {APPLIED}_bucket{{le=\"0.1\"}} {slow}\n{APPLIED}_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let (before, after) =
            ([page([0, 0, 90]), page([0, 0, 0])], [page([90, 99, 190]), page([90, 100, 100])]);
        assert_eq!(applied(&after[0]), 190.0);
        let within = |share| applied_within(&before, &after, share);
        assert_eq!((within(0.5), within(0.99), within(0.999)), (Some(50.0), Some(100.0), None));
        assert_eq!(sample("up 1\nuptime 7\n", "up"), Some(1.0));
    }

    #[test]
    fn a_total_sums_the_series_of_one_metric_only() {
        let page =
            "# TYPE a counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\na_total_created 7\nab_total 1\n";
        assert_eq!(total(page, "a_total"), 5.5);
        assert_eq!(total(page, "ab_total"), 1.0);
    }
}
