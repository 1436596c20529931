//! The plan of the small world.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::gate::{Compat, Gate, Metric, Rule};
use canary_analyzer::unit::Unit;
use canary_traffic::Weight;

use crate::node::spec::{ProcessSpec, ProgramWork, TaskSpec, Work};
use crate::plan::{
    Action, Analyze, Deadlines, Edge, EdgeMode, GateIndex, Join, Node, NodeIndex, OnFailure, Plan,
    Retry, Values,
};

pub(crate) const BUILD: usize = 0;
pub(crate) const ROLLBACK: usize = 6;

/// build -> 10 % -> check -> 50 % -> check -> promote, and a rollback node.
pub(crate) fn plan() -> Plan {
    let task = || {
        let work = ProgramWork {
            argv: Vec::new(),
            facts: BTreeMap::new(),
            process: ProcessSpec::default(),
        };
        TaskSpec {
            work: Work::Program(work),
            verify: None,
            secrets: Vec::new(),
        }
    };
    let check = || {
        let duration = Some(Duration::from_mins(1));
        Action::Analyze(Analyze {
            gates: vec![GateIndex(0)],
            duration,
        })
    };
    let weight = |percent| Action::SetWeight(Weight::try_from(percent).unwrap());
    let node = |id: &str, action| Node {
        id: id.to_owned(),
        kind: "infra".to_owned(),
        purpose: String::new(),
        scope: None,
        action,
        join: Join::Settled,
        retry: Retry {
            max_retries: 0,
            backoff: Duration::ZERO,
            exponential: false,
        },
        timeout: None,
        approval: None,
        outputs: Vec::new(),
        rollback: id == "rollback",
        idempotent: true,
        verifiable: false,
    };
    let nodes = vec![
        node("build", Action::Task(task())),
        node("canary_10", weight(10)),
        node("check_10", check()),
        node("canary_50", weight(50)),
        node("check_50", check()),
        node("promote", Action::Promote),
        node("rollback", Action::Task(task())),
    ];
    let edge = |from, to| Edge {
        from: NodeIndex(from),
        to: NodeIndex(to),
        mode: EdgeMode::Sequential,
        label: None,
        back: false,
        max_iterations: 1,
        optional: false,
    };
    Plan {
        id: "release".to_owned(),
        name: "Release".to_owned(),
        service: "checkout".to_owned(),
        nodes,
        edges: (0..5)
            .map(|from| edge(from, from + 1))
            .chain([Edge {
                mode: EdgeMode::Fallback(None),
                ..edge(5, ROLLBACK)
            }])
            .collect(),
        gates: vec![Gate {
            name: "error-rate".to_owned(),
            metric: Metric::ErrorRate,
            unit: Unit::Ratio,
            rule: Rule::Range {
                min: None,
                max: Some(0.01),
            },
            compat: Compat::Strict,
            interval: Duration::from_secs(20),
            window: Duration::from_mins(1),
            initial_delay: Duration::ZERO,
            count: None,
            failure_limit: Some(0),
            inconclusive_limit: 0,
            consecutive_error_limit: 4,
            consecutive_success_limit: 0,
            min_requests: 0,
        }],
        guards: vec![GateIndex(0)],
        bake: Duration::from_mins(1),
        deadlines: Deadlines {
            evidence: None,
            decision: Duration::from_mins(15),
        },
        on_failure: OnFailure::Rollback,
        timeout: None,
        values: Values::default(),
        settings: crate::osop::settings::Settings::default(),
        hash: "abc".to_owned(),
    }
}
