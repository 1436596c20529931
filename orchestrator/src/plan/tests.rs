//! Whole workflows: what they become, and what is said of bad ones.

use std::fmt::Write as _;
use std::time::Duration;

use canary_analyzer::unit::Unit;

use super::draw::{Format, draw};
use super::model::{Action, EdgeMode, Join, NodeIndex};
use super::short::{ShortEvidence, ShortForm};
use super::{Inputs, Plan, compile, describe};
use crate::diagnostic::to_lines;
use crate::node::spec::{HttpBody, Work};

const ROLLOUT: &str = include_str!("../../../examples/k8s-rollout.osop.yaml");
const ROLLOUT_PROFILE: &str = include_str!("../../../examples/k8s-rollout.profile.yaml");
const DEPLOY: &str = include_str!("../../../examples/kubernetes-deploy.osop.yaml");
const DEPLOY_PROFILE: &str = include_str!("../../../examples/kubernetes-deploy.profile.yaml");
const CHECKOUT: &str = include_str!("../../../examples/checkout.osop.yaml");

fn rollout() -> Inputs {
    Inputs::new("k8s-rollout.osop.yaml", ROLLOUT).with_profile("profile.yaml", ROLLOUT_PROFILE)
}

fn deploy() -> Inputs {
    Inputs::new("kubernetes-deploy.osop.yaml", DEPLOY).with_profile("profile.yaml", DEPLOY_PROFILE)
}

fn good(inputs: &Inputs) -> Plan {
    let (plan, d) = compile(inputs);
    plan.unwrap_or_else(|| panic!("{}", to_lines(&d)))
}

fn lines(inputs: &Inputs) -> String {
    to_lines(&compile(inputs).1)
}

fn task(plan: &Plan, id: &str) -> Work {
    match &plan.node(plan.find(id).unwrap()).action {
        Action::Task(task) | Action::Measure(task) => task.work.clone(),
        other => panic!("{id}: {other:?}"),
    }
}

#[test]
fn the_rollout_seed_with_its_profile() {
    assert_eq!(lines(&rollout()), "");
    let plan = good(&rollout());
    let weight = |id: &str| match plan.node(plan.find(id).unwrap()).action {
        Action::SetWeight(weight) => weight.percent(),
        ref other => panic!("{other:?}"),
    };
    assert_eq!((weight("canary_10"), weight("canary_50")), (10, 50));
    let check = plan.node(plan.find("health_check_10").unwrap());
    let units: Vec<_> = check.outputs.iter().map(|output| output.unit).collect();
    assert_eq!(units, [Some(Unit::Ratio), Some(Unit::Milliseconds)]);
    assert_eq!(
        (check.retry.max_retries, check.retry.backoff),
        (3, Duration::from_mins(1))
    );
    let Work::Query(query) = task(&plan, "health_check_10") else {
        panic!()
    };
    assert!(
        query.range && query.url.is_none(),
        "the source of the profile is asked"
    );
    assert_eq!(
        (query.queries[1].unit, query.queries[1].output_unit),
        (Unit::Seconds, Unit::Milliseconds)
    );
    let Work::Http(slack) = task(&plan, "notify_status") else {
        panic!()
    };
    assert!(slack.slack && matches!(slack.body, HttpBody::SlackReport { .. }));
    assert_eq!(slack.bearer.as_deref(), Some("SLACK_BOT_TOKEN"));
    assert_eq!(slack.url.source(), "https://slack.com/api/chat.postMessage");
    assert!(plan.node(plan.find("rollback").unwrap()).rollback);
    let conditional = plan
        .edges
        .iter()
        .filter(|edge| matches!(edge.mode, EdgeMode::Conditional(_)))
        .count();
    assert_eq!(conditional, 4);
    assert_eq!(plan.values.variables["NAMESPACE"], "production");
}

#[test]
fn the_rollout_seed_alone_says_what_to_add() {
    insta::assert_snapshot!(lines(&Inputs::new("k8s-rollout.osop.yaml", ROLLOUT)));
}

#[test]
fn the_deploy_seed_with_its_profile() {
    let plan = good(&deploy());
    let Work::Shell(push) = task(&plan, "push_to_ecr") else {
        panic!()
    };
    assert!(
        push.script
            .text()
            .contains("docker tag \"$image\" \"$target\"")
    );
    assert_eq!(
        push.script.references()[0].to_string(),
        "outputs.build_image.image_tag"
    );
    let Work::Program(kustomize) = task(&plan, "update_manifests") else {
        panic!()
    };
    let words: Vec<_> = kustomize
        .argv
        .iter()
        .map(super::template::Template::source)
        .collect();
    assert_eq!(
        words,
        ["kustomize", "edit", "set", "image", "app={{ecr_image_url}}"]
    );
    assert_eq!(
        kustomize.process.working_directory.unwrap().source(),
        "overlays/production"
    );
    let Work::Http(health) = task(&plan, "health_check") else {
        panic!()
    };
    assert_eq!(
        health.url.source(),
        "https://app.example.com/api/health",
        "`app-health` is a label"
    );
    let fallback = plan
        .edges
        .iter()
        .find(|edge| matches!(edge.mode, EdgeMode::Fallback(Some(_))));
    assert_eq!(
        fallback.map(|edge| plan.node(edge.to).id.as_str()),
        Some("rollback")
    );
}

#[test]
fn the_dry_run_shows_every_command_and_no_secret() {
    let mut inputs = deploy();
    inputs.sets.push(("GIT_SHA".to_owned(), "it's".to_owned()));
    insta::assert_snapshot!(describe(&good(&inputs)).to_string());
}

#[test]
fn the_example_and_the_short_form_are_without_a_complaint() {
    assert_eq!(lines(&Inputs::new("checkout.osop.yaml", CHECKOUT)), "");
    let plan = good(&Inputs::new("checkout.osop.yaml", CHECKOUT));
    assert_eq!(plan.guards.len(), 2);
    assert_eq!(plan.bake, Duration::from_mins(10));
    let scrape = ShortEvidence::Scrape {
        stable: vec!["http://a/metrics".to_owned()],
        canary: vec!["http://b/metrics".to_owned()],
    };
    for evidence in [
        ShortEvidence::Prometheus("http://prometheus:9090".to_owned()),
        scrape,
    ] {
        let text = ShortForm::new("checkout", evidence).to_osop();
        assert_eq!(
            lines(&Inputs::new("short.osop.yaml", text.clone())),
            "",
            "{text}"
        );
    }
    for format in [Format::Text, Format::Mermaid, Format::Dot] {
        assert!(draw(&plan, None, format).contains("canary_50"));
    }
}

/// A workflow of commands: each line of `nodes` is `id: rest of the node`, each of `edges` `from to rest`.
fn workflow(nodes: &[(&str, &str)], edges: &[(&str, &str, &str)], more: &str) -> Inputs {
    let mut text = String::from("osop_version: \"1.0\"\nid: w\nname: W\nnodes:\n");
    for (id, rest) in nodes {
        let rest = if rest.contains("type:") {
            (*rest).to_owned()
        } else {
            format!("type: cli, runtime: {{command: {rest}}}")
        };
        writeln!(text, "  - {{id: {id}, purpose: p, {rest}}}").unwrap();
    }
    text.push_str("edges:\n");
    for (from, to, rest) in edges {
        writeln!(text, "  - {{from: {from}, to: {to}, {rest}}}").unwrap();
    }
    text.push_str(more);
    Inputs::new("w.yaml", text)
}

const GATE: &str = "x-canary:\n  traffic: {router: local, proxy: p}\n  sources: {prometheus: {url: 'http://p'}}\n  metrics: {preset: canary-proxy}\n";

fn native(action: &str) -> String {
    format!("type: infra, runtime: {{tool: canary, {action}}}")
}

/// `code`, and a part of the message, of the one problem that is there.
#[track_caller]
fn expect(inputs: &Inputs, code: &str, part: &str) {
    let lines = lines(inputs);
    let found = lines
        .lines()
        .any(|line| line.ends_with(&format!("[{code}]")) && line.contains(part));
    assert!(found, "no {code} with `{part}` in:\n{lines}");
}

#[test]
fn bad_graphs() {
    let two = [("a", "'true'"), ("b", "'true'")];
    let sequential = "mode: sequential";
    expect(
        &workflow(&two, &[("a", "b", sequential), ("b", "a", sequential)], ""),
        "cycle",
        "never ends",
    );
    expect(
        &workflow(
            &two,
            &[
                ("a", "b", sequential),
                ("b", "a", "mode: conditional, when: exit_code != 0"),
            ],
            "",
        ),
        "cycle",
        "without a bound",
    );
    let bounded = workflow(
        &two,
        &[
            ("a", "b", sequential),
            (
                "b",
                "a",
                "mode: loop, when: exit_code != 0, x-max-iterations: 3",
            ),
        ],
        "",
    );
    let plan = good(&bounded);
    assert_eq!(
        plan.edges
            .iter()
            .map(|edge| (edge.back, edge.max_iterations))
            .collect::<Vec<_>>(),
        [(false, 10), (true, 3)]
    );
    expect(
        &workflow(&two, &[("a", "b", "mode: loop, when: exit_code == 0")], ""),
        "cycle",
        "leads back",
    );
    expect(
        &workflow(&two, &[("a", "a", "mode: loop, when: exit_code != 0")], ""),
        "unreachable",
        "no edge touches `b`",
    );
    let four = [
        ("a", "'true'"),
        ("b", "'true'"),
        ("c", "'true'"),
        ("d", "'true'"),
    ];
    let island = [
        ("a", "b", sequential),
        ("c", "d", sequential),
        ("d", "c", "mode: fallback"),
    ];
    expect(
        &workflow(&four, &island, ""),
        "unreachable",
        "cannot be entered",
    );
    expect(
        &workflow(&two, &[("a", "b", "mode: spawn")], ""),
        "cannot-execute",
        "edges of mode `spawn`",
    );
    let joins = [
        ("a", "c", "mode: sequential, join_mode: wait_all"),
        ("b", "c", "mode: sequential, join_mode: wait_any"),
    ];
    expect(
        &workflow(&four[..3], &joins, ""),
        "conflicting-join",
        "different joins",
    );
    let plan = good(&workflow(
        &four[..3],
        &[
            ("a", "c", "mode: sequential, join_mode: wait_any"),
            ("b", "c", sequential),
        ],
        "",
    ));
    assert_eq!(plan.node(NodeIndex(2)).join, Join::Any);
}

#[test]
fn bad_weights() {
    let [w10, w50, w100, check] = [
        "action: set-weight, weight: 10",
        "action: set-weight, weight: 50",
        "action: promote",
        "action: analyze, for: 5m",
    ]
    .map(native);
    let seq = "mode: sequential";
    let gate = format!(
        "{GATE}  gates: [{{name: errors, metric: error_rate, success_condition: errors < 1%}}]\n"
    );
    let rollback = native("action: rollback");
    let up = [
        ("a", w10.as_str()),
        ("b", w50.as_str()),
        ("c", w100.as_str()),
        ("rollback", rollback.as_str()),
    ];
    let edges = [
        ("a", "b", seq),
        ("b", "c", seq),
        ("c", "rollback", "mode: fallback"),
    ];
    expect(
        &workflow(&up, &edges, GATE),
        "unchecked-weight",
        "from 10 % to 50 % without a check",
    );
    assert_eq!(
        lines(&workflow(&up, &edges, &gate)),
        "",
        "guards are evidence"
    );
    let down = [
        ("a", w50.as_str()),
        ("b", w10.as_str()),
        ("c", w100.as_str()),
        ("rollback", rollback.as_str()),
    ];
    expect(
        &workflow(&down, &edges, &gate),
        "weight-down",
        "10 % after 50 %",
    );
    expect(
        &workflow(&up[..2], &edges[..1], &gate),
        "never-promoted",
        "50 % and never further",
    );
    expect(
        &workflow(&up[..3], &edges[..2], &gate),
        "no-rollback",
        "no rollback node",
    );
    expect(
        &workflow(&up, &edges, ""),
        "missing-router",
        "nothing is named that splits it",
    );
    expect(
        &workflow(
            &[("a", check.as_str())],
            &[("a", "a", "mode: fallback")],
            GATE,
        ),
        "unknown-gate",
        "judges nothing",
    );
    let high = native("action: set-weight, weight: 101");
    expect(
        &workflow(
            &[("a", high.as_str())],
            &[("a", "a", "mode: fallback")],
            GATE,
        ),
        "out-of-range",
        "`101` is not a weight",
    );
    let typo = native("action: set-wieght, weight: 10");
    expect(
        &workflow(
            &[("a", typo.as_str())],
            &[("a", "a", "mode: fallback")],
            GATE,
        ),
        "unknown-value",
        "no action `set-wieght`",
    );
}

#[test]
fn bad_gates() {
    let [w10, promote, rollback] = [
        "action: set-weight, weight: 10",
        "action: promote",
        "action: rollback",
    ]
    .map(native);
    let judged = |gate: &str, action: &str| {
        let check = native(action);
        let nodes = [
            ("a", w10.as_str()),
            ("b", check.as_str()),
            ("c", promote.as_str()),
            ("rollback", rollback.as_str()),
        ];
        let edges = [
            ("a", "b", "mode: sequential"),
            ("b", "c", "mode: sequential"),
            ("b", "rollback", "mode: fallback"),
        ];
        workflow(
            &nodes,
            &edges,
            &format!("{GATE}  gates: [{{name: g, {gate}}}]\n"),
        )
    };
    let five = "action: analyze, for: 5m";
    assert_eq!(
        lines(&judged(
            "metric: error_rate, failure_condition: result >= 1%",
            five
        )),
        ""
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 500ms",
            five,
        ),
        "invalid-condition",
        "",
    );
    expect(
        &judged(
            "query: 'up', as: ms, unit: ratio, success_condition: result < 1",
            five,
        ),
        "unit-mismatch",
        "cannot be given as ms",
    );
    expect(
        &judged(
            "query: 'up', name: p99_latency, success_condition: result < 500",
            five,
        ),
        "duplicate-key",
        "",
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 1%, count: 2, failure_limit: 3",
            five,
        ),
        "gate-limits",
        "never fail",
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 1%, failure_limit: -1",
            five,
        ),
        "gate-limits",
        "consecutive_success_limit",
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 1%, window: 10m",
            five,
        ),
        "gate-window",
        "looks back 10m",
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 1%",
            "action: analyze",
        ),
        "gate-limits",
        "never ends",
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 1%",
            "action: analyze, for: 5m, gates: [h]",
        ),
        "unknown-gate",
        "no gate `h`",
    );
    expect(
        &judged(
            "metric: error_rate, success_condition: result < 1% && result > 2%",
            five,
        ),
        "suspicious-condition",
        "",
    );
}

#[test]
fn bad_names_and_values() {
    let one = |command: &str| workflow(&[("a", command)], &[("a", "a", "mode: fallback")], "");
    expect(
        &one("'deploy -n ${NAMESPACE}'"),
        "missing-value",
        "`NAMESPACE` has no value; node `a` needs it",
    );
    expect(&one("'deploy {{VERSION}}'"), "missing-value", "`VERSION`");
    assert_eq!(
        lines(&one(
            "'deploy -n ${NAMESPACE:-x} $1 $HOME \"$@\" {{V:-1}}; X=1; echo $X'"
        )),
        ""
    );
    let mut set = one("'deploy -n ${NAMESPACE} {{VERSION}}'");
    set.sets.push(("VERSION".to_owned(), "1".to_owned()));
    set.environment
        .insert("NAMESPACE".to_owned(), "n".to_owned());
    set.environment
        .insert("OTHER".to_owned(), "secret".to_owned());
    let plan = good(&set);
    assert_eq!(
        plan.values.environment.len(),
        1,
        "only what is named is kept"
    );
    assert_eq!(good(&set.captured(&plan)).hash, plan.hash);
    expect(
        &one("'sh -c \"deploy {{VERSION}}\"'"),
        "unsafe-interpolation",
        "`sh -c` would run",
    );
    expect(
        &one("'deploy {{outputs.b.x}}'"),
        "unknown-node",
        "`b` names no node",
    );
    let pair = |first: &str, command: &str| {
        workflow(
            &[("a", first), ("b", command)],
            &[("a", "b", "mode: sequential")],
            "",
        )
    };
    let gives = "type: cli, runtime: {command: 'true'}, outputs: [tag]";
    assert_eq!(
        lines(&pair(
            gives,
            "'deploy {{tag}} {{outputs.a.tag}} {{a.exit_code}} $tag'"
        )),
        ""
    );
    expect(
        &pair(gives, "'deploy {{outputs.a.tga}}'"),
        "unknown-output",
        "declares no output `tga`",
    );
    let back = workflow(
        &[("a", "'echo {{outputs.b.exit_code}}'"), ("b", "'true'")],
        &[("a", "b", "mode: sequential")],
        "",
    );
    expect(&back, "not-upstream", "does not run before");
    let both = workflow(
        &[("a", gives), ("b", gives), ("c", "'deploy {{tag}}'")],
        &[
            ("a", "c", "mode: sequential"),
            ("b", "c", "mode: sequential"),
        ],
        "",
    );
    expect(&both, "ambiguous-name", "output of `a`, `b`");
    let inline = "type: cli, runtime: {command: deploy, env: {API_TOKEN: abc123}}";
    expect(
        &workflow(&[("a", inline)], &[("a", "a", "mode: fallback")], ""),
        "inline-secret",
        "API_TOKEN",
    );
}

#[test]
fn conditions_that_overlap_or_leave_a_gap() {
    let edges = |first: &str, second: &str| {
        let node = "type: cli, runtime: {command: 'true'}, outputs: [x]";
        let (first, second) = (
            format!("mode: conditional, when: \"{first}\""),
            format!("mode: conditional, when: \"{second}\""),
        );
        workflow(
            &[("a", node), ("b", "'true'"), ("c", "'true'")],
            &[("a", "b", &first), ("a", "c", &second)],
            "",
        )
    };
    for (first, second) in [
        ("x < 1", "x >= 1"),
        ("x < 1", "else"),
        ("x == 'ok'", "x != 'ok'"),
        ("x.status == 'a'", "!(x.status == 'a')"),
    ] {
        assert_eq!(lines(&edges(first, second)), "", "{first} / {second}");
    }
    expect(&edges("x < 1", "x > 1"), "condition-gap", "x = 1");
    expect(
        &edges("x <= 1", "x >= 1"),
        "overlapping-conditions",
        "x = 1",
    );
    expect(
        &edges("x == 'a'", "x == 'b'"),
        "condition-gap",
        "something else",
    );
    expect(
        &edges("x < 1", "y > 1"),
        "invalid-condition",
        "there is no `y`",
    );
}

#[test]
fn what_cannot_be_executed_is_said() {
    let one = |node: &str| workflow(&[("a", node)], &[("a", "a", "mode: fallback")], "");
    for (node, part) in [
        ("type: agent", "no executor for type `agent`"),
        ("type: db", "no executor for type `db`"),
        ("type: mcp", "no executor for type `mcp`"),
        ("type: system", "no executor for type `system`"),
        ("type: data", "no executor for type `data`"),
        ("type: cli", "says nothing that can be executed"),
        ("type: cicd, runtime: {trigger: push}", "waits for `push`"),
        (
            "type: infra, runtime: {tool: pulumi, action: up}",
            "does not know its command line",
        ),
        (
            "type: infra, runtime: {tool: kubectl, action: explode}",
            "asks kubectl for `explode`",
        ),
        (
            "type: docker, runtime: {action: explode}",
            "asks docker for `explode`",
        ),
        (
            "type: git, runtime: {action: explode}",
            "asks git for `explode`",
        ),
    ] {
        expect(&one(node), "cannot-execute", part);
        let replaced = one(node).with_profile("p.yaml", "nodes:\n  a: {command: 'true'}\n");
        assert_eq!(lines(&replaced), "", "{node}");
    }
    let plan = good(&one(
        "type: cli, runtime: {tool: kubectl, action: apply, manifests: k8s/}, timeout_sec: 9",
    ));
    assert!(
        matches!(task(&plan, "a"), Work::Program(_)),
        "a cli node with a tool (S15)"
    );
}

#[test]
fn sub_workflows_are_flattened() {
    let call =
        "type: system, workflow_ref: sub.yaml, workflow_inputs: {tag: '{{tag}}', stage: staging}";
    let gives = "type: cli, runtime: {command: 'true'}, outputs: [tag]";
    let mut outer = workflow(
        &[("a", gives), ("call", call)],
        &[("a", "call", "mode: sequential")],
        "",
    );
    assert_eq!(outer.missing_files(), ["sub.yaml"]);
    expect(&outer, "unsuitable-call", "cannot be read");
    let inner = workflow(
        &[
            ("x", "'deploy {{inputs.tag}} {{stage}} {{kind}}'"),
            ("y", "'true'"),
        ],
        &[("x", "y", "mode: conditional, when: \"stage == 'staging'\"")],
        "variables: {kind: fast}\n",
    );
    outer
        .files
        .insert("sub.yaml".to_owned(), inner.files["w.yaml"].clone());
    let plan = good(&outer);
    let ids: Vec<_> = plan.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["a", "call", "call/x", "call/y"]);
    assert_eq!(plan.nodes[2].scope, Some(NodeIndex(1)));
    let Work::Shell(deploy) = task(&plan, "call/x") else {
        panic!()
    };
    let exports: Vec<_> = deploy
        .script
        .exports()
        .iter()
        .filter(|export| export.required)
        .map(|export| export.value.clone())
        .collect();
    assert_eq!(exports[0].references()[0].to_string(), "outputs.a.tag");
    assert_eq!(exports[1].as_literal().as_deref(), Some("staging"));
    assert_eq!(exports[2].as_literal().as_deref(), Some("fast"));
    let own = workflow(
        &[("z", "type: system, workflow_ref: w.yaml")],
        &[("z", "z", "mode: fallback")],
        "",
    );
    expect(&own, "unsuitable-call", "calls itself");
}

#[test]

fn five_thousand_edges_come_to_an_end() {
    let count = 1_000;
    let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
    let nodes: Vec<(&str, &str)> = names
        .iter()
        .map(|name| {
            (
                name.as_str(),
                "type: cli, runtime: {command: 'echo $x'}, outputs: [x]",
            )
        })
        .collect();
    let mut edges = Vec::new();
    for n in 0..count - 5 {
        for k in 1..=5 {
            edges.push((names[n].as_str(), names[n + k].as_str(), "mode: sequential"));
        }
    }
    let inputs = workflow(&nodes, &edges, "variables: {x: 1}\n");
    let (_, d) = compile(&inputs);
    assert!(!d.is_empty(), "an output of many nodes is ambiguous");
}
