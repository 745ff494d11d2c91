//! The series of HAProxy and NGINX that the driver tests run on, and the chart's statements about them.

use anyhow::{Context, Result, bail};
use plimsoll_e2e::cluster::releases::Release;

const PROGRAMS: [&str; 2] = ["haproxy", "nginx"];
/// The series of Debian 12, on which the tests run by default.
const OF_DEBIAN_12: [&str; 2] = ["2.6", "1.22"];

fn of(release: Release) -> [&'static str; 2] {
    match release {
        Release::Trixie => ["3.0", "1.26"],
        Release::Forky => ["3.2", "1.30"],
    }
}

/// Every tested series of `program`, the oldest first.
fn tested(program: &str) -> Vec<&'static str> {
    let all = std::iter::once(OF_DEBIAN_12).chain(Release::ALL.map(of));
    let named = all.flat_map(|series| PROGRAMS.into_iter().zip(series));
    named.filter(|(name, _)| *name == program).map(|(_, series)| series).collect()
}

/// Compares the versions that a release's programs report with the expected series. A release may update its packages; the
/// tests then run on another series than the chart claims. Returns what to change.
pub fn moved(release: Release, lines: &[String]) -> Result<Option<String>> {
    for ((program, expected), line) in PROGRAMS.iter().zip(of(release)).zip(lines) {
        let found = version(line).with_context(|| format!("{program} reports no version: {line:?}"))?;
        let new = series(found);
        if new != expected {
            let name = release.name();
            return Ok(Some(format!(
                "{program} of Debian {name} is {found}, but the tests expect {expected}: change xtask/src/series.rs to {new}, \
                 and with it the image and the tested versions of {program} in charts/plimsoll/values.yaml"
            )));
        }
    }
    Ok(None)
}

/// The first version in a line such as `HAProxy version 3.0.11-1 2025/06/02` or `nginx version: nginx/1.26.3`.
fn version(line: &str) -> Option<&str> {
    line.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
}

/// Major and minor number of a version or of an image tag: `3.0` of `3.0.11-1`.
fn series(version: &str) -> String {
    version.split(|char: char| !char.is_ascii_digit()).take(2).collect::<Vec<_>>().join(".")
}

/// The chart's default image of each program must be of a tested series, and the comment on it must name all tested series.
pub fn check_default_images(values: &str) -> Result<()> {
    for program in PROGRAMS {
        let tested = tested(program);
        let begin = format!("  {program}Image: {program}:");
        let tag = values.lines().find_map(|line| line.strip_prefix(&begin));
        let tag =
            tag.with_context(|| format!("balancers.{program}Image in values.yaml is not {program}:TAG"))?;
        if !tested.contains(&series(tag).as_str()) {
            bail!(
                "balancers.{program}Image in values.yaml is {program}:{tag}; the tests run on {} (xtask/src/series.rs)",
                tested.join(", ")
            );
        }
        let (last, first) = tested.split_last().context("no series is tested")?;
        let sentence = format!("(tested: {} and {last})", first.join(", "));
        if !values.contains(&sentence) {
            bail!("the comment on balancers.{program}Image in values.yaml does not say {sentence:?}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = include_str!("../../charts/plimsoll/values.yaml");

    fn of_lines(release: Release, haproxy: &str, nginx: &str) -> Option<String> {
        let lines =
            [format!("HAProxy version {haproxy} 2026/10/17"), format!("nginx version: nginx/{nginx}")];
        moved(release, &lines).unwrap()
    }

    #[test]
    fn a_changed_series_of_a_release_is_reported_with_what_to_change() {
        assert_eq!(of_lines(Release::Trixie, "3.0.11-1+deb13u1", "1.26.3"), None);
        assert_eq!(of_lines(Release::Forky, "3.2.0-1", "1.30.2 (Debian)"), None);
        let message = of_lines(Release::Forky, "3.4.1-1", "1.30.2").unwrap();
        let begin = "haproxy of Debian forky is 3.4.1-1, but the tests expect 3.2: change xtask/src/series.rs to 3.4,";
        assert!(message.starts_with(begin), "{message}");
        assert!(of_lines(Release::Forky, "3.20.1", "1.30.2").is_some(), "3.20 is not 3.2");
        assert!(
            of_lines(Release::Trixie, "3.0.11", "1.30.2").is_some_and(|message| message.starts_with("nginx"))
        );
        assert!(moved(Release::Trixie, &["HAProxy".to_owned(), "nginx".to_owned()]).is_err());
    }

    #[test]
    fn the_default_images_are_of_tested_series_and_another_image_or_comment_is_refused() {
        check_default_images(VALUES).unwrap();
        let error_of = |from: &str, to: &str| {
            assert!(VALUES.contains(from), "{from}");
            check_default_images(&VALUES.replace(from, to)).unwrap_err().to_string()
        };
        let newer = error_of("haproxyImage: haproxy:3.2", "haproxyImage: haproxy:3.3");
        let expected = "balancers.haproxyImage in values.yaml is haproxy:3.3; the tests run on 2.6, 3.0, 3.2";
        assert!(newer.starts_with(expected), "{newer}");
        let comment = error_of("tested: 2.6, 3.0 and 3.2", "tested: 2.6, 3.0 and 3.4");
        assert!(comment.ends_with("does not say \"(tested: 2.6, 3.0 and 3.2)\""), "{comment}");
    }
}
