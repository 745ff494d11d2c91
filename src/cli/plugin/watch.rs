//! `--watch`: redraws a terminal, appends changes to any other output.

use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::MissedTickBehavior;

use super::{connect::Cluster, failure::Failure, output::Form, screen::Screen, view::View};
use crate::cli::style::Style;

/// Changes within this time share a redraw.
const FRAME: Duration = Duration::from_millis(200);
/// Frames without a change until a redraw that updates the ages.
const FRAMES_OF_REST: u32 = 25;

/// Shows the service of that name, or all services, until the output is closed.
pub async fn watch(
    cluster: &Cluster,
    name: Option<&str>,
    form: Form,
    style: Style,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if let Some(name) = name {
        cluster.get(name).await?;
    }
    let config = match name {
        Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
        None => watcher::Config::default(),
    };
    let mut events = std::pin::pin!(watcher::watcher(cluster.api.clone(), config).default_backoff());
    let redraws = screen.redraws() && form.is_table();
    let mut view = View::new(form, style, name, redraws);
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rested = 0;
    loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                let changed = view.take(cluster, event)?;
                if !redraws {
                    view.append(&changed, screen)?;
                }
            }
            _ = frames.tick(), if redraws && view.started() => {
                rested += 1;
                if view.dirty() || rested >= FRAMES_OF_REST {
                    screen.redraw(&view.whole(&cluster.place())?)?;
                    rested = 0;
                }
            }
        }
    }
}
