//! What a file of `canary test` holds.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::gate::Phase;
use canary_traffic::Weight;
use serde_json::Value as Json;

use crate::diagnostic::Span;
use crate::machine::{NodeStatus, OperatorAction};
use crate::osop::model::Text;

/// A file of tests.
#[derive(Debug)]
pub(super) struct TestFile {
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug)]
pub(super) struct Test {
    pub name: Text,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Gate(Box<GateTest>),
    Workflow(Box<WorkflowTest>),
}

/// Where a plan comes from.
#[derive(Debug, Default, Clone)]
pub(super) struct From {
    pub workflow: Option<Text>,
    pub profile: Option<Text>,
    pub set: Vec<(String, String)>,
    pub environment: BTreeMap<String, String>,
}

/// A gate, a series of results, and what comes of them.
#[derive(Debug)]
pub(super) struct GateTest {
    pub from: From,
    pub gate: GateRef,
    pub results: Vec<Sample>,
    /// Absence of data is pending for this long.
    pub pending: Duration,
    pub measurements: Option<Vec<WantedMeasurement>>,
    pub verdict: Option<Text>,
}

#[derive(Debug)]
pub(super) enum GateRef {
    Named(Text),
    /// Written as under `x-canary.gates`.
    Inline(Json, Span),
}

/// What a source answers.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub says: Says,
    pub requests: Option<u64>,
    pub warnings: Vec<String>,
    /// How long the answer takes.
    pub after: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Says {
    Value(f64),
    Empty,
    Series(Vec<f64>),
    Error(String),
    Hang,
}

#[derive(Debug)]
pub(super) struct WantedMeasurement {
    pub phase: Option<Phase>,
    pub contains: Option<String>,
    pub span: Span,
}

/// A workflow, how its world behaves, and what is expected.
#[derive(Debug)]
pub(super) struct WorkflowTest {
    pub from: From,
    pub span: Span,
    pub hold: bool,
    /// Of the router, before the run.
    pub weight: Weight,
    pub nodes: Vec<(Text, Vec<NodeAnswer>)>,
    pub gates: Vec<(Text, Vec<Timed>)>,
    pub router: Vec<RouterFault>,
    pub happens: Vec<(Duration, Happens)>,
    pub until: Duration,
    pub expect: Expect,
}

/// How one attempt of a node ends.
#[derive(Debug, Clone)]
pub(super) struct NodeAnswer {
    /// `None`: it hangs.
    pub status: Option<NodeStatus>,
    pub after: Duration,
    pub outputs: BTreeMap<String, Json>,
    pub error: Option<String>,
    pub verify: Option<Result<bool, String>>,
}

/// What a source answers from a time on, and while the canary has that weight.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    pub from: Duration,
    pub weight: Option<Weight>,
    pub sample: Sample,
}

/// What is wrong with the router for a while.
#[derive(Debug, Clone)]
pub(super) struct RouterFault {
    pub from: Duration,
    pub to: Duration,
    pub fault: Fault,
}

#[derive(Debug, Clone)]
pub(super) enum Fault {
    Error(String),
    Pending(String),
    Hang,
}

#[derive(Debug, Clone)]
pub(super) enum Happens {
    Operator(OperatorAction, String, Option<String>),
    Foreign(Weight, String),
    Crash(Duration),
}

/// Weights in the order in which they are set, some with the time; and where that is written.
pub(super) type WantedWeights = (Vec<(Weight, Option<Duration>)>, Span);

/// What is expected of a run.
#[derive(Debug, Default)]
pub(super) struct Expect {
    pub outcome: Option<Text>,
    pub exit: Option<u8>,
    pub path: Option<(Vec<String>, Span)>,
    pub status: Vec<(Text, Text)>,
    pub weights: Option<WantedWeights>,
    pub notifications: Vec<WantedNews>,
    pub at: Vec<WantedMoment>,
}

#[derive(Debug)]
pub(super) struct WantedNews {
    pub topic: Option<Text>,
    pub contains: Option<String>,
    pub span: Span,
}

/// What is expected at a time.
#[derive(Debug)]
pub(super) struct WantedMoment {
    pub time: Duration,
    pub phase: Option<Text>,
    pub weight: Option<Weight>,
    pub waits: Option<String>,
    pub headline: Option<String>,
    pub span: Span,
}
