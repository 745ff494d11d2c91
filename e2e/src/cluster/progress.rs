//! Progress of the cluster's creation: one line for each step, on standard error.

use crate::prelude::*;

pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = work().with_context(|| format!("{name} failed"))?;
    eprintln!("  {name:<34} {:>6.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}

pub fn note(text: &str) {
    eprintln!("  {text}");
}
