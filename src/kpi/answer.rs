//! Parses answers of Prometheus' HTTP API, with limits on their size. Pure.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::failure::{Failure, one_line};

/// Most bytes of a body.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most series of an answer.
const SERIES_MAX: usize = 5000;
/// Prefix of informational annotations such as "metric might not be a counter". Prometheus 2.48 to 2.53 put these among the
/// warnings; later versions have a separate list `infos`.
const INFO: &str = "PromQL info:";

/// A successful answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its data.
    pub(super) data: Data,
    /// When the server evaluated the query, on its clock; unknown for an empty vector.
    pub(super) time: Option<Timestamp>,
    /// The first of the server's warnings: the answer may be incomplete. Informational annotations are left out.
    pub(super) warning: Option<String>,
}

/// The data of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// One number without labels.
    Scalar(f64),
    /// One number for each label set.
    Vector(Vec<Series>),
    /// Numbers over time for each label set.
    Matrix(Vec<Track>),
}

/// One series at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// One series over time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track {
    pub(super) labels: Labels,
    pub(super) points: Vec<(Timestamp, f64)>,
}

/// The labels that are used; all others are dropped while parsing, since there may be thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Labels {
    /// The pod of the series.
    pub(super) pod: Option<String>,
    /// The part of the evidence probe.
    pub(super) plimsoll: Option<String>,
}

/// Converts seconds since the epoch, as in Prometheus' answers, to the millisecond.
pub(super) fn timestamp(seconds: f64) -> Option<Timestamp> {
    let milliseconds = (seconds * 1000.0).round();
    // The cast saturates, and the range check of jiff refuses invalid times.
    milliseconds.is_finite().then(|| Timestamp::from_millisecond(milliseconds as i64).ok()).flatten()
}

impl Answer {
    /// Parses an answer of Prometheus' HTTP API: the HTTP status and the whole body.
    ///
    /// # Errors
    /// The answer is an error, or does not follow the API.
    pub fn read(status: u16, body: &[u8]) -> Result<Self, Failure> {
        read(status, body)
    }
}

fn read(status: u16, body: &[u8]) -> Result<Answer, Failure> {
    match (status, serde_json::from_slice::<Envelope>(body)) {
        (200..=299, Ok(Envelope { status: Status::Success, data: Some(data), warnings, .. })) => {
            answer(data, &warnings.unwrap_or_default())
        }
        (_, Ok(Envelope { status: Status::Error, error_type: Some(kind), error, .. })) => {
            Err(refusal(status, kind, &error.unwrap_or_default()))
        }
        (200..=299, Ok(_)) => Err(Failure::Malformed("it has neither data nor an error".into())),
        (200..=299, Err(error)) if error.to_string().starts_with(TOO_MANY) => {
            Err(Failure::TooLarge("5,000 series"))
        }
        (200..=299, Err(error)) => {
            let start = String::from_utf8_lossy(body.get(..120).unwrap_or(body)).into_owned();
            Err(Failure::Malformed(format!("{error}; it begins with {:?}", one_line(&start))))
        }
        (_, _) => {
            Err(by_status(status, one_line(&String::from_utf8_lossy(body.get(..4096).unwrap_or(body)))))
        }
    }
}

/// The failure for Prometheus' own error. Statuses that proxies use too keep their meaning.
fn refusal(status: u16, kind: String, error: &str) -> Failure {
    let text = one_line(error);
    match status {
        401 | 403 | 429 => by_status(status, text),
        _ if kind == "internal" => Failure::Server { status, text },
        _ => Failure::Refused { kind, text },
    }
}

fn by_status(status: u16, text: String) -> Failure {
    match status {
        401 | 403 => Failure::Unauthorized { status, text },
        300..=399 | 404 | 405 | 410 => Failure::NotPrometheus { status, text },
        429 => Failure::Throttled(text),
        400 | 422 => Failure::Refused { kind: format!("HTTP {status}"), text },
        _ => Failure::Server { status, text },
    }
}

fn answer(data: RawData, warnings: &[String]) -> Result<Answer, Failure> {
    let warning =
        warnings.iter().find(|text| !text.trim_start().starts_with(INFO)).map(|text| one_line(text));
    let (data, time) = match data {
        RawData::Scalar(point) => (Data::Scalar(point.value()?), Some(point.time()?)),
        RawData::String(_) => return Err(Failure::Malformed("it is a string".into())),
        RawData::Vector(Bounded(raw)) => {
            let time = raw.first().and_then(|one| one.value.as_ref()).map(Point::time).transpose()?;
            let series: Result<Vec<Series>, Failure> = raw.into_iter().map(RawSeries::read).collect();
            (Data::Vector(series?), time)
        }
        RawData::Matrix(Bounded(raw)) => {
            let tracks: Result<Vec<Track>, Failure> = raw.into_iter().map(RawTrack::read).collect();
            (Data::Matrix(tracks?), None)
        }
    };
    Ok(Answer { data, time, warning })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: Status,
    data: Option<RawData>,
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Error,
}

#[derive(serde::Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum RawData {
    Scalar(Point),
    String(de::IgnoredAny),
    Vector(Bounded<RawSeries>),
    Matrix(Bounded<RawTrack>),
}

/// `[seconds, "number"]`
#[derive(serde::Deserialize)]
struct Point(f64, String);

impl Point {
    fn time(&self) -> Result<Timestamp, Failure> {
        timestamp(self.0).ok_or_else(|| Failure::Malformed(format!("its time is {}", self.0)))
    }

    fn value(&self) -> Result<f64, Failure> {
        // Prometheus writes NaN, +Inf and -Inf, which Rust reads too.
        self.1
            .parse()
            .map_err(|_| Failure::Malformed(format!("a value is {:?}, not a number", one_line(&self.1))))
    }
}

const HISTOGRAM: &str = "it has native histograms; use histogram_quantile(), histogram_count() or the like";

#[derive(serde::Deserialize)]
struct RawSeries {
    #[serde(default)]
    metric: Labels,
    value: Option<Point>,
}

impl RawSeries {
    fn read(self) -> Result<Series, Failure> {
        let point = self.value.ok_or_else(histogram)?;
        Ok(Series { labels: self.metric, value: point.value()? })
    }
}

#[derive(serde::Deserialize)]
struct RawTrack {
    #[serde(default)]
    metric: Labels,
    values: Option<Vec<Point>>,
}

impl RawTrack {
    fn read(self) -> Result<Track, Failure> {
        let points = self.values.ok_or_else(histogram)?;
        let points: Result<_, Failure> =
            points.iter().map(|point| Ok((point.time()?, point.value()?))).collect();
        Ok(Track { labels: self.metric, points: points? })
    }
}

fn histogram() -> Failure {
    Failure::Refused { kind: "result".into(), text: HISTOGRAM.into() }
}

const TOO_MANY: &str = "more series than allowed";

/// A list that fails to parse when it gets too long.
struct Bounded<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Bounded<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of series")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    if list.len() == SERIES_MAX {
                        return Err(de::Error::custom(TOO_MANY));
                    }
                    list.push(item);
                }
                Ok(Bounded(list))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Data, read, timestamp};
    use crate::kpi::Failure;

    fn ok(body: &str) -> Answer {
        read(200, body.as_bytes()).unwrap()
    }

    fn failure(status: u16, body: &str) -> String {
        read(status, body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_scalars_vectors_and_ranges() {
        let scalar =
            ok(r#"{"status":"success","data":{"resultType":"scalar","result":[1800000000.25,"42"]}}"#);
        assert_eq!(
            scalar,
            Answer { data: Data::Scalar(42.0), time: timestamp(1_800_000_000.25), warning: None }
        );

        // VictoriaMetrics and proxies may put the keys in another order.
        let vector = ok(r#"{"data":{"result":[{"metric":{"pod":"a"},"value":[1800000000,"+Inf"]},
            {"metric":{},"value":[1800000000,"1e-3"]}],"resultType":"vector"},"status":"success","infos":["PromQL info"]}"#);
        let Data::Vector(series) = vector.data else { panic!("not a vector") };
        assert_eq!(series[0].labels.pod.as_deref(), Some("a"));
        assert_eq!((series[0].value, series[1].value), (f64::INFINITY, 0.001));
        assert_eq!((vector.time, vector.warning), (timestamp(1_800_000_000.0), None));

        let matrix = ok(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[2,"NaN"]]}]}}"#,
        );
        let Data::Matrix(tracks) = matrix.data else { panic!("not a matrix") };
        assert_eq!(tracks[0].points[0], (timestamp(1.0).unwrap(), 2.0));
        assert!(tracks[0].points[1].1.is_nan());
    }

    #[test]
    fn an_empty_answer_and_its_warnings() {
        let answer = ok(
            r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["store\nis down","b"]}"#,
        );
        assert_eq!(answer.data, Data::Vector(Vec::new()));
        assert_eq!((answer.time, answer.warning.as_deref()), (None, Some("store is down")));
    }

    #[test]
    fn informational_annotations_are_no_warnings() {
        let warning = |warnings: &str| {
            let body = format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[]}},"warnings":[{warnings}]}}"#
            );
            ok(&body).warning
        };
        let info = r#""PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"app_queue\" (1:10)""#;
        assert_eq!(warning(info), None);
        let bucket = "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" (1:25)";
        let both = format!("{info},{bucket:?}");
        assert_eq!(warning(&both).as_deref(), Some(bucket));
        let store = "fetch series: store is down";
        assert_eq!(warning(&format!("{store:?},{info}")).as_deref(), Some(store));
    }

    #[test]
    fn each_kind_of_failure_has_its_own_sentence() {
        let bad = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected )"}"#;
        for (status, body, expected) in [
            (400, bad, "refused the query (bad_data): 1:5: parse error: unexpected )"),
            (
                422,
                r#"{"status":"error","errorType":"execution","error":"many-to-many"}"#,
                "refused the query (execution): many-to-many",
            ),
            (
                503,
                r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
                "refused the query (timeout): query timed out",
            ),
            (
                500,
                r#"{"status":"error","errorType":"internal","error":"disk"}"#,
                "failed with HTTP 500: disk",
            ),
            (401, "Unauthorized\n", "refused the credentials with HTTP 401: Unauthorized"),
            (
                403,
                r#"{"status":"error","errorType":"forbidden","error":"tenant"}"#,
                "refused the credentials with HTTP 403: tenant",
            ),
            (404, "404 page not found", "has no query API at its url (HTTP 404): 404 page not found"),
            (302, "", "has no query API at its url (HTTP 302): no text"),
            (429, "slow down", "is rate limiting queries (HTTP 429): slow down"),
            (502, "<html>\nBad Gateway</html>", "failed with HTTP 502: <html> Bad Gateway</html>"),
            (200, r#"{"status":"success"}"#, "returned an invalid answer: it has neither data nor an error"),
            (
                200,
                r#"{"status":"success","data":{"resultType":"scalar","result":[1,"fast"]}}"#,
                "returned an invalid answer: a value is \"fast\", not a number",
            ),
        ] {
            assert_eq!(failure(status, body), expected);
        }
        let html = failure(200, "<html>Sign in</html>");
        assert!(html.starts_with("returned an invalid answer: ") && html.contains("<html>Sign in"), "{html}");
        let cut = failure(200, r#"{"status":"success","data":{"resultType":"vec"#);
        assert!(cut.contains("EOF"), "{cut}");
        let histogram = failure(
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}"#,
        );
        assert!(histogram.contains("native histograms"), "{histogram}");
    }

    #[test]
    fn too_many_series_are_refused() {
        let body = |count: usize| {
            let series = vec![r#"{"metric":{},"value":[1,"1"]}"#; count].join(",");
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
        };
        assert!(read(200, body(5000).as_bytes()).is_ok());
        assert_eq!(read(200, body(5001).as_bytes()), Err(Failure::TooLarge("5,000 series")));
    }
}
