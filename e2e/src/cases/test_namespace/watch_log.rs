//! A log of all versions of an object, from a watch, without a gap while the API server is up.

use crate::{cluster::Cluster, prelude::*};
use serde_json::Deserializer;
use std::{
    io::BufReader,
    ops::Deref,
    process::ChildStdout,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::spawn,
};

/// Pause before an ended watch is restarted.
const AGAIN: Duration = Duration::from_millis(200);
/// Timeout of a watch, which ends it if this process was killed.
const LONGEST: &str = "--request-timeout=10m";
const POLL: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub struct Snapshot {
    pub at: SystemTime,
    object: Value,
}

impl Deref for Snapshot {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.object
    }
}

/// All versions of one object, or of all objects with a label, since the watch began.
pub struct WatchLog {
    what: String,
    seen: Arc<Mutex<Vec<Snapshot>>>,
    watch: Arc<Mutex<Watch>>,
}

#[derive(Default)]
struct Watch {
    process: Option<Child>,
    is_over: bool,
}

impl WatchLog {
    /// Begins with the object as it is, which must exist.
    pub fn of(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Result<Self> {
        let watch_log = Self::start(cluster, namespace, &[kind, name])?;
        watch_log.wait("seen", Duration::from_secs(15), |_| true)?;
        Ok(watch_log)
    }

    /// Begins with all objects of a kind that have this label, if there are any.
    pub fn of_all(cluster: &Cluster, namespace: &str, kind: &str, label: &str) -> Result<Self> {
        Self::start(cluster, namespace, &[kind, &format!("--selector={label}")])
    }

    fn start(cluster: &Cluster, namespace: &str, which: &[&str]) -> Result<Self> {
        let mut command = cluster.kubectl_command(&["--namespace", namespace, "get"]);
        command.args(which).args(["--watch", "--output=json", LONGEST]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (seen, watch) = <(Arc<Mutex<Vec<Snapshot>>>, Arc<Mutex<Watch>>)>::default();
        let (into, watched) = (Arc::clone(&seen), Arc::clone(&watch));
        spawn(move || {
            loop {
                // After the API server was down, the watch begins again with the present object.
                let output = lock(&watched).begin(&mut command);
                let Some(output) = output else { return };
                let objects = Deserializer::from_reader(BufReader::new(output)).into_iter();
                for object in objects.map_while(Result::ok) {
                    lock(&into).push(Snapshot { at: SystemTime::now(), object });
                }
                sleep(AGAIN);
            }
        });
        Ok(Self { what: format!("{} in {namespace}", which.join(" ")), seen, watch })
    }

    pub fn all(&self) -> Vec<Snapshot> {
        lock(&self.seen).clone()
    }

    /// The version at a moment, and all later ones.
    pub fn since(&self, from: SystemTime) -> Vec<Snapshot> {
        let seen = lock(&self.seen);
        let first = seen.iter().rposition(|snapshot| snapshot.at <= from).unwrap_or(0);
        seen.iter().skip(first).cloned().collect()
    }

    pub fn last(&self) -> Result<Snapshot> {
        lock(&self.seen).last().cloned().with_context(|| format!("{} was never seen", self.what))
    }

    pub fn wanted(&self) -> Vec<i64> {
        let mut wanted: Vec<i64> = lock(&self.seen).iter().map(|snapshot| snapshot.wanted()).collect();
        wanted.dedup();
        wanted
    }

    /// Waits until the object fits, and returns it.
    pub fn wait(&self, should: &str, within: Duration, fits: impl Fn(&Snapshot) -> bool) -> Result<Snapshot> {
        self.find(should, SystemTime::now(), within, |watch_log| watch_log.last().ok().filter(&fits))
    }

    /// Waits until a version of the object fits, within this time from a moment on, even if a later one does not. Returns the
    /// seconds after that moment.
    pub fn wait_since(
        &self,
        should: &str,
        from: SystemTime,
        within: Duration,
        fits: impl Fn(&Snapshot) -> bool,
    ) -> Result<f64> {
        let found =
            self.find(should, from, within, |watch_log| watch_log.since(from).into_iter().find(&fits))?;
        Ok(found.at.duration_since(from).unwrap_or_default().as_secs_f64())
    }

    fn find(
        &self,
        should: &str,
        from: SystemTime,
        within: Duration,
        look: impl Fn(&Self) -> Option<Snapshot>,
    ) -> Result<Snapshot> {
        loop {
            if let Some(snapshot) = look(self) {
                return Ok(snapshot);
            }
            if from.elapsed().unwrap_or_default() >= within {
                let seen = self.last().map_or_else(|_| "nothing".to_owned(), |last| brief(&last));
                bail!("{} was not {should} within {} s; it is {seen}", self.what, within.as_secs());
            }
            sleep(POLL);
        }
    }

    /// Checks for this time that every version of the object fits.
    pub fn stays(&self, should: &str, duration: Duration, fits: impl Fn(&Snapshot) -> bool) -> Result<()> {
        let before = SystemTime::now();
        sleep(duration);
        match self.since(before).iter().find(|snapshot| !fits(snapshot)) {
            Some(snapshot) => bail!("{} did not stay {should}: it became {}", self.what, brief(snapshot)),
            None => Ok(()),
        }
    }
}

impl Watch {
    fn begin(&mut self, command: &mut Command) -> Option<ChildStdout> {
        if let Some(mut ended) = self.process.take() {
            let _ignored = ended.wait();
        }
        if self.is_over {
            return None;
        }
        self.process = command.spawn().ok();
        self.process.as_mut()?.stdout.take()
    }
}

impl Drop for WatchLog {
    fn drop(&mut self) {
        let mut watch = lock(&self.watch);
        watch.is_over = true;
        if let Some(process) = &mut watch.process {
            let _may_have_ended = process.kill();
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn brief(object: &Value) -> String {
    let at = |pointer: &str| object.pointer(pointer).map_or_else(|| "-".to_owned(), Value::to_string);
    format!(
        "generation {}, spec.replicas {}, ready {}, decided {}, Ready: {}",
        at("/metadata/generation"),
        at("/spec/replicas"),
        at("/status/readyReplicas"),
        at("/status/desiredReplicas"),
        object.says("Ready")
    )
}
