//! Times of the pure core: one step of the machine, and validating the example workflows. Prints one JSON object per row,
//! which `benches/table.py` puts into its table. `cargo bench -p canary-orchestrator --bench core`
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unnecessary_wraps,
    reason = "a benchmark prints, reads the clock, and may end when something is wrong"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use canary_analyzer::gate::{Measurement, Phase};
use canary_orchestrator::machine::{Cost, NodeResult, NodeStatus, State, Watch, step};
use canary_orchestrator::plan::{GateIndex, Inputs, NodeIndex, Plan, compile};
use canary_orchestrator::scenario::simulation::{RouterAnswer, Simulation, World};
use canary_traffic::Weight;
use jiff::Timestamp;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// Everything goes well and takes a moment.
struct Good;

const MOMENT: Duration = Duration::from_millis(5);

fn completed() -> Option<(Duration, NodeResult)> {
    let result = NodeResult {
        status: NodeStatus::Completed,
        outputs: std::collections::BTreeMap::new(),
        error: None,
    };
    Some((MOMENT, result))
}

impl World for Good {
    fn node(&mut self, _: NodeIndex, _: u32, _: Timestamp) -> Option<(Duration, NodeResult)> {
        completed()
    }
    fn cancel(&mut self, _: NodeIndex, _: u32, _: Timestamp) -> Option<(Duration, NodeResult)> {
        completed()
    }
    fn verify(
        &mut self,
        _: NodeIndex,
        _: u32,
        _: Timestamp,
    ) -> Option<(Duration, Result<bool, String>)> {
        Some((MOMENT, Ok(true)))
    }
    fn workload(&mut self, _: NodeIndex, _: u32, _: Timestamp) -> Option<(Duration, NodeResult)> {
        completed()
    }
    fn measure(
        &mut self,
        _: GateIndex,
        _: Watch,
        _: Timestamp,
        at: Timestamp,
        _: Weight,
    ) -> Option<(Duration, Measurement)> {
        let message = "error-rate is 0.2 % (< 1%)".to_owned();
        let measurement = Measurement {
            at,
            phase: Phase::Pass,
            value: Some(0.002),
            message,
            no_data: false,
            requests: Some(1000),
        };
        Some((MOMENT, measurement))
    }
    fn router(
        &mut self,
        _: Option<Weight>,
        _: Timestamp,
    ) -> Option<(Duration, Result<RouterAnswer, String>)> {
        Some((MOMENT, Ok(RouterAnswer::default())))
    }
    fn cost(&mut self, _: Timestamp) -> Option<Cost> {
        None
    }
}

fn inputs(workflow: &str, profile: Option<&str>) -> Inputs {
    let read =
        |name: &str| std::fs::read_to_string(format!("{EXAMPLES}/{name}")).expect("an example");
    let inputs = Inputs::new(workflow, read(workflow));
    let mut inputs = match profile {
        Some(profile) => inputs.with_profile(profile, read(profile)),
        None => inputs,
    };
    inputs
        .environment
        .insert("GIT_SHA".to_owned(), "abc".to_owned());
    inputs
}

fn plan(workflow: &str, profile: Option<&str>) -> Plan {
    let (plan, diagnostics) = compile(&inputs(workflow, profile));
    plan.unwrap_or_else(|| {
        unreachable!(
            "{}",
            canary_orchestrator::diagnostic::to_lines(&diagnostics)
        )
    })
}

/// The median of repeated timings of `work`, per call.
fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..51)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn print(what: &str, budget: &str, got: &str) {
    println!(
        "{}",
        serde_json::json!({"what": what, "budget": budget, "got": got})
    );
}

fn main() {
    // A whole release, as the journal would have it; then the same events again and again.
    let plan = plan("checkout.osop.yaml", None);
    let start = Timestamp::UNIX_EPOCH;
    let mut simulation = Simulation::new(&plan, Good, start, Weight::ZERO);
    simulation.start();
    simulation.run_until(start + Duration::from_hours(24));
    let moments = simulation.moments;
    let whole = median(|| {
        let mut state = State::new(&plan);
        for moment in &moments {
            state = step(&plan, state, moment.at, moment.event.clone()).state;
        }
        black_box(state);
    });
    let steps = u32::try_from(moments.len()).unwrap_or(1).max(1);
    let each = whole.as_secs_f64() * 1e6 / f64::from(steps);
    print(
        &format!(
            "step(), mean over the {steps} events of a release of {} nodes",
            plan.nodes.len()
        ),
        "< 5 us",
        &format!("{each:.2} us"),
    );

    let seeds = [
        inputs("k8s-rollout.osop.yaml", Some("k8s-rollout.profile.yaml")),
        inputs(
            "kubernetes-deploy.osop.yaml",
            Some("kubernetes-deploy.profile.yaml"),
        ),
    ];
    let both = median(|| {
        for inputs in &seeds {
            black_box(compile(inputs));
        }
    });
    print(
        "validate both seed workflows",
        "< 2 ms",
        &format!("{:.2} ms", both.as_secs_f64() * 1e3),
    );
}
