//! Nodes: which type is carried out how (S15), and what all types have in common.

use std::time::Duration;

use super::Compiler;
use super::frame::Frame;
use super::read::Cx;
use super::units;
use crate::diagnostic::{codes, quote};
use crate::node::spec::{TaskSpec, Work};
use crate::osop::model::{Backoff, EdgeMode, JoinMode, NodeType};
use crate::plan::model::{Action, Join, Node, Output, Retry};
use crate::plan::template::Script;

/// What a node does, and what follows from it.
pub(super) struct Built {
    /// There is an error; the action stands for what is not known.
    pub(super) refused: bool,
    pub(super) action: Action,
    /// Running it twice does no harm.
    pub(super) idempotent: bool,
    /// It may hang in the network; requests of canary itself are bounded anyway.
    pub(super) network: bool,
}

/// A piece of work, before secrets and `verify` are added.
pub(super) struct Made {
    pub(super) work: Work,
    pub(super) idempotent: bool,
    pub(super) network: bool,
}

impl Built {
    /// What canary does itself.
    fn native(action: Action) -> Self {
        Self {
            refused: false,
            action,
            idempotent: true,
            network: false,
        }
    }

    /// There is an error, so this plan is never run.
    fn refused() -> Self {
        Self {
            refused: true,
            ..Self::native(Action::Rollback)
        }
    }
}

impl Made {
    pub(super) fn local(work: Work, idempotent: bool) -> Self {
        Self {
            work,
            idempotent,
            network: false,
        }
    }

    pub(super) fn network(work: Work, idempotent: bool) -> Self {
        Self {
            work,
            idempotent,
            network: true,
        }
    }
}

impl Compiler<'_> {
    pub(super) fn node(&mut self, frame: &Frame<'_>, local: usize) -> Node {
        let written = frame.node(local);
        let settings = std::rc::Rc::clone(&self.settings);
        let id = frame.plan_id(local);
        let replacement = settings.node_runtime(&id);
        let cx = Cx {
            frame,
            local,
            node: written,
            runtime: replacement.unwrap_or(&written.runtime),
            replaced: replacement.is_some(),
        };
        self.secrets.clear();
        let built = self.action(cx);
        if built.refused {
            self.refused.insert(frame.index(local));
        }
        let verifiable = matches!(&built.action, Action::Task(task) | Action::Measure(task) if task.verify.is_some());
        let timeout = written.timeout.map(|timeout| timeout.value);
        if built.network && timeout.is_none() {
            let message = format!(
                "{} uses the network and has no `timeout_sec`: it may hang for as long as its program lets it",
                cx.what()
            );
            self.d
                .warning(codes::MISSING_TIMEOUT, written.id.span, message)
                .help("add `timeout_sec: 120` (it bounds each attempt)");
        }
        let idempotent = match (&written.idempotency, cx.runtime.get_bool("idempotent")) {
            (_, Ok(Some(flag))) => flag.value,
            (Some(declared), _) => declared.enabled.value,
            (None, _) => built.idempotent,
        };
        let measures = matches!(built.action, Action::Measure(_));
        let outputs = self.outputs(cx, measures);
        let asks = matches!(built.action, Action::Ask(_));
        Node {
            id,
            kind: written.node_type.value.to_string(),
            purpose: written
                .purpose
                .as_ref()
                .or(written.name.as_ref())
                .map_or_else(
                    || written.id.value.clone(),
                    |text| text.value.trim().to_owned(),
                ),
            scope: frame.scope,
            approval: if asks { None } else { self.approval_gate(cx) },
            action: built.action,
            join: self.join(frame, local),
            retry: written.retry.as_ref().map_or(
                Retry {
                    max_retries: 0,
                    backoff: Duration::ZERO,
                    exponential: false,
                },
                |retry| Retry {
                    max_retries: retry.max_retries.value,
                    backoff: retry.backoff.value,
                    exponential: retry.strategy.value == Backoff::Exponential,
                },
            ),
            timeout,
            outputs,
            rollback: written.is_rollback(),
            idempotent,
            verifiable,
        }
    }

    fn outputs(&mut self, cx: Cx<'_>, measures: bool) -> Vec<Output> {
        let mut outputs = Vec::with_capacity(cx.node.outputs.len());
        for port in &cx.node.outputs {
            let name = &port.name.value;
            let unit = match &port.unit {
                Some(unit) => self.unit(unit.as_ref().map(String::as_str)),
                None if measures => self.measured_unit(cx, name),
                None => None,
            };
            outputs.push(Output {
                name: name.clone(),
                unit,
            });
        }
        outputs
    }

    fn join(&mut self, frame: &Frame<'_>, local: usize) -> Join {
        let mut found: Option<(Join, crate::diagnostic::Span)> = None;
        for arrow in frame.incoming(local) {
            let edge = frame.edge(arrow);
            let Some(join) = &edge.join else { continue };
            let this = match (join.mode.value, &join.count) {
                (JoinMode::All, _) => Join::All,
                (JoinMode::Any, _) => Join::Any,
                (JoinMode::Count, Some(count)) => Join::Count(count.value),
                (JoinMode::Count, None) => continue,
            };
            match found {
                Some((other, place)) if other != this => {
                    let message = format!(
                        "edges into {} ask for different joins",
                        quote(&frame.node(local).id.value)
                    );
                    self.d
                        .error(codes::CONFLICTING_JOIN, join.mode.span, message)
                        .related(place, "the other one")
                        .help("`join_mode` says how the target waits: write it on one edge, or the same on all");
                }
                Some(_) => {}
                None => found = Some((this, join.mode.span)),
            }
        }
        let incoming = frame.incoming(local).filter(|arrow| !arrow.back).count();
        if let Some((Join::Count(count), place)) = found
            && count as usize > incoming
            && !frame.workflow.lost.edges
        {
            let message = format!(
                "{} waits for {count} edges, and only {incoming} lead{} to it",
                quote(&frame.node(local).id.value),
                if incoming == 1 { "s" } else { "" }
            );
            self.d
                .error(codes::CONFLICTING_JOIN, place, message)
                .help("lower `join_count`, or use `join_mode: wait_all`");
        }
        found.map_or(Join::Settled, |(join, _)| join)
    }

    /// An action, or a diagnostic and something that is never run.
    fn action(&mut self, cx: Cx<'_>) -> Built {
        if cx.node.workflow_ref.is_some() && !cx.replaced {
            return Built::native(Action::Call);
        }
        if cx.runtime.get("tool").and_then(|tool| tool.as_text()) == Some("canary") {
            return self.native(cx).map_or_else(Built::refused, Built::native);
        }
        if cx.node.refused && !cx.replaced {
            return Built::refused();
        }
        if cx.node.node_type.value == NodeType::Human && !cx.replaced {
            return Built::native(Action::Ask(self.question(cx)));
        }
        let made = self.work(cx);
        let verify = self.verify(cx);
        self.security(cx);
        let Some(made) = made else {
            return Built::refused();
        };
        let is_measure = matches!(made.work, Work::Query(_));
        let task = TaskSpec {
            work: made.work,
            verify,
            secrets: std::mem::take(&mut self.secrets).into_iter().collect(),
        };
        Built {
            refused: false,
            action: if is_measure {
                Action::Measure(task)
            } else {
                Action::Task(task)
            },
            idempotent: made.idempotent,
            network: made.network,
        }
    }

    fn work(&mut self, cx: Cx<'_>) -> Option<Made> {
        let runtime = cx.runtime;
        let has = |key: &str| runtime.has(key);
        let kind = cx.node.node_type.value;
        let executable = !matches!(
            kind,
            NodeType::Agent | NodeType::Db | NodeType::Mcp | NodeType::System | NodeType::Data
        );
        let replaced_by = |key: &str| has(key) && (cx.replaced || kind != NodeType::Human);
        match kind {
            // What is not executable by its type is by what the settings put in its place.
            _ if !executable && !cx.replaced => self.cannot_execute(cx, kind),
            NodeType::Api if !has("command") || has("url") => self.api(cx),
            NodeType::Docker if has("action") => self.docker(cx),
            NodeType::Git if has("action") || !has("command") && !has("tool") => self.git(cx),
            _ if replaced_by("command") => self.shell(cx),
            NodeType::Infra | NodeType::Cli | NodeType::Cicd | NodeType::Docker | NodeType::Git
                if has("tool") =>
            {
                self.tool(cx)
            }
            NodeType::Cli if has("action") && is_docker_action(cx) => self.docker(cx),
            NodeType::Cicd => self.cicd(cx),
            _ if cx.replaced && has("tool") => self.tool(cx),
            _ if cx.replaced && has("url") => self.api(cx),
            _ if cx.replaced && has("action") => self.docker(cx),
            _ => {
                self.d
                    .error(
                        codes::CANNOT_EXECUTE,
                        cx.span(),
                        format!(
                            "{} of type {kind} says nothing that can be executed",
                            cx.what()
                        ),
                    )
                    .help(example(kind))
                    .help(profile_lines(&cx));
                None
            }
        }
    }

    fn cannot_execute(&mut self, cx: Cx<'_>, kind: NodeType) -> Option<Made> {
        let message = format!(
            "{} cannot be executed: canary has no executor for type `{kind}`",
            cx.what()
        );
        self.d
            .error(codes::CANNOT_EXECUTE, cx.node.node_type.span, message)
            .help("make it a `cli`, `api`, `docker`, `infra`, `git` or `human` node, or replace what it runs in the profile")
            .help(profile_lines(&cx));
        None
    }

    fn cicd(&mut self, cx: Cx<'_>) -> Option<Made> {
        let message = match self.text(cx, "trigger") {
            Some(trigger) => format!(
                "{} waits for {} of another system; canary starts at its first node and waits for no trigger",
                cx.what(),
                quote(trigger.value)
            ),
            None => format!(
                "{} says what a pipeline elsewhere does, and no command that makes it do so",
                cx.what()
            ),
        };
        self.d
            .error(codes::CANNOT_EXECUTE, cx.span(), message)
            .help("give it a `command` (for example `gh workflow run deploy.yml --ref main`), or remove it and start from what follows")
            .help(profile_lines(&cx));
        None
    }

    fn verify(&mut self, cx: Cx<'_>) -> Option<Script> {
        let text = self.text(cx, "verify")?;
        self.script(cx, text, false)
    }

    /// Names of the secrets that a node uses.
    fn security(&mut self, cx: Cx<'_>) {
        if let Some(security) = &cx.node.security {
            let names = security
                .secrets
                .iter()
                .chain(&security.credentials)
                .chain(&security.secret_ref);
            self.secrets.extend(names.map(|name| name.value.clone()));
        }
    }

    /// Unit of a measured output where none is declared: that of its query, or by convention (S9).
    fn measured_unit(&mut self, cx: Cx<'_>, output: &str) -> Option<canary_analyzer::unit::Unit> {
        let settings = std::rc::Rc::clone(&self.settings);
        let own = super::query::own_queries(cx);
        let query = own
            .iter()
            .find(|(name, _)| name.value == output)
            .map(|(_, query)| query)
            .or_else(|| settings.queries.find(&cx.node.id.value, output))?;
        let as_unit = query
            .as_unit
            .as_ref()
            .and_then(|unit| unit.value.parse().ok());
        let unit = query.unit.as_ref().and_then(|unit| unit.value.parse().ok());
        as_unit.or_else(|| units::convention(output)).or(unit)
    }
}

fn is_docker_action(cx: Cx<'_>) -> bool {
    const ACTIONS: &[&str] = &["build", "push", "pull", "tag", "scan"];
    let action = cx.runtime.get("action").and_then(|action| action.as_text());
    action.is_some_and(|action| ACTIONS.contains(&action) || action.starts_with("compose"))
}

fn example(kind: NodeType) -> &'static str {
    match kind {
        NodeType::Infra => {
            "add `tool: kubectl` (kustomize, helm, terraform, argocd, ansible, canary) and `action`, or a `command`"
        }
        NodeType::Docker => {
            "add `action: build` (push, pull, tag, scan, compose-up, ...) or a `command`"
        }
        _ => "add a `command` under `runtime`",
    }
}

/// Lines for the profile that give the node something to run.
pub(super) fn profile_lines(cx: &Cx<'_>) -> String {
    format!(
        "or add to the profile:\nnodes:\n  {}:\n    command: ...",
        cx.frame.plan_id(cx.local)
    )
}

/// Whether anything may come after a failure of this mode.
pub(in crate::plan) fn handles_failure(mode: EdgeMode) -> bool {
    matches!(
        mode,
        EdgeMode::Fallback | EdgeMode::Error | EdgeMode::Timeout
    )
}
