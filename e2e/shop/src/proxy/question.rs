//! What a request asks of Prometheus' HTTP API: its path and its parameters, from the URL and
//! from a form.

use axum::http::Uri;

/// Parameters that are moments, in seconds since 1970.
const TIME: &str = "time";
const START: &str = "start";
const END: &str = "end";

#[derive(Clone, Debug)]
pub struct Question {
    path: String,
    parameters: Vec<(String, String)>,
}

impl Question {
    /// `form` is the body, if it is a form.
    pub fn new(uri: &Uri, form: Option<&[u8]>) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        let parameters =
            form_urlencoded::parse(query).chain(form_urlencoded::parse(form.unwrap_or_default()));
        let parameters = parameters.map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        Self { path: uri.path().to_owned(), parameters }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it asks for data, and not for the health or a page of the server.
    pub fn is_for_data(&self) -> bool {
        self.path.contains("/api/v1/")
    }

    /// The PromQL text.
    pub fn query(&self) -> Option<&str> {
        self.parameter("query")
    }

    /// Whether values of the answer can be moments.
    pub fn asks_for_moments(&self) -> bool {
        let text: String = self.query().unwrap_or_default().split_whitespace().collect();
        text.contains("timestamp(") || text.contains("time()")
    }

    /// All parameters as a form.
    pub fn form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish()
    }

    /// The same question, asked as if it were not later than `moment`: an instant query is
    /// evaluated then, a range that ends later is shifted to end then. Times that are not plain
    /// numbers are left alone.
    pub fn asked_until(&self, moment: f64) -> Self {
        let mut pinned = self.clone();
        if self.path.ends_with("/query") {
            match self.parameter(TIME).map(str::parse::<f64>) {
                None => pinned.set(TIME, moment),
                Some(Ok(time)) if time > moment => pinned.set(TIME, moment),
                Some(_) => {}
            }
        } else if let (Some(Ok(start)), Some(Ok(end))) =
            (self.parameter(START).map(str::parse::<f64>), self.parameter(END).map(str::parse::<f64>))
            && end > moment
        {
            pinned.set(START, start - (end - moment));
            pinned.set(END, moment);
        }
        pinned
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, seconds: f64) {
        self.parameters.retain(|(key, _)| key != name);
        self.parameters.push((name.to_owned(), format!("{seconds:.3}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(uri: &str, form: Option<&str>) -> Question {
        Question::new(&uri.parse().expect("uri"), form.map(str::as_bytes))
    }

    #[test]
    fn parameters_come_from_the_url_and_the_form() {
        let form = "query=sum(up%7Ba%3D%22b%22%7D)+%2B+1&time=5";
        let question = question("/api/v1/query?timeout=3s", Some(form));
        assert_eq!(question.query(), Some("sum(up{a=\"b\"}) + 1"));
        assert_eq!(question.form(), "timeout=3s&query=sum%28up%7Ba%3D%22b%22%7D%29+%2B+1&time=5");
        assert!(question.is_for_data() && !question.asks_for_moments());
    }

    #[test]
    fn moments_are_recognised() {
        let asks = |query: &str| question(&format!("/api/v1/query?query={query}"), None).asks_for_moments();
        assert!(asks("max(timestamp%20(up))") && asks("time()-1"));
        assert!(!asks("rate(lifetime_total[5m])") && !asks("up"));
    }

    #[test]
    fn nothing_is_asked_later_than_the_moment() {
        let pinned = |uri: &str| question(uri, None).asked_until(1_000.0).form();
        assert_eq!(pinned("/api/v1/query?query=up"), "query=up&time=1000.000");
        assert_eq!(pinned("/api/v1/query?time=1234.5&query=up"), "query=up&time=1000.000");
        assert_eq!(pinned("/api/v1/query?query=up&time=900"), "query=up&time=900");
        let range = "/api/v1/query_range?query=up&start=800&end=1100&step=15";
        assert_eq!(pinned(range), "query=up&step=15&start=700.000&end=1000.000");
        assert_eq!(pinned("/api/v1/labels"), "");
    }
}
