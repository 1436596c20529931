//! canary's own actions: `tool: canary`.

use canary_traffic::Weight;

use super::Compiler;
use super::read::Cx;
use crate::diagnostic::{Diagnostic, Span, Spanned, codes, did_you_mean, quote};
use crate::osop::model::Workflow;
use crate::osop::settings::RouterKind;
use crate::osop::tree::{Data, Value};
use crate::plan::model::{Action, Analyze, VerifyWeight};
use crate::plan::template::RunValues;

const ACTIONS: &[&str] = &[
    "set-weight",
    "analyze",
    "promote",
    "rollback",
    "scale",
    "verify-weight",
];
/// Percent points by which the share of requests may differ from the weight.
const TOLERANCE: f64 = 5.0;
/// Requests needed to compare the share with the weight.
const REQUESTS: u64 = 100;

impl Compiler<'_> {
    pub(super) fn native(&mut self, cx: Cx<'_>) -> Option<Action> {
        let action = self.need(
            cx,
            &["action"],
            "`action: set-weight` (analyze, promote, rollback, scale, verify-weight)",
        )?;
        match action.value.replace('_', "-").as_str() {
            "set-weight" => {
                let weight = self.weight(cx, true)?;
                Some(Action::SetWeight(weight))
            }
            "analyze" => self.analyze(cx),
            "promote" => Some(Action::Promote),
            "rollback" => Some(Action::Rollback),
            "scale" => {
                let count = self.fixed(cx, "replicas", "`replicas: 2`")?;
                let number = count.value.parse().ok().filter(|count| *count <= 100_000);
                if number.is_none() {
                    let message = format!(
                        "`runtime.replicas` of {} is a whole number of instances, found {}",
                        cx.what(),
                        quote(&count.value)
                    );
                    self.d.error(codes::OUT_OF_RANGE, count.span, message);
                }
                self.need_scale_command(cx);
                Some(Action::Scale(number?))
            }
            "verify-weight" => self.verify_weight(cx),
            other => {
                let message = format!("canary has no action {}", quote(other));
                self.d
                    .error(codes::UNKNOWN_VALUE, action.span, message)
                    .help_opt(did_you_mean(other, ACTIONS.iter().copied()))
                    .help(format!("known are {}", ACTIONS.join(", ")));
                None
            }
        }
    }

    fn need_scale_command(&mut self, cx: Cx<'_>) {
        if self.settings.workload.scale.is_none() && !self.settings.is_refused("workload") {
            let message = format!(
                "{} changes the number of instances, and no command is given that does",
                cx.what()
            );
            self.d
                .error(codes::CANNOT_EXECUTE, cx.span(), message)
                .help("add to the profile (or `x-canary`):\nworkload:\n  scale: docker compose up -d --scale app=$CANARY_REPLICAS");
        }
    }

    /// A value that must be known before the run: variables and environment are filled in.
    fn fixed(&mut self, cx: Cx<'_>, key: &str, example: &str) -> Option<Spanned<String>> {
        let text = self.need(cx, &[key], example)?;
        let template = self.template(cx, text)?;
        let lookup = RunValues {
            values: &self.values,
            outputs: |_: &str, _: &str| None,
            iteration: 0,
        };
        match template.render(&lookup) {
            Ok(value) => Some(Spanned::new(value, text.span)),
            Err(error) => {
                // What has no value at all was told already.
                if template.each_reference().next().is_some() {
                    let message = format!(
                        "`runtime.{key}` of {} must be known before the run: {error}",
                        cx.what()
                    );
                    self.d
                        .error(codes::INVALID_REFERENCE, text.span, message)
                        .help("use a variable, or write the number");
                }
                None
            }
        }
    }

    fn weight(&mut self, cx: Cx<'_>, needed: bool) -> Option<Weight> {
        if !needed && !cx.runtime.has("weight") {
            return None;
        }
        let text = self.fixed(cx, "weight", "`weight: 10`")?;
        let number = text.value.trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim();
        match number.parse::<Weight>() {
            Ok(weight) => Some(weight),
            Err(error) => {
                self.d.error(
                    codes::OUT_OF_RANGE,
                    text.span,
                    format!("`runtime.weight` of {}: {error}", cx.what()),
                );
                None
            }
        }
    }

    fn verify_weight(&mut self, cx: Cx<'_>) -> Option<Action> {
        let weight = self.weight(cx, false);
        let tolerance = self.take(cx, "tolerance", cx.runtime.get_f64("tolerance"));
        let min_requests = self.take(cx, "min_requests", cx.runtime.get_u64("min_requests"));
        if let Some(tolerance) =
            tolerance.filter(|tolerance| !(0.0..=100.0).contains(&tolerance.value))
        {
            let message = format!(
                "`runtime.tolerance` of {} is in percent points, 0 to 100",
                cx.what()
            );
            self.d.error(codes::OUT_OF_RANGE, tolerance.span, message);
            return None;
        }
        Some(Action::VerifyWeight(VerifyWeight {
            weight,
            tolerance: tolerance.map_or(TOLERANCE, |tolerance| tolerance.value),
            min_requests: min_requests.map_or(REQUESTS, |count| count.value),
        }))
    }

    fn analyze(&mut self, cx: Cx<'_>) -> Option<Action> {
        let duration = match self.duration(cx, "duration") {
            Some(duration) => Some(duration),
            None => self.duration(cx, "for"),
        };
        let gates = match cx.runtime.get("gates") {
            Some(Value {
                data: Data::List(items),
                ..
            }) => items
                .iter()
                .filter_map(|item| self.gate_of_node(cx, item))
                .collect(),
            Some(value) if value.as_text().is_some() => {
                self.gate_of_node(cx, value).into_iter().collect()
            }
            Some(value) => {
                let message = format!(
                    "`runtime.gates` of {} is a list of names of gates, or of gates, found {}",
                    cx.what(),
                    value.kind()
                );
                self.d.error(codes::WRONG_TYPE, value.span, message);
                return None;
            }
            None => self.guards.clone(),
        };
        if gates.is_empty() {
            // Gates that were refused are not missing as well.
            let none = cx
                .runtime
                .get("gates")
                .is_none_or(|gates| gates.as_list().is_some_and(<[_]>::is_empty));
            let written = cx.runtime.get("gates").is_none() && !self.settings.gates.is_empty();
            if none && !written && !self.settings.is_refused("gates") {
                let message = format!("{} judges nothing: there are no gates", cx.what());
                self.d.error(codes::UNKNOWN_GATE, cx.span(), message).help(
                    "add to `x-canary` (or the profile):\ngates:\n  - {name: errors, metric: error_rate, success_condition: 'errors < 1%'}",
                );
            }
            return None;
        }
        let written = cx.runtime.has("duration") || cx.runtime.has("for");
        let endless = !written
            && gates.iter().any(|gate| {
                let gate = &self.gates[gate.0];
                gate.count.is_none() && gate.consecutive_success_limit == 0
            });
        if endless {
            let message = format!(
                "{} never ends: it has no `duration`, and not all of its gates have a `count`",
                cx.what()
            );
            self.d
                .error(codes::GATE_LIMITS, cx.span(), message)
                .help("add `duration: 5m`, or `count` to the gates");
        }
        if let (Some(duration), Some(timeout)) = (duration, cx.node.timeout)
            && timeout.value <= duration.value
        {
            let message = format!(
                "{} judges for {}, and its `timeout_sec` ends it before",
                cx.what(),
                canary_analyzer::duration::format(duration.value)
            );
            self.d
                .error(codes::GATE_LIMITS, timeout.span, message)
                .help("leave out `timeout_sec`: the duration bounds it");
        }
        if let Some(duration) = duration {
            for gate in &gates {
                let gate = &self.gates[gate.0];
                if gate.initial_delay >= duration.value {
                    let message = format!(
                        "gate {} is first measured after {}, when {} is over",
                        quote(&gate.name),
                        canary_analyzer::duration::format(gate.initial_delay),
                        cx.what()
                    );
                    self.d.error(codes::GATE_LIMITS, duration.span, message);
                } else if gate.window > duration.value {
                    let message = format!(
                        "gate {} looks back {}, and {} lasts {}: the evidence never fills the window",
                        quote(&gate.name),
                        canary_analyzer::duration::format(gate.window),
                        cx.what(),
                        canary_analyzer::duration::format(duration.value)
                    );
                    self.d
                        .warning(codes::GATE_WINDOW, duration.span, message)
                        .help("the window is cut to the time since the weight was set; make the step longer, or the window shorter");
                }
            }
        }
        Some(Action::Analyze(Analyze {
            gates,
            duration: duration.map(|duration| duration.value),
        }))
    }

    /// Native actions need something that moves traffic.
    pub(super) fn check_router(&mut self, workflow: &Workflow) {
        if self.settings.is_refused("traffic") {
            return;
        }
        let moves = self.nodes.iter().find(|node| {
            matches!(
                node.action,
                Action::SetWeight(_) | Action::Promote | Action::VerifyWeight(_)
            )
        });
        let Some(node) = moves else { return };
        let traffic = &self.settings.traffic;
        let named = match traffic.router {
            Some(router) => router.value != RouterKind::None,
            None => traffic.proxy.is_some(),
        };
        if named {
            return;
        }
        let span = match traffic.router {
            Some(router) => router.span,
            None => workflow
                .node(&node.id)
                .map_or(workflow.id.span, |node| node.id.span),
        };
        let message = format!(
            "node {} moves traffic, and nothing is named that splits it",
            quote(&node.id)
        );
        router_help(self.d.error(codes::MISSING_ROUTER, span, message));
    }

    /// A gate by name, or written in the node.
    fn gate_of_node(&mut self, cx: Cx<'_>, item: &Value) -> Option<crate::plan::model::GateIndex> {
        let Some(name) = item.as_text() else {
            return self.inline_gate(cx, item);
        };
        let found = self.gates.iter().position(|gate| gate.name == name);
        let settings = std::rc::Rc::clone(&self.settings);
        let written = || settings.gates.iter().map(|gate| gate.name.value.clone());
        // One that was refused, or that has no name to be found by, was reported where it is written.
        let told = written().any(|known| known == name || known.is_empty());
        if found.is_none() && !told && !settings.refused.whole {
            let known: Vec<String> = written().collect();
            self.unknown_gate(name, &known, item.span);
        }
        found.map(crate::plan::model::GateIndex)
    }

    fn unknown_gate(&mut self, name: &str, known: &[String], span: Span) {
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        let diagnostic = self.d.error(
            codes::UNKNOWN_GATE,
            span,
            format!("there is no gate {}", quote(name)),
        );
        diagnostic.help_opt(hint);
        if known.is_empty() {
            diagnostic.help("gates are written under `gates` of `x-canary` or the profile");
        } else {
            diagnostic.help(format!("known are {}", super::words::list(known)));
        }
    }
}

fn router_help(diagnostic: &mut Diagnostic) {
    diagnostic
        .help("start `canary proxy --name NAME --stable URL --canary URL`, and add to the profile (or `x-canary`):\ntraffic:\n  router: local\n  proxy: NAME")
        .help("in a cluster: `router: gateway-api` (or istio, nginx, alb, argo, replicas), with the names of its objects");
}
