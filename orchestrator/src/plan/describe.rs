//! What a plan would do, every command in full: `canary run --dry-run`.

use std::fmt;

use canary_analyzer::duration;
use canary_analyzer::gate::Metric;
use serde_json::Value;

use super::model::{
    Action, Approval, Edge, EdgeMode, GateIndex, Join, Node, NodeIndex, OnFailure, Plan,
    SwitchCase, VerifyWeight,
};
use super::template::{Lookup, Namespace, Reference, RunValues, Script, Template};
use crate::node::spec::{HttpBody, HttpWork, JsonTemplate, ProcessSpec, QueryWork, TaskSpec, Work};

/// What a plan would do. Its [`fmt::Display`] is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Name and service.
    pub title: String,
    /// What holds for the whole run.
    pub notes: Vec<String>,
    /// Every node, in the order of the plan.
    pub steps: Vec<Step>,
}

/// What a node would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Id of the node.
    pub id: String,
    /// OSOP type.
    pub kind: String,
    /// What it is for.
    pub purpose: String,
    /// What is executed, line by line. What is only known during the run is written `<node.output>`, secrets are `***`.
    pub commands: Vec<String>,
    /// Limits, retries, approvals.
    pub terms: Vec<String>,
    /// Where its edges lead, and when.
    pub then: Vec<String>,
}

/// Describes a plan. Nothing is executed, no secret is read.
pub fn describe(plan: &Plan) -> Description {
    let mut notes = Vec::new();
    if !plan.guards.is_empty() {
        notes.push(
            "watched for as long as the canary has traffic; a failure takes it off at once:"
                .to_owned(),
        );
        notes.extend(
            plan.guards
                .iter()
                .map(|gate| format!("  {}", describe_gate(plan, *gate))),
        );
    }
    let moves = plan
        .nodes
        .iter()
        .any(|node| matches!(node.action, Action::SetWeight(_) | Action::Promote));
    if moves {
        notes.push(format!(
            "at 100 % it is watched for {} before it counts as promoted",
            duration::format(plan.bake)
        ));
        notes.push(match plan.on_failure {
            OnFailure::Rollback => {
                "a failure sets the weight to 0 before anything else happens".to_owned()
            }
            OnFailure::Hold => {
                "a failure keeps the weight and tells people (on_failure: hold)".to_owned()
            }
        });
    }
    if let Some(timeout) = plan.timeout {
        notes.push(format!(
            "the whole run may take {}",
            duration::format(timeout)
        ));
    }
    Description {
        title: format!("{} ({})", clean(&plan.name), clean(&plan.service)),
        notes,
        steps: (0..plan.nodes.len())
            .map(|node| step(plan, NodeIndex(node)))
            .collect(),
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(
                f,
                "\n{:>2}. {} ({}): {}",
                number + 1,
                step.id,
                step.kind,
                step.purpose
            )?;
            for line in &step.commands {
                writeln!(f, "      {line}")?;
            }
            for line in &step.terms {
                writeln!(f, "    {line}")?;
            }
            for line in &step.then {
                writeln!(f, "    -> {line}")?;
            }
        }
        Ok(())
    }
}

fn step(plan: &Plan, index: NodeIndex) -> Step {
    let node = plan.node(index);
    Step {
        id: node.id.clone(),
        kind: node.kind.clone(),
        purpose: clean(&node.purpose),
        commands: commands(plan, node),
        terms: terms(plan, index),
        then: plan
            .edges
            .iter()
            .filter(|edge| edge.from == index)
            .map(|edge| describe_edge(plan, edge))
            .collect(),
    }
}

fn commands(plan: &Plan, node: &Node) -> Vec<String> {
    match &node.action {
        Action::Task(task) | Action::Measure(task) => describe_task(plan, task),
        Action::Ask(approval) => vec![describe_approval("ask", approval)],
        Action::SetWeight(weight) => vec![format!(
            "set the weight to {} % and wait until it is observed",
            weight.percent()
        )],
        Action::Analyze(analyze) => {
            let long = analyze.duration.map_or_else(
                || "until every gate has decided".to_owned(),
                |long| format!("for {}", duration::format(long)),
            );
            let mut lines = vec![format!("judge {long}:")];
            lines.extend(
                analyze
                    .gates
                    .iter()
                    .map(|gate| format!("  {}", describe_gate(plan, *gate))),
            );
            lines
        }
        Action::Promote => {
            let mut lines = vec![format!(
                "set the weight to 100 % and watch it for {}",
                duration::format(plan.bake)
            )];
            lines.extend(workload(
                plan.settings
                    .workload
                    .promote
                    .as_ref()
                    .map(|text| text.value.as_str()),
            ));
            lines
        }
        Action::Rollback => {
            let mut lines = vec!["set the weight to 0 %".to_owned()];
            lines.extend(workload(
                plan.settings
                    .workload
                    .rollback
                    .as_ref()
                    .map(|text| text.value.as_str()),
            ));
            lines
        }
        Action::VerifyWeight(VerifyWeight {
            weight,
            tolerance,
            min_requests,
        }) => {
            let weight = weight.map_or_else(
                || "the weight".to_owned(),
                |weight| format!("{} %", weight.percent()),
            );
            vec![format!(
                "wait until the share of requests is {weight}, give or take {tolerance} points (at least {min_requests} requests)"
            )]
        }
        Action::Scale(count) => {
            let mut lines = vec![format!("CANARY_REPLICAS={count}")];
            lines.extend(workload(
                plan.settings
                    .workload
                    .scale
                    .as_ref()
                    .map(|text| text.value.as_str()),
            ));
            lines
        }
        Action::Call => vec!["run the sub-workflow below".to_owned()],
    }
}

fn workload(command: Option<&str>) -> Vec<String> {
    command
        .map(|text| text_lines("$ ", text))
        .unwrap_or_default()
}

fn terms(plan: &Plan, index: NodeIndex) -> Vec<String> {
    let node = plan.node(index);
    let mut terms = Vec::new();
    if let Some(approval) = &node.approval {
        terms.push(describe_approval("before that, ask", approval));
    }
    let mut limits = Vec::new();
    if let Some(timeout) = node.timeout {
        limits.push(format!("at most {}", duration::format(timeout)));
    }
    if node.retry.max_retries > 0 {
        let growing = if node.retry.exponential {
            ", doubling"
        } else {
            ""
        };
        limits.push(format!(
            "{} more attempts, {} apart{growing}",
            node.retry.max_retries,
            duration::format(node.retry.backoff)
        ));
    }
    match node.join {
        Join::Settled => {}
        Join::All => limits.push("after all of its edges".to_owned()),
        Join::Any => limits.push("after the first of its edges".to_owned()),
        Join::Count(count) => limits.push(format!("after {count} of its edges")),
    }
    if node.rollback {
        limits.push(
            "the rollback node: it runs after a failure that nothing else handles".to_owned(),
        );
    }
    if !limits.is_empty() {
        terms.push(limits.join(" · "));
    }
    terms
}

fn describe_approval(verb: &str, approval: &Approval) -> String {
    let who = if approval.approvers.is_empty() {
        "anybody who may operate the run".to_owned()
    } else {
        approval.approvers.join(", ")
    };
    let count = if approval.required > 1 {
        format!("{} of ", approval.required)
    } else {
        String::new()
    };
    let timeout = approval
        .timeout
        .map(|timeout| format!(" (at most {})", duration::format(timeout)))
        .unwrap_or_default();
    format!(
        "{verb} {count}{}: {}{timeout}",
        clean(&who),
        clean(&approval.prompt)
    )
}

fn describe_gate(plan: &Plan, index: GateIndex) -> String {
    let gate = plan.gate(index);
    let metric = match &gate.metric {
        Metric::ErrorRate => "error rate".to_owned(),
        Metric::Latency { quantile } => format!("p{} latency", quantile * 100.0),
        Metric::Query { promql, .. } => clean(promql),
    };
    format!(
        "{}: {metric} must be {}, every {} over {}",
        gate.name,
        gate.limit(),
        duration::format(gate.interval),
        duration::format(gate.window)
    )
}

fn describe_edge(plan: &Plan, edge: &Edge) -> String {
    let to = &plan.node(edge.to).id;
    let condition = |condition: &Option<canary_analyzer::expr::Condition>| {
        condition
            .as_ref()
            .map(|condition| clean(condition.source()))
    };
    let text = match &edge.mode {
        EdgeMode::Sequential | EdgeMode::Parallel => to.clone(),
        EdgeMode::Conditional(condition) => format!("{to} if {}", clean(condition.source())),
        EdgeMode::Switch(SwitchCase::When(condition)) => {
            format!("{to} if it is the first with {}", clean(condition.source()))
        }
        EdgeMode::Otherwise | EdgeMode::Switch(SwitchCase::Default) => {
            format!("{to} if no other condition holds")
        }
        EdgeMode::Fallback(test) => match condition(test) {
            Some(test) => format!("{to} if it failed; an attempt fails, too, if {test}"),
            None => format!("{to} if it failed"),
        },
        EdgeMode::Error(test) => match condition(test) {
            Some(test) => format!("{to} if it failed and {test}"),
            None => format!("{to} if it failed"),
        },
        EdgeMode::Timeout => format!("{to} if it took too long"),
        EdgeMode::Loop(test) => match condition(test) {
            Some(test) => format!("{to} again while {test}"),
            None => format!("{to} again"),
        },
    };
    if edge.back {
        format!("{text} (at most {} times)", edge.max_iterations)
    } else {
        text
    }
}

fn describe_task(plan: &Plan, task: &TaskSpec) -> Vec<String> {
    let known = Known {
        plan,
        secrets: &task.secrets,
        window: None,
    };
    let mut lines = match &task.work {
        Work::Shell(work) => {
            let shell = if work.bash {
                "bash -euo pipefail -c"
            } else {
                "sh -eu -c"
            };
            let mut lines = process_lines(&known, &work.process);
            lines.push(format!("{shell}:"));
            lines.extend(script_lines(&known, &work.script));
            lines
        }
        Work::Program(work) => {
            let mut lines = process_lines(&known, &work.process);
            let words: Vec<String> = work
                .argv
                .iter()
                .map(|word| quote(&known.text(word)))
                .collect();
            lines.push(format!("$ {}", words.join(" ")));
            lines
        }
        Work::Http(work) => request_lines(&known, work),
        Work::Query(work) => query_lines(plan, task, work),
    };
    if let Some(verify) = &task.verify {
        lines.push("whether it had finished, after a crash:".to_owned());
        lines.extend(script_lines(&known, verify));
    }
    if !task.secrets.is_empty() {
        lines.push(format!("secrets: {}", task.secrets.join(", ")));
    }
    lines
}

fn script_lines(known: &Known<'_>, script: &Script) -> Vec<String> {
    let mut lines = text_lines("  ", script.text());
    for export in script.exports().iter().filter(|export| export.required) {
        lines.push(format!(
            "  with {}={}",
            export.variable,
            quote(&known.text(&export.value))
        ));
    }
    lines
}

fn process_lines(known: &Known<'_>, process: &ProcessSpec) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(directory) = &process.working_directory {
        lines.push(format!("in {}", quote(&known.text(directory))));
    }
    for (name, value) in &process.environment {
        lines.push(format!("with {name}={}", quote(&known.text(value))));
    }
    lines
}

fn request_lines(known: &Known<'_>, work: &HttpWork) -> Vec<String> {
    let mut lines = vec![format!("{} {}", work.method, known.text(&work.url))];
    lines.extend(
        work.query
            .iter()
            .map(|(name, value)| format!("  ?{name}={}", known.text(value))),
    );
    lines.extend(
        work.headers
            .iter()
            .map(|(name, value)| format!("  {name}: {}", known.text(value))),
    );
    if let Some(secret) = &work.bearer {
        lines.push(format!("  Authorization: Bearer *** ({secret})"));
    }
    match &work.body {
        HttpBody::Empty => {}
        HttpBody::Text(text) => lines.extend(text_lines("  ", &known.text(text))),
        HttpBody::Json(json) => lines.push(format!("  {}", known.json(json))),
        HttpBody::SlackReport { channel } => lines.push(format!(
            "  the run's report, to the channel {}",
            known.text(channel)
        )),
    }
    lines
}

fn query_lines(plan: &Plan, task: &TaskSpec, work: &QueryWork) -> Vec<String> {
    let window = duration::format(work.window);
    let known = Known {
        plan,
        secrets: &task.secrets,
        window: Some(window.clone()),
    };
    let source = match &work.url {
        Some(url) => known.text(url),
        None => plan.settings.sources.prometheus.as_ref().map_or_else(
            || "Prometheus".to_owned(),
            |source| clean(&source.url.value),
        ),
    };
    let path = if work.range { "query_range" } else { "query" };
    let mut lines = Vec::new();
    if !work.wait.is_zero() {
        lines.push(format!("wait {}", duration::format(work.wait)));
    }
    lines.push(format!(
        "POST {}/api/v1/{path} over {window}, or the time since the weight was observed:",
        source.trim_end_matches('/')
    ));
    for query in &work.queries {
        let unit = match (query.unit.to_string(), query.output_unit.to_string()) {
            (from, to) if from == to => format!("in {to}"),
            (from, to) => format!("in {from}, as {to}"),
        };
        lines.push(format!("  {} ({unit}):", query.output));
        lines.extend(text_lines("    ", &known.text(&query.promql)));
    }
    lines
}

/// What is known before the run.
struct Known<'a> {
    plan: &'a Plan,
    secrets: &'a [String],
    window: Option<String>,
}

impl Known<'_> {
    fn text(&self, template: &Template) -> String {
        template
            .render(self)
            .unwrap_or_else(|_| template.source().to_owned())
            .replace('\0', " ")
    }

    fn json(&self, template: &JsonTemplate) -> Value {
        match template {
            JsonTemplate::Literal(value) => value.clone(),
            JsonTemplate::Text(text) => text.value(self).unwrap_or_else(|_| text.source().into()),
            JsonTemplate::List(items) => items.iter().map(|item| self.json(item)).collect(),
            JsonTemplate::Map(entries) => entries
                .iter()
                .map(|(name, item)| (name.clone(), self.json(item)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        super::compile::names_secret(name) || self.secrets.iter().any(|secret| secret == name)
    }
}

impl Lookup for Known<'_> {
    fn get(&self, reference: &Reference) -> Option<Value> {
        let head = reference.head();
        match reference.namespace {
            Namespace::Secrets => Some("***".into()),
            Namespace::Env | Namespace::Inputs if self.is_secret(head) => Some("***".into()),
            Namespace::Name if head == "window" => self.window.clone().map(Value::from),
            Namespace::Outputs => {
                Some(format!("<{}>", reference.to_string().trim_start_matches("outputs.")).into())
            }
            Namespace::Loop | Namespace::Name => Some(format!("<{reference}>").into()),
            Namespace::Env | Namespace::Inputs | Namespace::Metadata => RunValues {
                values: &self.plan.values,
                outputs: |_: &str, _: &str| None,
                iteration: 0,
            }
            .get(reference),
        }
    }
}

/// As one would type it in a shell.
fn quote(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '_' | '-' | '.' | '/' | ':' | '=' | '@' | '%' | '+' | ',' | '<' | '>'
            )
    };
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", clean(text).replace('\'', "'\\''"))
    }
}

fn text_lines(indent: &str, text: &str) -> Vec<String> {
    text.trim_end()
        .lines()
        .map(|line| format!("{indent}{}", clean(line)))
        .collect()
}

/// Control characters of a file must not reach a terminal.
fn clean(text: &str) -> String {
    text.trim().is_empty().then(String::new).unwrap_or_else(|| {
        text.chars()
            .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
            .collect()
    })
}
