//! The series of HAProxy and NGINX that the tests of the drivers run on, and what the chart says of them.

use anyhow::{Context, Result, bail};
use plimsoll_e2e::cluster::releases::Release;

const PROGRAMS: [&str; 2] = ["haproxy", "nginx"];
/// Of Debian 12, which the tests run on without a release of their own.
const OF_DEBIAN_12: [&str; 2] = ["2.6", "1.22"];

fn of(release: Release) -> [&'static str; 2] {
    match release {
        Release::Trixie => ["3.0", "1.26"],
        Release::Forky => ["3.2", "1.30"],
    }
}

/// Every series of `program` that the tests run on, the oldest first.
fn tested(program: &str) -> Vec<&'static str> {
    let all = std::iter::once(OF_DEBIAN_12).chain(Release::ALL.map(of));
    let named = all.flat_map(|series| PROGRAMS.into_iter().zip(series));
    named.filter(|(name, _)| *name == program).map(|(_, series)| series).collect()
}

/// What is wrong with the series of what the programs of a release say of themselves: its packages may have moved on, and
/// what the tests run on is then not what the chart says was tested.
pub fn moved(release: Release, lines: &[String]) -> Result<Option<String>> {
    for ((program, expected), line) in PROGRAMS.iter().zip(of(release)).zip(lines) {
        let found = version(line).with_context(|| format!("{program} says no version: {line:?}"))?;
        let new = series(found);
        if new != expected {
            let name = release.name();
            return Ok(Some(format!(
                "{program} of Debian {name} is {found}, where the tests were to run on {expected}: change xtask/src/series.rs \
                 to {new}, and with it the image and the tested versions of {program} in charts/plimsoll/values.yaml"
            )));
        }
    }
    Ok(None)
}

/// The first version in a line such as `HAProxy version 3.0.11-1 2025/06/02` or `nginx version: nginx/1.26.3`.
fn version(line: &str) -> Option<&str> {
    line.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
}

/// Major and minor of a version or of an image's tag: `3.0` of `3.0.11-1`.
fn series(version: &str) -> String {
    version.split(|char: char| !char.is_ascii_digit()).take(2).collect::<Vec<_>>().join(".")
}

/// The chart's default image of each program must be of a series that its tests run on, and the comment on it must name all
/// of these.
pub fn check_default_images(values: &str) -> Result<()> {
    for program in PROGRAMS {
        let tested = tested(program);
        let begin = format!("  {program}Image: {program}:");
        let tag = values.lines().find_map(|line| line.strip_prefix(&begin));
        let tag =
            tag.with_context(|| format!("balancers.{program}Image in values.yaml is no {program}:TAG"))?;
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
    fn a_release_that_has_moved_on_is_told_with_what_to_change() {
        assert_eq!(of_lines(Release::Trixie, "3.0.11-1+deb13u1", "1.26.3"), None);
        assert_eq!(of_lines(Release::Forky, "3.2.0-1", "1.30.2 (Debian)"), None);
        let words = of_lines(Release::Forky, "3.4.1-1", "1.30.2").unwrap();
        let begin = "haproxy of Debian forky is 3.4.1-1, where the tests were to run on 3.2: change xtask/src/series.rs to 3.4,";
        assert!(words.starts_with(begin), "{words}");
        assert!(of_lines(Release::Forky, "3.20.1", "1.30.2").is_some(), "not of the series 3.2");
        assert!(
            of_lines(Release::Trixie, "3.0.11", "1.30.2").is_some_and(|words| words.starts_with("nginx"))
        );
        assert!(moved(Release::Trixie, &["HAProxy".to_owned(), "nginx".to_owned()]).is_err());
    }

    #[test]
    fn the_default_images_are_of_tested_series_and_another_image_or_comment_is_told() {
        check_default_images(VALUES).unwrap();
        let told = |from: &str, to: &str| {
            assert!(VALUES.contains(from), "{from}");
            check_default_images(&VALUES.replace(from, to)).unwrap_err().to_string()
        };
        let newer = told("haproxyImage: haproxy:3.2", "haproxyImage: haproxy:3.3");
        let expected = "balancers.haproxyImage in values.yaml is haproxy:3.3; the tests run on 2.6, 3.0, 3.2";
        assert!(newer.starts_with(expected), "{newer}");
        let comment = told("tested: 2.6, 3.0 and 3.2", "tested: 2.6, 3.0 and 3.4");
        assert!(comment.ends_with("does not say \"(tested: 2.6, 3.0 and 3.2)\""), "{comment}");
    }
}
