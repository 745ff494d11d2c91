//! Records when `spec.replicas` of a namespace's Deployments changed, by the local clock, from `kubectl get --watch`.

use crate::{prelude::*, stage::Stage};
use std::{
    io::{BufRead, BufReader},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Name and `spec.replicas` of a Deployment, a line for each change.
const LINE: &str = r#"jsonpath={.metadata.name} {.spec.replicas}{"\n"}"#;

type Seen = BTreeMap<String, Vec<(Instant, i64)>>;

pub struct Watch {
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

impl Watch {
    pub fn begin(stage: &Stage, namespace: &str, count: usize) -> Result<Self> {
        let mut command = stage.cluster.kubectl_command(&["--namespace", namespace, "get", "deployments"]);
        command.args(["--watch", "--output", LINE]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start kubectl")?;
        let output = child.stdout.take().context("kubectl has no output")?;
        let watch = Self { child, seen: Arc::default() };
        let seen = Arc::clone(&watch.seen);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let now = Instant::now();
                let Some((name, replicas)) = line.split_once(' ') else { continue };
                let Ok(replicas) = replicas.trim().parse() else { continue };
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.entry(name.to_owned()).or_default().push((now, replicas));
            }
        });
        crate::process::wait_for("all Deployments in the watch", Duration::from_secs(30), || {
            Ok(watch.seen().len() >= count)
        })?;
        Ok(watch)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a Deployment first wanted at least `replicas`, at or after `from`.
    pub fn reached(&self, name: &str, replicas: i64, from: Instant) -> Option<Instant> {
        let seen = self.seen();
        let changes = seen.get(name)?;
        changes.iter().find(|(at, wanted)| *at >= from && *wanted >= replicas).map(|(at, _)| *at)
    }

    pub fn wanted(&self, name: &str) -> Option<i64> {
        self.seen().get(name)?.last().map(|(_, wanted)| *wanted)
    }

    pub fn wanted_at(&self, name: &str, moment: Instant) -> Option<i64> {
        let seen = self.seen();
        seen.get(name)?.iter().take_while(|(at, _)| *at <= moment).last().map(|(_, wanted)| *wanted)
    }

    /// Waits until all of `names` have wanted at least `replicas` since `from`. Returns whether they did in time.
    pub fn wait(&self, names: &[String], replicas: i64, from: Instant, within: Duration) -> bool {
        let end = Instant::now() + within;
        loop {
            if names.iter().all(|name| self.reached(name, replicas, from).is_some()) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _gone_is_fine = self.child.kill();
        let _gone_is_fine = self.child.wait();
    }
}
