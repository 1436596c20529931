//! Runs on a virtual clock: the files of `canary test`, and the simulated world that they and the machine's own tests share.
//!
//! A file has `tests:`. Each is a gate test (a gate, a series of results, the measurements and the verdict that are expected) or a
//! workflow test (a workflow, how its nodes, gates, router and people behave, and what is expected of the run). Nothing
//! touches a network, a process or a clock.

mod compare;
mod expect;
mod format;
mod gate;
mod play;
mod read;
mod read_workflow;
pub mod simulation;
#[cfg(test)]
mod tests;
pub mod trace;
mod words;
pub mod world;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostics, SourceFile};

pub use compare::Problem;

/// What came of a file of tests.
#[derive(Debug)]
pub struct ScenarioResult {
    /// Name of the file.
    pub file: String,
    /// What is wrong with the file itself; tests that could be read are run all the same.
    pub diagnostics: Diagnostics,
    /// Every test that could be read, in the order of the file.
    pub tests: Vec<TestResult>,
}

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// Line of its name in the file, 1-based.
    pub line: u32,
    /// What is not as expected; empty: passed.
    pub problems: Vec<Problem>,
    /// Every event with what followed, as text.
    pub trace: String,
    /// How much time passed on the virtual clock.
    pub simulated: Duration,
}

impl TestResult {
    /// Everything was as expected.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

impl ScenarioResult {
    /// The file is right and every test passed.
    pub fn passed(&self) -> bool {
        !self.diagnostics.has_errors() && self.tests.iter().all(TestResult::passed)
    }

    /// One line per test, and below a failed one what was expected and what was there; with `traces`, also what happened.
    pub fn to_text(&self, traces: bool) -> String {
        let mut text = String::new();
        for test in &self.tests {
            let word = if test.passed() { "ok  " } else { "FAIL" };
            let _ = writeln!(text, "{word} {}:{} {}", self.file, test.line, test.name);
            for problem in &test.problems {
                let place = if problem.line > 0 {
                    format!(" ({}:{})", self.file, problem.line)
                } else {
                    String::new()
                };
                let _ = writeln!(text, "  {}{place}", problem.what);
                let _ = writeln!(text, "    expected: {}", indent(&problem.expected));
                let _ = writeln!(text, "    actual:   {}", indent(&problem.actual));
            }
            if traces || !test.passed() {
                for line in test.trace.lines() {
                    let _ = writeln!(text, "  | {line}");
                }
            }
        }
        text
    }
}

fn indent(text: &str) -> String {
    text.replace('\n', "\n              ")
}

/// Runs the tests of a file. `load` gives the text of a workflow, a profile or a sub-workflow by its name in the file; it
/// is relative to the file, and whoever passes `load` decides what may be read.
pub fn run(file: SourceFile, load: &dyn Fn(&str) -> Result<String, String>) -> ScenarioResult {
    let file = Arc::new(file);
    let mut diagnostics = Diagnostics::new(Arc::clone(&file));
    let parsed = read::parse(&file, &mut diagnostics);
    let mut tests = Vec::new();
    for test in parsed.map(|parsed| parsed.tests).unwrap_or_default() {
        let outcome = match &test.kind {
            format::Kind::Gate(gate) => gate::run(gate, load, &mut diagnostics),
            format::Kind::Workflow(workflow) => play::run(workflow, load, &mut diagnostics),
        };
        tests.push(TestResult {
            name: test.name.value.clone(),
            line: test.name.span.line,
            problems: outcome.problems,
            trace: outcome.trace,
            simulated: outcome.simulated,
        });
    }
    ScenarioResult {
        file: file.name.clone(),
        diagnostics,
        tests,
    }
}

/// What came of one test, without its name.
#[derive(Debug, Default)]
struct Ran {
    problems: Vec<Problem>,
    trace: String,
    simulated: Duration,
}
