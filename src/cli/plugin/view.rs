//! The objects of a watch, rendered as a whole or only where they changed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{
    core::DynamicObject,
    runtime::watcher::{self, Event},
};

use super::{args::Output, connect::Cluster, failure::Failure, output::Form, screen::Screen};
use crate::cli::style::{Paint, Style};

/// Namespace and name.
pub type Key = (String, String);

/// etcd has compacted the resourceVersion of the watch; the watcher lists again on its own.
const GONE: u16 = 410;

/// The state of a watch.
pub struct View<'a> {
    form: Form,
    style: Style,
    name: Option<&'a str>,
    objects: BTreeMap<Key, DynamicObject>,
    /// The objects received so far of the list that starts a watch.
    listed: BTreeSet<Key>,
    started: bool,
    /// Whether the header of the table was shown.
    headed: bool,
    /// Why the watch is interrupted, if it is.
    trouble: Option<String>,
    /// Whether the terminal is redrawn and shows `trouble`; a stream gets it on standard error.
    redraws: bool,
    dirty: bool,
}

impl<'a> View<'a> {
    /// An empty view.
    pub fn new(form: Form, style: Style, name: Option<&'a str>, redraws: bool) -> Self {
        Self {
            form,
            style,
            name,
            objects: BTreeMap::new(),
            listed: BTreeSet::new(),
            started: false,
            headed: false,
            trouble: None,
            redraws,
            dirty: true,
        }
    }

    /// Whether the first list is complete.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether something changed since the last [`Self::whole`].
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    /// Applies an event; returns the keys of the changed objects.
    pub fn take(
        &mut self,
        cluster: &Cluster,
        event: Result<Event<DynamicObject>, watcher::Error>,
    ) -> Result<Vec<Key>, Failure> {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.interrupted(cluster, &error),
        };
        // Init only announces a list, which may fail again.
        if !matches!(event, Event::Init) {
            self.dirty |= self.trouble.take().is_some();
        }
        let changed = match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let key = key(&object);
                self.listed.insert(key.clone());
                let changed = self.put(key.clone(), cluster.complete(object));
                if changed && self.started { vec![key] } else { Vec::new() }
            }
            Event::InitDone => {
                let deleted: Vec<Key> =
                    self.objects.keys().filter(|key| !self.listed.contains(key)).cloned().collect();
                deleted.iter().for_each(|key| drop(self.objects.remove(key)));
                let first = !std::mem::replace(&mut self.started, true);
                if first { self.objects.keys().cloned().collect() } else { deleted }
            }
            Event::Apply(object) => {
                let key = key(&object);
                if self.put(key.clone(), cluster.complete(object)) { vec![key] } else { Vec::new() }
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.objects.remove(&key);
                vec![key]
            }
        };
        self.dirty |= !changed.is_empty();
        Ok(changed)
    }

    /// Stores the object; returns whether it differs from the stored one.
    fn put(&mut self, key: Key, object: DynamicObject) -> bool {
        self.objects.get(&key) != Some(&object) && {
            self.objects.insert(key, object);
            true
        }
    }

    /// Continues if the watch may recover. A failure of the first list or a lost permission ends it.
    fn interrupted(&mut self, cluster: &Cluster, error: &watcher::Error) -> Result<Vec<Key>, Failure> {
        let failure = match error {
            watcher::Error::WatchError(status) if status.code == GONE => return Ok(Vec::new()),
            watcher::Error::InitialListFailed(error) => cluster.failure("list", None, error),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                cluster.failure("watch", None, error)
            }
            watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => {
                Failure::Refused { verb: "watch", place: cluster.scope(), why: error.to_string() }
            }
        };
        if !self.started || !failure.may_pass() {
            return Err(failure);
        }
        self.dirty = true;
        if self.trouble.replace(failure.to_string()).is_none() && !self.redraws {
            eprintln!("warning: {failure}; retrying");
        }
        Ok(Vec::new())
    }

    /// All objects, for a terminal.
    pub fn whole(&mut self, place: &str) -> Result<String, Failure> {
        self.dirty = false;
        let objects: Vec<DynamicObject> = self.objects.values().cloned().collect();
        let mut text = match (objects.is_empty(), self.name) {
            (true, Some(name)) => format!("ScalableService {name} was deleted.\n"),
            (true, None) => format!("No ScalableServices {place}.\n"),
            (false, _) => self.form.render(&objects, Timestamp::now(), &self.style)?,
        };
        if let Some(trouble) = &self.trouble {
            text += &self.style.paint(Paint::Warn, &format!("\n⚠ {trouble}; retrying\n"));
        }
        Ok(text)
    }

    /// The changed objects, for a stream.
    pub fn append(&mut self, changed: &[Key], screen: &mut Screen) -> Result<(), Failure> {
        for (namespace, name) in changed.iter().filter(|key| !self.objects.contains_key(key)) {
            eprintln!("{namespace}/{name} was deleted");
        }
        if changed.is_empty() {
            return Ok(());
        }
        if self.form.is_table() && self.name.is_none() {
            return screen.append(&self.rows(changed)?);
        }
        for object in changed.iter().filter_map(|key| self.objects.get(key)) {
            let text = if self.form.is_table() {
                self.form.render(std::slice::from_ref(object), Timestamp::now(), &self.style)? + "\n"
            } else {
                self.form.data(object)?
            };
            let start = if self.form.output == Output::Yaml { "---\n" } else { "" };
            screen.append(&format!("{start}{text}"))?;
        }
        Ok(())
    }

    /// The rows of the changed objects with the column widths of the whole table, below its header the first time.
    fn rows(&mut self, changed: &[Key]) -> Result<String, Failure> {
        let objects: Vec<DynamicObject> = self.objects.values().cloned().collect();
        let whole = self.form.render(&objects, Timestamp::now(), &self.style)?;
        let mut lines = whole.lines();
        let header =
            lines.next().filter(|_| !objects.is_empty() && !std::mem::replace(&mut self.headed, true));
        let rows =
            self.objects.keys().zip(lines).filter(|(key, _)| changed.contains(key)).map(|(_, row)| row);
        Ok(header.into_iter().chain(rows).map(|line| format!("{line}\n")).collect())
    }
}

fn key(object: &DynamicObject) -> Key {
    (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone().unwrap_or_default())
}
