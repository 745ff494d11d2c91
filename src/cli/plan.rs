//! `plimsoll plan`: the arbiter as a filter, without a cluster. Each input line has what is known at a moment, each output line
//! what the budgets grant.

mod answer;
mod files;
mod line;

use std::io::{self, BufRead, Write};

pub use self::{
    answer::{BudgetAnswer, ConsumerAnswer, GrantsLine, ReasonLine, ServiceAnswer},
    files::{Files, PlanError},
    line::{BudgetLine, NodeLine, PlanLine, ResourcesLine, ServiceLine},
};
use super::filter;
use plimsoll_engine::capacity::{self, CapacityMemory};

/// Answers every line of `input` on `output`. Returns the number of lines that could not be used.
///
/// # Errors
/// Standard input or output failed.
pub fn run(files: &Files, input: impl BufRead, output: impl Write) -> io::Result<usize> {
    let mut memory = CapacityMemory::default();
    let mut last = None;
    filter::run(input, output, |bytes| {
        let line = line::read(bytes, files)?;
        last.map_or(Ok(()), |last| filter::in_order(line.time, last))?;
        last = Some(line.time);
        let facts = line.facts(files);
        let grants = capacity::grant(&facts, &mut memory, filter::timestamp(line.time));
        Ok(answer::line(line.time, &facts, &grants))
    })
}
