//! What becomes of one object: a watch that is read along, without a gap as long as there is an API server.

use std::{
    io::BufReader,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{sleep, spawn},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Cluster;

/// Pause before a watch that ended begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// An object as it was at some time.
#[derive(Clone)]
pub struct Sight {
    /// When the watch told of it.
    pub at: SystemTime,
    /// The object.
    pub object: Value,
}

impl Sight {
    /// An integer at a JSON pointer; 0 if there is none.
    pub fn number(&self, pointer: &str) -> i64 {
        self.object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    /// A text at a JSON pointer; empty if there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `spec.replicas`.
    pub fn wanted(&self) -> i64 {
        self.number("/spec/replicas")
    }

    /// `metadata.generation`: it grows with each change of the spec.
    pub fn generation(&self) -> i64 {
        self.number("/metadata/generation")
    }

    /// Status, reason and message of a condition, as `True Steady …`; empty without it.
    pub fn condition(&self, type_: &str) -> String {
        let conditions = self.object.pointer("/status/conditions").and_then(Value::as_array);
        let found = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.get("type").is_some_and(|t| t == type_));
        let text = |field: &str| found.and_then(|c| c.get(field)).and_then(Value::as_str).unwrap_or_default();
        format!("{} {} {}", text("status"), text("reason"), text("message")).trim().to_owned()
    }
}

/// All that was seen of one object, or of all with a label, since the trail began.
pub struct Trail {
    what: String,
    seen: Arc<Mutex<Vec<Sight>>>,
    /// The watch; `None` once the trail is over.
    watch: Arc<Mutex<Option<Child>>>,
}

impl Trail {
    /// Begins with the object as it is, which must exist.
    pub fn of(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Result<Self> {
        let trail = Self::start(cluster, namespace, &[kind, name])?;
        trail.wait("seen", Duration::from_secs(10), |_| true)?;
        Ok(trail)
    }

    /// Begins with all objects of a kind that have this label, if there are any.
    pub fn of_all(cluster: &Cluster, namespace: &str, kind: &str, label: &str) -> Result<Self> {
        Self::start(cluster, namespace, &[kind, &format!("--selector={label}")])
    }

    fn start(cluster: &Cluster, namespace: &str, which: &[&str]) -> Result<Self> {
        let what = format!("{} in {namespace}", which.join(" "));
        let mut command = Command::new(cluster.program("kubectl")?);
        command.env("KUBECONFIG", cluster.kubeconfig()).args(["--namespace", namespace]);
        command.arg("get").args(which).args(["--watch", "--output=json"]);
        command.stdout(Stdio::piped());
        let mut begin = move || -> Result<_> {
            let mut child = command.spawn()?;
            let output = child.stdout.take().context("kubectl has no output")?;
            Ok((child, output))
        };
        let (child, mut output) = begin().with_context(|| format!("cannot watch {what}"))?;
        let (seen, watch) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Some(child))));
        let (into, watched) = (Arc::clone(&seen), Arc::clone(&watch));
        spawn(move || {
            loop {
                read(output, &into);
                // Over, or the API server went away: then it begins again with the object as it is.
                sleep(AGAIN);
                let mut watch = lock(&watched);
                let Some(over) = watch.as_mut() else { return };
                let _how_it_ended = over.wait();
                let Ok((child, next)) = begin() else { return };
                (*watch, output) = (Some(child), next);
            }
        });
        Ok(Self { what, seen, watch })
    }

    /// Everything that was seen.
    pub fn all(&self) -> Vec<Sight> {
        lock(&self.seen).clone()
    }

    /// The object as it is now.
    pub fn last(&self) -> Option<Sight> {
        lock(&self.seen).last().cloned()
    }

    /// The replicas that were wanted, one after the other.
    pub fn wanted(&self) -> Vec<i64> {
        let mut wanted: Vec<i64> = self.all().iter().map(Sight::wanted).collect();
        wanted.dedup();
        wanted
    }

    /// Waits until the object is as it should be, and returns it.
    pub fn wait(&self, should: &str, within: Duration, fits: impl Fn(&Sight) -> bool) -> Result<Sight> {
        let begin = Instant::now();
        loop {
            let last = self.last();
            if let Some(sight) = last.as_ref().filter(|sight| fits(sight)) {
                return Ok(sight.clone());
            }
            if begin.elapsed() >= within {
                let seen = last.as_ref().map_or_else(|| "nothing".to_owned(), brief);
                bail!("{} was not {should} within {} s; it is {seen}", self.what, within.as_secs());
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Sees to it that the object stays as it should be, in every version, for a time.
    pub fn stays(&self, should: &str, duration: Duration, fits: impl Fn(&Sight) -> bool) -> Result<()> {
        let before = self.all().len().saturating_sub(1);
        sleep(duration);
        match self.all().iter().skip(before).find(|sight| !fits(sight)) {
            Some(sight) => bail!("{} did not stay {should}: it became {}", self.what, brief(sight)),
            None => Ok(()),
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.watch).take() {
            let _gone_is_fine = child.kill();
            let _gone_is_fine = child.wait();
        }
    }
}

fn read(output: ChildStdout, into: &Mutex<Vec<Sight>>) {
    let objects = serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
    for object in objects.map_while(Result::ok) {
        lock(into).push(Sight { at: SystemTime::now(), object });
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What matters of an object in an error message.
fn brief(sight: &Sight) -> String {
    let at = |pointer: &str| sight.object.pointer(pointer).map_or_else(|| "-".to_owned(), Value::to_string);
    format!(
        "generation {}, spec.replicas {}, ready {}, decided {}, Ready: {}",
        at("/metadata/generation"),
        at("/spec/replicas"),
        at("/status/readyReplicas"),
        at("/status/desiredReplicas"),
        sight.condition("Ready")
    )
}
