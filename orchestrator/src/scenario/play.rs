//! Workflow tests: a plan, a world that does as the file says, and a comparison at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::evidence::{Answer, Labels, QueryValue, SourceError};
use canary_analyzer::gate::{Gate, Measurement, Metric};
use canary_traffic::Weight;
use jiff::Timestamp;

use super::Ran;
use super::compare::{Problem, compare, compare_moment};
use super::format::{
    Fault, From, Happens, NodeAnswer, RouterFault, Sample, Says, Timed, WorkflowTest,
};
use super::simulation::{Happening, Simulation};
use super::trace::trace;
use super::world::{RouterAnswer, World};
use crate::diagnostic::to_lines;
use crate::diagnostic::{Diagnostics, codes, did_you_mean, quote};
use crate::machine::{Cost, NodeResult, NodeStatus, Watch, report};
use crate::plan::{GateIndex, Inputs, NodeIndex, OnFailure, Plan, compile};

/// Files of one plan.
const MOST_FILES: usize = 64;

/// When simulated runs start; no test can see it.
pub(super) const START: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Makes the plan of a test; a problem says why there is none.
pub(super) fn plan_of(
    from: &From,
    hold: bool,
    load: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Plan, Problem> {
    let Some(workflow) = &from.workflow else {
        return Err(problem(0, "workflow", "a file", "none is named"));
    };
    let line = workflow.span.line;
    let text = load(&workflow.value)
        .map_err(|error| problem(line, "workflow", &workflow.value, &error))?;
    let mut inputs = Inputs::new(workflow.value.clone(), text);
    if let Some(profile) = &from.profile {
        let text = load(&profile.value)
            .map_err(|error| problem(profile.span.line, "profile", &profile.value, &error))?;
        inputs = inputs.with_profile(profile.value.clone(), text);
    }
    inputs.sets.clone_from(&from.set);
    inputs.environment.clone_from(&from.environment);
    if hold {
        inputs.on_failure = Some(OnFailure::Hold);
    }
    for _ in 0..MOST_FILES {
        let mut found = false;
        for name in inputs.missing_files() {
            if let Ok(text) = load(&name) {
                inputs.files.insert(name, text);
                found = true;
            }
        }
        if !found {
            break;
        }
    }
    match compile(&inputs) {
        (Some(plan), _) => Ok(plan),
        (None, diagnostics) => Err(problem(
            line,
            "workflow",
            "a plan",
            to_lines(&diagnostics).trim_end(),
        )),
    }
}

pub(super) fn problem(line: u32, what: &str, expected: &str, actual: &str) -> Problem {
    Problem {
        line,
        what: what.to_owned(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    }
}

/// Runs one workflow test.
pub(super) fn run(
    test: &WorkflowTest,
    load: &dyn Fn(&str) -> Result<String, String>,
    d: &mut Diagnostics,
) -> Ran {
    let plan = match plan_of(&test.from, test.hold, load) {
        Ok(plan) => plan,
        Err(problem) => {
            return Ran {
                problems: vec![problem],
                ..Ran::default()
            };
        }
    };
    if !names_exist(test, &plan, d) {
        let actual = "the file names nodes or gates that the workflow does not have";
        return Ran {
            problems: vec![problem(
                test.span.line,
                "test",
                "a test that fits its workflow",
                actual,
            )],
            ..Ran::default()
        };
    }
    let mut simulation = Simulation::new(&plan, Script { test, plan: &plan }, START, test.weight);
    for (at, what) in &test.happens {
        let what = match what {
            Happens::Operator(action, by, reason) => {
                Happening::Operator(action.clone(), by.clone(), reason.clone())
            }
            Happens::Foreign(weight, by) => Happening::Foreign(*weight, by.clone()),
            Happens::Crash(down) => Happening::Crash(*down),
        };
        simulation.happens(later(*at), what);
    }
    simulation.start();
    let mut problems = Vec::new();
    let mut moments: Vec<_> = test.expect.at.iter().collect();
    moments.sort_by_key(|moment| moment.time);
    for wanted in moments {
        simulation.run_until(later(wanted.time));
        let seen = report(&plan, simulation.state(), later(wanted.time));
        compare_moment(wanted, simulation.weight().percent(), &seen, &mut problems);
    }
    simulation.run_until(later(test.until));
    let seen = report(&plan, simulation.state(), simulation.now());
    compare(
        &plan,
        &test.expect,
        &simulation,
        START,
        &seen,
        &mut problems,
    );
    problems.sort_by_key(|problem| problem.line);
    Ran {
        problems,
        trace: trace(&plan, &simulation.moments),
        simulated: Duration::try_from(simulation.now().duration_since(START)).unwrap_or_default(),
    }
}

fn later(after: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(after)
        .ok()
        .and_then(|after| START.checked_add(after).ok())
        .unwrap_or(Timestamp::MAX)
}

fn names_exist(test: &WorkflowTest, plan: &Plan, d: &mut Diagnostics) -> bool {
    let before = d.len();
    let nodes: Vec<&str> = plan.nodes.iter().map(|node| node.id.as_str()).collect();
    let gates: Vec<&str> = plan.gates.iter().map(|gate| gate.name.as_str()).collect();
    let asked = test
        .nodes
        .iter()
        .map(|(id, _)| id)
        .chain(test.expect.status.iter().map(|(id, _)| id));
    for id in asked {
        if !nodes.contains(&id.value.as_str()) {
            d.error(
                codes::UNKNOWN_NODE,
                id.span,
                format!("the workflow has no node {}", quote(&id.value)),
            )
            .help_opt(did_you_mean(&id.value, nodes.iter().copied()));
        }
    }
    for (name, _) in &test.gates {
        if !gates.contains(&name.value.as_str()) {
            d.error(
                codes::UNKNOWN_GATE,
                name.span,
                format!("the workflow has no gate {}", quote(&name.value)),
            )
            .help_opt(did_you_mean(&name.value, gates.iter().copied()));
        }
    }
    d.len() == before
}

/// The world of a file.
struct Script<'t> {
    test: &'t WorkflowTest,
    plan: &'t Plan,
}

impl Script<'_> {
    fn answer(&self, node: NodeIndex, attempt: u32) -> Option<&NodeAnswer> {
        let id = &self.plan.node(node).id;
        let (_, answers) = self.test.nodes.iter().find(|(name, _)| name.value == *id)?;
        let index = usize::try_from(attempt)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        answers.get(index).or(answers.last())
    }

    fn result(&self, node: NodeIndex, attempt: u32) -> Option<(Duration, NodeResult)> {
        let Some(answer) = self.answer(node, attempt) else {
            let result = NodeResult {
                status: NodeStatus::Completed,
                outputs: BTreeMap::new(),
                error: None,
            };
            return Some((Duration::from_secs(1), result));
        };
        let status = answer.status?;
        let error = answer
            .error
            .clone()
            .or_else(|| (status != NodeStatus::Completed).then(|| "the test says so".to_owned()));
        Some((
            answer.after,
            NodeResult {
                status,
                outputs: answer.outputs.clone(),
                error,
            },
        ))
    }
}

impl World for Script<'_> {
    fn node(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        _: Timestamp,
    ) -> Option<(Duration, NodeResult)> {
        self.result(node, attempt)
    }

    fn cancel(&mut self, _: NodeIndex, _: u32, _: Timestamp) -> Option<(Duration, NodeResult)> {
        let result = NodeResult {
            status: NodeStatus::Cancelled,
            outputs: BTreeMap::new(),
            error: None,
        };
        Some((Duration::from_millis(100), result))
    }

    fn verify(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        _: Timestamp,
    ) -> Option<(Duration, Result<bool, String>)> {
        let said = self
            .answer(node, attempt)
            .and_then(|answer| answer.verify.clone());
        Some((
            Duration::from_secs(1),
            said.unwrap_or_else(|| Err("the test does not say".to_owned())),
        ))
    }

    fn workload(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        _: Timestamp,
    ) -> Option<(Duration, NodeResult)> {
        self.result(node, attempt)
    }

    fn measure(
        &mut self,
        gate: GateIndex,
        _: Watch,
        _: Timestamp,
        at: Timestamp,
        weight: Weight,
    ) -> Option<(Duration, Measurement)> {
        let gate = self.plan.gate(gate);
        let elapsed = Duration::try_from(at.duration_since(START)).unwrap_or_default();
        let samples = self
            .test
            .gates
            .iter()
            .find(|(name, _)| name.value == gate.name)
            .map_or(&[][..], |(_, samples)| samples);
        let fits =
            |one: &&Timed| one.from <= elapsed && one.weight.is_none_or(|only| only == weight);
        let nothing = Sample {
            says: Says::Empty,
            requests: None,
            warnings: Vec::new(),
            after: Duration::ZERO,
        };
        let sample = samples
            .iter()
            .rev()
            .find(fits)
            .map_or(&nothing, |one| &one.sample);
        measure(gate, sample, at)
    }

    fn router(
        &mut self,
        _: Option<Weight>,
        at: Timestamp,
    ) -> Option<(Duration, Result<RouterAnswer, String>)> {
        let elapsed = Duration::try_from(at.duration_since(START)).unwrap_or_default();
        let now = |fault: &&RouterFault| fault.from <= elapsed && elapsed < fault.to;
        let answer = match self.test.router.iter().find(now).map(|fault| &fault.fault) {
            Some(Fault::Hang) => return None,
            Some(Fault::Error(error)) => Err(error.clone()),
            Some(Fault::Pending(why)) => Ok(RouterAnswer {
                pending: Some(why.clone()),
                seen: None,
            }),
            None => Ok(RouterAnswer::default()),
        };
        Some((Duration::from_millis(10), answer))
    }

    fn cost(&mut self, _: Timestamp) -> Option<Cost> {
        None
    }
}

/// How a gate reads one result: exactly as it reads a source's. `None`: there is never an answer.
pub(super) fn measure(
    gate: &Gate,
    sample: &Sample,
    at: Timestamp,
) -> Option<(Duration, Measurement)> {
    // The service's own metrics come to one number too; the test says it in the gate's unit.
    let metric = Metric::Query {
        promql: String::new(),
        source_unit: gate.unit,
    };
    let asked = match gate.metric {
        Metric::Query { .. } => gate.clone(),
        Metric::ErrorRate | Metric::Latency { .. } => Gate {
            metric,
            ..gate.clone()
        },
    };
    let vector = |values: &[f64]| {
        let labelled = values.iter().enumerate().map(|(index, value)| {
            let labels = Labels::from([("series".to_owned(), index.to_string())]);
            (labels, *value)
        });
        QueryValue::Vector(labelled.collect())
    };
    let value = match &sample.says {
        Says::Value(value) => Ok(QueryValue::Vector(vec![(Labels::new(), *value)])),
        Says::Empty => Ok(QueryValue::Vector(Vec::new())),
        Says::Series(values) => Ok(vector(values)),
        Says::Error(reason) => Err(SourceError::Unreachable {
            tried: "the test's source".to_owned(),
            reason: reason.clone(),
        }),
        Says::Hang => return None,
    };
    let answer = value.map(|value| Answer {
        value,
        warnings: sample.warnings.clone(),
        infos: Vec::new(),
        at,
    });
    // A test that says nothing of requests is not about them.
    let asked = match sample.requests {
        Some(_) => asked,
        None => Gate {
            min_requests: 0,
            ..asked
        },
    };
    let measurement = asked.measure_answer(&answer, sample.requests, at);
    Some((sample.after, measurement))
}
