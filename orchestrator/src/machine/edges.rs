//! Which edges are taken when a node ends (S2, S3, S4).

use super::names::Truth;
use super::state::{Cause, EdgeLife, End, Life};
use super::step::{Machine, after};
use crate::plan::{Action, EdgeIndex, EdgeMode, NodeIndex, SwitchCase};

/// What one edge said.
struct Said {
    edge: EdgeIndex,
    truth: Truth,
    explanation: Option<String>,
}

impl Said {
    pub(super) fn taken(&self) -> bool {
        matches!(self.truth, Truth::True)
    }
}

impl Machine<'_> {
    /// Resolves the edges of a node that ended.
    pub(super) fn leave(&mut self, node: NodeIndex, end: End) {
        match end {
            End::Completed => self.leave_completed(node),
            End::Failed | End::TimedOut => self.leave_failed(node, end),
            End::Skipped => self.leave_all(node, EdgeLife::NotChosen),
            End::Cancelled | End::Blocked => self.leave_all(node, EdgeLife::Failed),
        }
    }

    /// Sets every edge that a completed node would take to `phase`, and the rest to not chosen.
    pub(super) fn leave_all(&mut self, node: NodeIndex, phase: EdgeLife) {
        let graph = self.s.graph.clone();
        for &edge in &graph.outgoing[node.0] {
            let failure = super::graph::is_failure_edge(&self.plan.edges[edge.0].mode);
            self.resolve(
                edge,
                if failure { EdgeLife::NotChosen } else { phase },
                None,
            );
        }
    }

    pub(super) fn resolve(
        &mut self,
        edge: EdgeIndex,
        phase: EdgeLife,
        explanation: Option<String>,
    ) {
        let state = &mut self.s.edges[edge.0];
        state.phase = phase;
        state.explanation = explanation;
        if !self.plan.edges[edge.0].back {
            self.s.touched.insert(self.plan.edges[edge.0].to.0);
        }
    }

    pub(super) fn is_rollback(&self, node: NodeIndex) -> bool {
        let node = self.plan.node(node);
        node.rollback || matches!(node.action, Action::Rollback)
    }

    /// S3: the conditions of fallback edges are a failure test of each attempt. Some: the attempt failed, and why.
    pub(super) fn failure_test(&self, node: NodeIndex) -> Option<String> {
        self.s.graph.outgoing[node.0].iter().find_map(|edge| {
            let EdgeMode::Fallback(Some(condition)) = &self.plan.edges[edge.0].mode else {
                return None;
            };
            match self.judge(node, condition) {
                (Truth::False, _) => None,
                (Truth::True, explanation) => {
                    Some(format!("its failure test holds: {explanation}"))
                }
                (Truth::Unknown(why), _) => {
                    Some(format!("its failure test cannot be evaluated: {why}"))
                }
            }
        })
    }

    pub(super) fn leave_completed(&mut self, node: NodeIndex) {
        let said = self.ask_edges(node);
        let graph = self.s.graph.clone();
        let outgoing = &graph.outgoing[node.0];
        // A back edge that is taken starts the next iteration; the node's other edges wait for it.
        let mut capped = None;
        for one in said
            .iter()
            .filter(|one| one.taken() && self.plan.edges[one.edge.0].back)
        {
            let edge = &self.plan.edges[one.edge.0];
            if self.s.edges[one.edge.0].iterations < edge.max_iterations && self.s.forward() {
                self.take_back(one.edge, one.explanation.clone());
                return;
            }
            if !matches!(edge.mode, EdgeMode::Loop(None)) && self.s.forward() {
                capped = Some(edge.max_iterations);
            }
        }
        let is_back = |edge: EdgeIndex| self.plan.edges[edge.0].back;
        let to_rollback = |edge: EdgeIndex| self.is_rollback(self.plan.edges[edge.0].to);
        let mut chosen = said.iter().any(|one| one.taken() && !is_back(one.edge));
        let harm = said.iter().any(|one| one.taken() && to_rollback(one.edge));
        let unconditional = outgoing.iter().any(|edge| {
            matches!(
                self.plan.edges[edge.0].mode,
                EdgeMode::Sequential | EdgeMode::Parallel
            )
        });
        let doubts: Vec<&Said> = said
            .iter()
            .filter(|one| {
                matches!(one.truth, Truth::Unknown(_)) && !self.plan.edges[one.edge.0].optional
            })
            .collect();
        // An edge into the rollback node that cannot be evaluated is not a pass, even if a sibling is true.
        let doubtful = !harm
            && doubts
                .iter()
                .any(|doubt| !chosen || to_rollback(doubt.edge));
        if let (true, Some(Truth::Unknown(why))) =
            (doubtful, doubts.first().map(|doubt| &doubt.truth))
        {
            let why = format!("{} decided nothing: {why}", self.plan.node(node).id);
            self.stuck(node, why, &said, true);
            return;
        }
        let conditional = said.iter().any(|one| !is_back(one.edge));
        let optional = said.iter().any(|one| self.plan.edges[one.edge.0].optional);
        if let Some(cap) = capped
            && !chosen
            && !unconditional
        {
            let why = format!("its condition to go round again still holds after {cap} iterations");
            self.fail_late(node, why);
            return;
        }
        if conditional && !chosen && !unconditional && !optional {
            let seen: Vec<_> = said
                .iter()
                .filter_map(|one| one.explanation.as_deref())
                .collect();
            let why = format!(
                "{}: none of its conditions holds: {}",
                self.plan.node(node).id,
                seen.join("; ")
            );
            self.stuck(node, why, &said, false);
            return;
        }
        chosen |= unconditional;
        let _ = chosen;
        let judged = said.iter().any(|one| {
            one.taken()
                && !to_rollback(one.edge)
                && matches!(
                    self.plan.edges[one.edge.0].mode,
                    EdgeMode::Conditional(_) | EdgeMode::Switch(SwitchCase::When(_))
                )
        });
        if judged && !harm {
            self.judged_by(node);
        }
        let said: Vec<(EdgeIndex, bool, Option<String>)> = said
            .into_iter()
            .map(|one| (one.edge, one.taken() && !is_back(one.edge), one.explanation))
            .collect();
        self.take(node, &said);
    }

    /// Applies what the conditional edges said, and takes the unconditional ones.
    pub(super) fn take(&mut self, node: NodeIndex, said: &[(EdgeIndex, bool, Option<String>)]) {
        let graph = self.s.graph.clone();
        let mut rollback = Vec::new();
        for &edge in &graph.outgoing[node.0] {
            let (taken, explanation) = match &self.plan.edges[edge.0].mode {
                EdgeMode::Sequential | EdgeMode::Parallel => (true, None),
                EdgeMode::Fallback(_) | EdgeMode::Error(_) | EdgeMode::Timeout => (false, None),
                _ => said
                    .iter()
                    .find(|(asked, ..)| *asked == edge)
                    .map_or((false, None), |(_, taken, explanation)| {
                        (*taken, explanation.clone())
                    }),
            };
            if taken && self.is_rollback(self.plan.edges[edge.0].to) {
                rollback.push((edge, explanation.clone()));
            }
            self.resolve(
                edge,
                if taken {
                    EdgeLife::Taken
                } else {
                    EdgeLife::NotChosen
                },
                explanation,
            );
        }
        self.lead_to_rollback(node, &rollback);
    }

    /// Evaluates the conditional edges of a completed node.
    fn ask_edges(&self, node: NodeIndex) -> Vec<Said> {
        let mut said = Vec::new();
        let mut decided = false;
        for &edge in &self.s.graph.outgoing[node.0] {
            let (truth, explanation) = match &self.plan.edges[edge.0].mode {
                EdgeMode::Conditional(condition) | EdgeMode::Loop(Some(condition)) => {
                    let (truth, explanation) = self.judge(node, condition);
                    (truth, Some(explanation))
                }
                EdgeMode::Loop(None) => (Truth::True, None),
                EdgeMode::Switch(SwitchCase::When(_)) if decided => (Truth::False, None),
                EdgeMode::Switch(SwitchCase::When(condition)) => {
                    let (truth, explanation) = self.judge(node, condition);
                    // An arm that cannot be evaluated hides the arms after it.
                    decided |= !matches!(truth, Truth::False);
                    (truth, Some(explanation))
                }
                EdgeMode::Switch(SwitchCase::Default) | EdgeMode::Otherwise => (Truth::False, None),
                _ => continue,
            };
            said.push(Said {
                edge,
                truth,
                explanation,
            });
        }
        let any = |said: &[Said], switch: bool| {
            said.iter().any(|one| {
                !matches!(one.truth, Truth::False)
                    && matches!(self.plan.edges[one.edge.0].mode, EdgeMode::Switch(_)) == switch
                    && !self.plan.edges[one.edge.0].back
            })
        };
        let (conditional, switch) = (any(&said, false), any(&said, true));
        for one in &mut said {
            match self.plan.edges[one.edge.0].mode {
                EdgeMode::Otherwise if !conditional => one.truth = Truth::True,
                EdgeMode::Switch(SwitchCase::Default) if !switch => one.truth = Truth::True,
                _ => {}
            }
        }
        said
    }

    /// Nothing that follows can be chosen: retried where the question was in doubt, else the run is blocked.
    fn stuck(&mut self, node: NodeIndex, why: String, said: &[Said], doubt: bool) {
        for one in said {
            self.s.edges[one.edge.0]
                .explanation
                .clone_from(&one.explanation);
        }
        if !self.s.forward() {
            self.fail_late(node, why);
            return;
        }
        let measures = matches!(self.plan.node(node).action, Action::Measure(_));
        if doubt && measures {
            self.inconclusive(node, why);
            return;
        }
        let again = after(self.at, std::time::Duration::from_secs(30));
        let state = &mut self.s.nodes[node.0];
        state.life = if measures {
            Life::Backoff { until: again }
        } else {
            Life::Stuck
        };
        state.reason = Some(why.clone());
        self.s.active.insert(node.0);
        self.block(Cause::Route(node), why);
    }
}
