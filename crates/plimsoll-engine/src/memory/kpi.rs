//! What is remembered of one KPI.

use jiff::Timestamp;

use crate::{burst::Scrapes, evidence::EvidenceMemory, objective::Breach};
use plimsoll_api::{KpiRule, KpiType};

/// The past of one KPI.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KpiMemory {
    /// What it belongs to; `None` if nothing is remembered yet.
    pub question: Option<Question>,
    /// What its samples are judged by.
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

/// What a KPI asks, and how the answer is read. What is remembered of another question says nothing.
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
