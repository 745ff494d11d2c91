//! Memory of one KPI.

use jiff::Timestamp;

use crate::{burst::Scrapes, evidence::EvidenceMemory, objective::Breach};
use plimsoll_api::{KpiRule, KpiType};

/// Memory of one KPI.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KpiMemory {
    /// The query that it belongs to; `None` until a turn sets it.
    pub question: Option<Question>,
    /// Memory for grading its samples.
    pub evidence: EvidenceMemory,
    /// The last scrapes of a Load.
    pub scrapes: Scrapes,
    /// The breach of an Objective.
    pub breach: Option<Breach>,
}

impl KpiMemory {
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.evidence.clock_set_back(now);
        self.scrapes.clock_set_back(now);
        self.breach.iter_mut().for_each(|breach| breach.clock_set_back(now));
    }
}

/// Identity of a KPI's query: its source, text and type. The memory of one query does not apply to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    source: String,
    query: String,
    type_: KpiType,
}

impl Question {
    pub fn is_of(&self, rule: &KpiRule) -> bool {
        self.query == rule.query && self.source == rule.source && self.type_ == rule.goal.kpi_type()
    }

    pub fn of(rule: &KpiRule) -> Self {
        Self { source: rule.source.clone(), query: rule.query.clone(), type_: rule.goal.kpi_type() }
    }
}
