//! The entry point: KPI rules in, samples out. It never fails: an error is a sample with a state and a message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{OptionFuture, join_all, join4};
use jiff::SignedDuration;

use super::connection::connect;
use super::evidence::{Assessment, Form, volume};
use super::flight::Source;
use super::health::SourceHealth;
use super::parts::{NoObserver, QueryObserver, ReaderParts};
use super::question::{Question, QuestionError};
use super::recent::Recent;
use super::slots::Asker;
use super::source::{ConfigError, SourceConfig, check};
use crate::clock::Clock;
use plimsoll_api::{Goal, KpiRule, KpiState, OutlierRules, VolumeRule};
use plimsoll_engine::{Sample, Volume};

/// Most parsed queries that are kept.
const QUESTIONS_MAX: usize = 32_768;

/// A query, its source, and the rule for the number of requests behind it.
#[derive(Clone, Copy)]
struct QuerySpec<'a> {
    source: &'a str,
    query: &'a str,
    volume: &'a VolumeRule,
}

/// Queries the configured sources, and sends each distinct query only once at a time.
pub struct KpiReader {
    sources: BTreeMap<String, Arc<Source>>,
    pub(super) clock: Clock,
    questions: Mutex<Recent<String, Arc<Result<Question, QuestionError>>>>,
}

impl KpiReader {
    /// A reader of these sources. The error has a sentence for each invalid setting, including unreadable files.
    pub fn new(sources: Vec<SourceConfig>) -> Result<Self, ConfigError> {
        Self::with_observer(sources, Arc::new(NoObserver))
    }

    /// The same, with an observer of every query.
    pub fn with_observer(
        sources: impl IntoIterator<Item = SourceConfig>,
        observer: Arc<dyn QueryObserver>,
    ) -> Result<Self, ConfigError> {
        Self::with_parts(sources, &ReaderParts { connect: &connect, observer, clock: Clock::system() })
    }

    /// A reader with the dependencies `parts`.
    pub fn with_parts(
        sources: impl IntoIterator<Item = SourceConfig>,
        parts: &ReaderParts<'_>,
    ) -> Result<Self, ConfigError> {
        let configs: Vec<SourceConfig> = sources.into_iter().collect();
        let mut wrong = check(&configs);
        let mut sources = BTreeMap::new();
        if wrong.is_empty() {
            for opened in configs.iter().map(|config| Source::open(config, parts)) {
                match opened {
                    Ok(source) => drop(sources.insert(source.name().to_owned(), Arc::new(source))),
                    Err(errors) => wrong.extend(errors),
                }
            }
        }
        if !wrong.is_empty() {
            return Err(ConfigError(wrong));
        }
        Ok(Self { sources, clock: parts.clock.clone(), questions: Mutex::new(Recent::new(QUESTIONS_MAX)) })
    }

    /// A sample for each rule, by the rule's name. Answers of at most the age `max_age` are reused. Takes at most the longest
    /// timeout of the sources concerned. Times are those of our own clock. Needs a tokio runtime.
    pub async fn ask(&self, asker: &Asker, rules: &[KpiRule], max_age: Duration) -> BTreeMap<String, Sample> {
        let samples = join_all(rules.iter().map(|rule| async {
            let query = QuerySpec { source: &rule.source, query: &rule.query, volume: &rule.volume };
            let sample = self.sample(asker, query, Form::Kpi(rule.goal), max_age).await;
            (rule.name.clone(), sample)
        }));
        samples.await.into_iter().collect()
    }

    /// A number for each pod, like [`Self::ask`]: the answer has one series for each pod, with the label `pod`. Pods whose
    /// value is not a number (0/0) are left out.
    pub async fn ask_by_pod(&self, asker: &Asker, rules: &OutlierRules, max_age: Duration) -> Sample {
        let query = QuerySpec { source: &rules.source, query: &rules.query, volume: &rules.volume };
        self.sample(asker, query, Form::EachPod, max_age).await
    }

    /// The health of a source, if it is configured.
    #[must_use]
    pub fn health(&self, source: &str) -> Option<SourceHealth> {
        self.sources.get(source).map(|source| source.health())
    }

    /// The names of the sources.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    async fn sample(&self, asker: &Asker, query: QuerySpec<'_>, form: Form, max_age: Duration) -> Sample {
        let sample = self.try_sample(asker, query, form, max_age).await;
        sample.unwrap_or_else(|message| Sample::unusable(KpiState::Error, message))
    }

    async fn try_sample(
        &self,
        asker: &Asker,
        query: QuerySpec<'_>,
        form: Form,
        max_age: Duration,
    ) -> Result<Sample, String> {
        let source = self.source(query.source)?;
        let question = self.question(query.query);
        let question = question.as_ref().as_ref().map_err(ToString::to_string)?;
        let burst = question.burst().filter(|_| matches!(form, Form::Kpi(Goal::PerReplica(_))));
        let (value, probe, burst, volume) = join4(
            source.ask(asker, question.text(), max_age),
            OptionFuture::from(question.probe().map(|probe| source.ask(asker, probe, max_age))),
            OptionFuture::from(burst.map(|burst| source.ask(asker, burst, max_age))),
            self.volume(asker, source, question, (query.volume, form), max_age),
        )
        .await;
        let assessment = Assessment {
            source: source.name(),
            stale_after: source.stale_after(),
            form,
            question,
            value: &value,
            probe: probe.as_deref(),
            burst: burst.as_deref(),
        };
        let sample = assessment.judge();
        // Converted to our own clock, so that the engine and users can compare it with theirs.
        let skew = SignedDuration::try_from_secs_f64(source.skew()).unwrap_or_default();
        let at = sample.at.map(|at| at.saturating_sub(skew).unwrap_or(at));
        Ok(Sample { at, volume, ..sample })
    }

    /// The number of requests behind the answer to `question`, if the rule wants it and a query returns it.
    async fn volume(
        &self,
        asker: &Asker,
        source: &Arc<Source>,
        question: &Question,
        (rule, form): (&VolumeRule, Form),
        max_age: Duration,
    ) -> Volume {
        let named;
        let text = match rule {
            VolumeRule::Unused => return Volume::Uncounted,
            VolumeRule::OfQuery => question.volume(),
            VolumeRule::Query(query) => {
                named = self.question(query);
                match &*named {
                    Ok(question) => Some(question.text()),
                    Err(error) => return Volume::Unknown(format!("volumeQuery: {error}")),
                }
            }
        };
        let Some(text) = text else { return Volume::Uncounted };
        volume(source.name(), &*source.ask(asker, text, max_age).await, form)
    }

    pub(super) fn source(&self, name: &str) -> Result<&Arc<Source>, String> {
        self.sources.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.sources().collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("source {name:?} is not in the operator's configuration, which has: {names}")
        })
    }

    pub(super) fn question(&self, query: &str) -> Arc<Result<Question, QuestionError>> {
        let known = self.questions.lock().unwrap_or_else(PoisonError::into_inner).get(query).cloned();
        known.unwrap_or_else(|| {
            // Parsed without the lock, so that others need not wait. Parsing twice is harmless.
            let parsed = Arc::new(Question::parse(query));
            let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
            questions.put(query.to_owned(), Arc::clone(&parsed));
            parsed
        })
    }
}
