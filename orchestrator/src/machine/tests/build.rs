//! Plans built by hand, and a world that does as it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::expr::{Condition, Scope, Syntax, Type};
use canary_analyzer::gate::{Compat, Gate, Measurement, Metric, Phase, Rule};
use canary_analyzer::unit::Unit;
use canary_traffic::Weight;
use jiff::Timestamp;
use serde_json::Value;

use crate::machine::{Cost, NodeResult, NodeStatus, Watch};
use crate::node::spec::{HttpBody, HttpWork, TaskSpec, Work};
use crate::osop::settings::Settings;
use crate::plan::{
    Action, Analyze, Approval, Deadlines, Edge, EdgeMode, GateIndex, Join, Node, NodeIndex,
    OnFailure, Plan, Retry, Values, template::Template,
};
use crate::scenario::simulation::Simulation;
use crate::scenario::world::{RouterAnswer, World};

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(super) fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

pub(super) fn plan() -> Plan {
    Plan {
        id: "test".to_owned(),
        name: "test".to_owned(),
        service: "shop".to_owned(),
        nodes: Vec::new(),
        edges: Vec::new(),
        gates: Vec::new(),
        guards: Vec::new(),
        bake: secs(60),
        deadlines: Deadlines {
            evidence: Some(secs(30)),
            decision: secs(900),
        },
        on_failure: OnFailure::Rollback,
        timeout: None,
        values: Values::default(),
        settings: Settings::default(),
        hash: String::new(),
    }
}

pub(super) fn work() -> TaskSpec {
    TaskSpec {
        work: Work::Http(HttpWork {
            method: "GET".to_owned(),
            url: Template::literal("http://localhost"),
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            body: HttpBody::Empty,
            bearer: None,
            expected_status: Vec::new(),
            response_mapping: BTreeMap::new(),
            slack: false,
        }),
        verify: None,
        secrets: Vec::new(),
    }
}

pub(super) struct AnyName;

impl Scope for AnyName {
    fn type_of(&self, _: &str) -> Option<Type> {
        Some(Type::Any)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(super) fn condition(source: &str) -> Condition {
    Condition::compile(source, Syntax::Cel, &AnyName).unwrap()
}

/// Adds to a plan under construction.
pub(super) trait Build {
    fn add(&mut self, id: &str, action: Action) -> NodeIndex;
    fn edge(&mut self, from: &str, to: &str, mode: EdgeMode) -> &mut Edge;
    fn add_gate(&mut self, name: &str) -> GateIndex;
    fn index(&self, id: &str) -> NodeIndex;
    fn seq(&mut self, ids: &[&str]);
}

impl Build for Plan {
    fn add(&mut self, id: &str, action: Action) -> NodeIndex {
        self.nodes.push(Node {
            id: id.to_owned(),
            kind: "test".to_owned(),
            purpose: String::new(),
            scope: None,
            action,
            join: Join::Settled,
            retry: Retry {
                max_retries: 0,
                backoff: secs(1),
                exponential: false,
            },
            timeout: None,
            approval: None,
            outputs: Vec::new(),
            rollback: id == "rollback",
            idempotent: false,
            verifiable: false,
        });
        NodeIndex(self.nodes.len() - 1)
    }

    fn edge(&mut self, from: &str, to: &str, mode: EdgeMode) -> &mut Edge {
        let (from, to) = (self.index(from), self.index(to));
        self.edges.push(Edge {
            from,
            to,
            mode,
            label: None,
            back: false,
            max_iterations: 10,
            optional: false,
        });
        self.edges.last_mut().unwrap()
    }

    fn add_gate(&mut self, name: &str) -> GateIndex {
        self.gates.push(Gate {
            name: name.to_owned(),
            metric: Metric::ErrorRate,
            unit: Unit::Ratio,
            rule: Rule::Range {
                min: None,
                max: Some(0.01),
            },
            compat: Compat::Strict,
            interval: secs(10),
            window: secs(60),
            initial_delay: Duration::ZERO,
            count: None,
            failure_limit: Some(0),
            inconclusive_limit: 0,
            consecutive_error_limit: 4,
            consecutive_success_limit: 0,
            min_requests: 0,
        });
        GateIndex(self.gates.len() - 1)
    }

    fn index(&self, id: &str) -> NodeIndex {
        self.find(id).unwrap_or_else(|| panic!("no node {id}"))
    }

    fn seq(&mut self, ids: &[&str]) {
        for pair in ids.windows(2) {
            self.edge(pair[0], pair[1], EdgeMode::Sequential);
        }
    }
}

pub(super) fn task() -> Action {
    Action::Task(work())
}

pub(super) fn measure() -> Action {
    Action::Measure(work())
}

pub(super) fn analyze(gates: &[GateIndex], seconds: u64) -> Action {
    Action::Analyze(Analyze {
        gates: gates.to_vec(),
        duration: (seconds > 0).then(|| secs(seconds)),
    })
}

pub(super) fn ask(required: u32, timeout: Option<u64>) -> Approval {
    Approval {
        prompt: "go?".to_owned(),
        approvers: Vec::new(),
        required,
        timeout: timeout.map(secs),
    }
}

/// 10 % -> check -> 50 % -> check -> promote -> notify, with a rollback node.
pub(super) fn release() -> Plan {
    let mut plan = plan();
    let guard = plan.add_gate("guard");
    let errors = plan.add_gate("errors");
    plan.guards = vec![guard];
    plan.add("deploy", task());
    plan.add("ten", Action::SetWeight(weight(10)));
    plan.add("check_ten", analyze(&[errors], 60));
    plan.add("fifty", Action::SetWeight(weight(50)));
    plan.add("check_fifty", analyze(&[errors], 60));
    plan.add("promote", Action::Promote);
    plan.add("notify", task());
    plan.add("rollback", task());
    plan.seq(&[
        "deploy",
        "ten",
        "check_ten",
        "fifty",
        "check_fifty",
        "promote",
        "notify",
    ]);
    plan.edge("rollback", "notify", EdgeMode::Sequential);
    plan
}

pub(super) fn result(status: NodeStatus) -> NodeResult {
    let error = (status != NodeStatus::Completed).then(|| "exit code 1".to_owned());
    NodeResult {
        status,
        outputs: BTreeMap::new(),
        error,
    }
}

pub(super) fn outputs(pairs: &[(&str, Value)]) -> NodeResult {
    let outputs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    NodeResult {
        status: NodeStatus::Completed,
        outputs,
        error: None,
    }
}

pub(super) fn reading(phase: Phase) -> Measurement {
    Measurement {
        at: t(0),
        phase,
        value: (phase != Phase::Error).then_some(0.5),
        message: format!("measured {phase:?}"),
        no_data: false,
        requests: None,
    }
}

pub(super) fn no_data() -> Measurement {
    Measurement {
        no_data: true,
        value: None,
        message: "no data".to_owned(),
        ..reading(Phase::Inconclusive)
    }
}

type NodeSays = Box<dyn FnMut(&str, u32, Timestamp) -> Option<(Duration, NodeResult)>>;
type GateSays = Box<dyn FnMut(&str, Watch, Timestamp, Weight) -> Option<(Duration, Measurement)>>;
type RouterSays =
    Box<dyn FnMut(Option<Weight>, Timestamp) -> Option<(Duration, Result<RouterAnswer, String>)>>;

/// A world that is good unless told otherwise.
pub(super) struct Told {
    ids: Vec<String>,
    gates: Vec<String>,
    pub nodes: NodeSays,
    pub measures: GateSays,
    pub routes: RouterSays,
    pub verifies: Result<bool, String>,
    pub cancels: bool,
}

impl Told {
    pub(super) fn good(plan: &Plan) -> Self {
        Self {
            ids: plan.nodes.iter().map(|node| node.id.clone()).collect(),
            gates: plan.gates.iter().map(|gate| gate.name.clone()).collect(),
            nodes: Box::new(|_, _, _| Some((secs(2), result(NodeStatus::Completed)))),
            measures: Box::new(|_, _, _, _| {
                Some((Duration::from_millis(50), reading(Phase::Pass)))
            }),
            routes: Box::new(|_, _| Some((Duration::from_millis(5), Ok(RouterAnswer::default())))),
            verifies: Ok(true),
            cancels: true,
        }
    }
}

impl World for Told {
    fn node(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        at: Timestamp,
    ) -> Option<(Duration, NodeResult)> {
        (self.nodes)(&self.ids[node.0], attempt, at)
    }

    fn cancel(&mut self, _: NodeIndex, _: u32, _: Timestamp) -> Option<(Duration, NodeResult)> {
        self.cancels
            .then(|| (Duration::from_millis(100), result(NodeStatus::Cancelled)))
    }

    fn verify(
        &mut self,
        _: NodeIndex,
        _: u32,
        _: Timestamp,
    ) -> Option<(Duration, Result<bool, String>)> {
        Some((secs(1), self.verifies.clone()))
    }

    fn workload(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        at: Timestamp,
    ) -> Option<(Duration, NodeResult)> {
        (self.nodes)(&self.ids[node.0], attempt, at)
    }

    fn measure(
        &mut self,
        gate: GateIndex,
        watch: Watch,
        _: Timestamp,
        at: Timestamp,
        weight: Weight,
    ) -> Option<(Duration, Measurement)> {
        (self.measures)(&self.gates[gate.0], watch, at, weight)
    }

    fn router(
        &mut self,
        write: Option<Weight>,
        at: Timestamp,
    ) -> Option<(Duration, Result<RouterAnswer, String>)> {
        (self.routes)(write, at)
    }

    fn cost(&mut self, _: Timestamp) -> Option<Cost> {
        Some(Cost {
            requests: 100,
            bad: 3,
        })
    }
}

/// A started run in that world.
pub(super) fn simulate(plan: &Plan, world: Told) -> Simulation<'_, Told> {
    let mut simulation = Simulation::new(plan, world, t(0), Weight::ZERO);
    simulation.start();
    simulation
}

/// Started and run to its end, or for a day.
pub(super) fn run(plan: &Plan, world: Told) -> Simulation<'_, Told> {
    let mut simulation = simulate(plan, world);
    simulation.run_until(t(86_400));
    simulation
}
