//! Every state of an object, as the API server reports it: nothing between two polls is missed.

use std::{
    io::BufReader,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Deserializer, Value};

use crate::stage::Stage;

/// Pause before a watch that ended (the API server is down) is begun again.
const AGAIN: Duration = Duration::from_millis(200);
/// A watch that nobody ends, because this process was killed, ends by itself.
const LONGEST: &str = "--request-timeout=10m";
/// How often a waiting call looks at the frames.
const POLL: Duration = Duration::from_millis(20);

/// A state of the object and when it arrived.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When it arrived.
    pub at: Instant,
    /// The object.
    pub object: Value,
}

/// One object, filmed by a watch until this value is dropped.
pub struct Film {
    name: String,
    reel: Arc<Reel>,
}

#[derive(Default)]
struct Reel {
    frames: Mutex<Vec<Frame>>,
    watch: Mutex<Option<Child>>,
    over: AtomicBool,
}

impl Film {
    /// Films the object `kind`/`name`, and waits for its first frame.
    pub fn start(stage: &Stage, namespace: &str, kind: &str, name: &str) -> Result<Self> {
        let kubectl = stage.cluster.program("kubectl")?;
        let kubeconfig = stage.cluster.kubeconfig().to_owned();
        let arguments = ["--namespace", namespace, "get", kind, name, "--watch", "--output=json", LONGEST]
            .map(str::to_owned);
        let reel = Arc::new(Reel::default());
        let filmed = Arc::clone(&reel);
        std::thread::spawn(move || {
            while !filmed.over.load(Ordering::Acquire) {
                let mut command = Command::new(&kubectl);
                command.args(&arguments).env("KUBECONFIG", &kubeconfig);
                // Its failure shows in the frames that do not come.
                let _ =
                    filmed.shoot(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
                sleep(AGAIN);
            }
        });
        let film = Self { name: format!("{kind} {name}"), reel };
        film.wait("its first frame", Instant::now(), Duration::from_secs(15), |_| true)?;
        Ok(film)
    }

    /// The state that held at `from`, and all later ones.
    pub fn since(&self, from: Instant) -> Vec<Frame> {
        let frames = lock(&self.reel.frames);
        let first = frames.iter().rposition(|frame| frame.at <= from).unwrap_or(0);
        frames.iter().skip(first).cloned().collect()
    }

    /// The newest state.
    pub fn last(&self) -> Result<Value> {
        let frames = lock(&self.reel.frames);
        let last = frames.last().with_context(|| format!("{} was never seen", self.name))?;
        Ok(last.object.clone())
    }

    /// Waits until a state that held at `from` or came later fits. Returns how long after `from` it came.
    pub fn wait(
        &self,
        what: &str,
        from: Instant,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Duration> {
        loop {
            if let Some(frame) = self.since(from).into_iter().find(|frame| fits(&frame.object)) {
                return Ok(frame.at.saturating_duration_since(from));
            }
            if from.elapsed() > within {
                let last = self.last().map(|object| summary(&object)).unwrap_or_default();
                bail!("{}: {what}: not within {:.0} s; it is {last}", self.name, within.as_secs_f64());
            }
            sleep(POLL);
        }
    }
}

impl Reel {
    fn shoot(&self, command: &mut Command) -> Result<()> {
        let mut watch = command.spawn()?;
        let output = watch.stdout.take().context("kubectl has no output")?;
        *lock(&self.watch) = Some(watch);
        for object in Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>() {
            let object = object?;
            lock(&self.frames).push(Frame { at: Instant::now(), object });
        }
        self.cut();
        Ok(())
    }

    fn cut(&self) {
        if let Some(mut watch) = lock(&self.watch).take() {
            let _gone_is_fine = watch.kill();
            let _gone_is_fine = watch.wait();
        }
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.reel.over.store(true, Ordering::Release);
        self.reel.cut();
    }
}

/// Text at a path in an object.
pub fn text(object: &Value, path: &str) -> String {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Number at a path in an object, 0 where there is none.
pub fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

/// What a condition says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// True, False or Unknown.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// A condition of an object.
pub fn condition(object: &Value, type_: &str) -> Said {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == type_);
    found.map_or_else(Said::default, |condition| Said {
        status: text(condition, "/status"),
        reason: text(condition, "/reason"),
        message: text(condition, "/message"),
    })
}

fn summary(object: &Value) -> String {
    let ready = condition(object, "Ready");
    let replicas = object.pointer("/spec/replicas").map(|replicas| format!("{replicas} replicas"));
    replicas.unwrap_or_else(|| format!("Ready {} {} {}", ready.status, ready.reason, ready.message))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
