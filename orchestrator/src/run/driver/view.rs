//! What others see of a run that is being driven.

use std::sync::Arc;

use super::RunRecord;
use crate::machine::{Report, State};

/// The present.
#[derive(Debug, Clone)]
pub struct View {
    /// The report after the last event.
    pub report: Arc<Report>,
    /// Number of the last record.
    pub seq: u64,
    /// What is wrong with driving itself (the journal cannot be written); for people.
    pub trouble: Option<String>,
    /// False once the driver has ended.
    pub driven: bool,
}

/// One record, as it was made, and the report after it.
#[derive(Debug, Clone)]
pub struct Happened {
    /// The record; it may not be safe yet.
    pub record: Arc<RunRecord>,
    /// The report after it.
    pub report: Arc<Report>,
}

/// The first answer to a person.
pub(super) struct FirstAnswer {
    pub message: String,
    pub refused: bool,
}

/// What the machine said to what a person asked for.
pub(super) fn first_answer(before: &State, after: &State, report: &Report) -> FirstAnswer {
    let refused = after.unchanged_since(before);
    match after.answers().last() {
        Some(answer) => FirstAnswer {
            message: answer.text.clone(),
            refused,
        },
        None => FirstAnswer {
            message: report.headline.clone(),
            refused,
        },
    }
}
