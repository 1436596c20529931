//! Each mistake is told once, and every mistake of a file at once: nothing hides another one, nothing follows from another one.

use super::draw::{Format, draw_graph};
use super::template::RunValues;
use super::{Action, Inputs, compile, graph};
use crate::diagnostic::{Diagnostics, Severity, to_lines};
use crate::node::spec::Work;
use crate::osop::settings::{ChannelTarget, WebhookUrl};

const WORKFLOW: &str = r#"osop_version: "2.0"
id: checkout
name: Checkout
variables:
  VERSION: "1.10"
  PORT: 9090
nodes:
  - id: build
    type: cli
    purpose: Builds the image
    timeout_sec: 600
    runtime:
      command: echo "$VERSION" && ./build.sh
    outputs: [image]
  - id: deploy
    type: cli
    purpose: Starts it
    timeout_sec: 600
    runtime:
      command: ./deploy.sh {{image}}
    outputs: [address]
  - id: canary_10
    type: infra
    purpose: Ten percent
    runtime: {tool: canary, action: set-weight, weight: 10}
  - id: check_10
    type: infra
    purpose: Judges it
    runtime: {tool: canary, action: analyze, duration: 10m, gates: [errors, latency]}
  - id: health
    type: api
    purpose: Asks for health
    timeout_sec: 60
    runtime:
      url: http://prometheus:9090/api/v1/query
      queries:
        restarts: {query: "sum(restarts{version=\"{{VERSION}}\"})", unit: none}
    outputs: [restarts]
  - id: promote
    type: infra
    purpose: All of it
    runtime: {tool: canary, action: promote}
  - id: rollback
    type: infra
    purpose: Takes it back
    runtime: {tool: canary, action: rollback}
edges:
  - {from: build, to: deploy}
  - {from: deploy, to: canary_10}
  - {from: canary_10, to: check_10}
  - {from: check_10, to: health}
  - {from: health, to: promote, mode: conditional, when: "restarts < 3"}
  - {from: health, to: rollback, mode: conditional, when: "restarts >= 3"}
  - {from: check_10, to: rollback, mode: fallback}
x-canary:
  service: checkout
  traffic: {router: local, proxy: checkout}
  sources:
    prometheus: {url: "http://prometheus:${PORT}", timeout: 5s}
  metrics: {preset: canary-proxy}
  gates:
    - {name: errors, metric: error_rate, success_condition: "errors < 1%", interval: 15s}
    - {name: latency, metric: p99_latency, success_condition: "latency < 500ms", window: 2m}
  deadlines: {decision: 15m}
  notify:
    ops: {type: webhook, url: "http://127.0.0.1:9/hook"}
"#;

fn diagnostics(text: &str) -> Diagnostics {
    compile(&Inputs::new("w.yaml", text)).1
}

#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}` stands there once");
    text.replace(from, to)
}

#[test]
fn the_file_that_is_broken_below_is_right() {
    assert_eq!(to_lines(&diagnostics(WORKFLOW)), "");
}

/// What is written, what is written instead, and the code of the one problem that this is.
const MISTAKES: &[(&str, &str, &str)] = &[
    // The top level.
    ("osop_version: \"2.0\"\n", "", "missing-key"),
    (
        "osop_version: \"2.0\"",
        "osop_version: \"3.0\"",
        "unsupported-version",
    ),
    (
        "osop_version: \"2.0\"",
        "osop_verson: \"2.0\"",
        "unknown-key",
    ),
    ("id: checkout\n", "", "missing-key"),
    ("name: Checkout\n", "", "missing-key"),
    ("variables:\n", "varaibles:\n", "unknown-key"),
    ("nodes:\n", "noeds:\n", "unknown-key"),
    ("edges:\n", "egdes:\n", "unknown-key"),
    ("x-canary:\n", "xcanary:\n", "unknown-key"),
    ("  VERSION: \"1.10\"\n", "", "missing-value"),
    (
        "  VERSION: \"1.10\"\n",
        "  VERSON: \"1.10\"\n",
        "missing-value",
    ),
    // Nodes.
    ("- id: build", "- idd: build", "unknown-key"),
    ("- id: build", "- id: bui ld", "invalid-name"),
    (
        "- id: build\n    type: cli",
        "- id: build\n    tpye: cli",
        "unknown-key",
    ),
    (
        "- id: build\n    type: cli",
        "- id: build\n    type: clii",
        "unknown-value",
    ),
    (
        "- id: build\n    type: cli",
        "- id: build\n    type: shell",
        "unknown-value",
    ),
    (
        "- id: build\n    type: cli",
        "- id: build\n    type: 5",
        "unknown-value",
    ),
    (
        "- id: build\n    type: cli\n",
        "- id: build\n",
        "missing-key",
    ),
    ("- id: build\n", "-\n", "missing-key"),
    ("- id: deploy\n", "- id: build\n", "duplicate-id"),
    ("    outputs: [image]", "    ouputs: [image]", "unknown-key"),
    (
        "    outputs: [image]",
        "    outputs: {image: x}",
        "wrong-type",
    ),
    (
        "command: ./deploy.sh {{image}}",
        "comand: ./deploy.sh {{image}}",
        "unknown-key",
    ),
    (
        "command: ./deploy.sh {{image}}",
        "command: ./deploy.sh {{imgae}}",
        "missing-value",
    ),
    (
        "command: ./deploy.sh {{image}}",
        "command: ./deploy.sh $imgae",
        "missing-value",
    ),
    (
        "command: ./deploy.sh {{image}}",
        "command: ./deploy.sh {{image",
        "invalid-reference",
    ),
    (
        "command: ./deploy.sh {{image}}",
        "command: eval {{image}}",
        "unsafe-interpolation",
    ),
    (
        "purpose: Starts it\n    timeout_sec: 600",
        "purpose: Starts it\n    timeout_sec: soon",
        "wrong-type",
    ),
    (
        "purpose: Starts it\n    timeout_sec: 600",
        "purpose: Starts it\n    timeout_sec: -1",
        "out-of-range",
    ),
    (
        "    runtime: {tool: canary, action: set-weight, weight: 10}",
        "    runtmie: {tool: canary, action: set-weight, weight: 10}",
        "unknown-key",
    ),
    (
        "tool: canary, action: set-weight",
        "tool: canry, action: set-weight",
        "cannot-execute",
    ),
    ("action: set-weight", "action: set-wieght", "unknown-value"),
    ("weight: 10}", "wieght: 10}", "unknown-key"),
    ("weight: 10}", "weight: 110}", "out-of-range"),
    ("weight: 10}", "weight: ten}", "out-of-range"),
    (", weight: 10}", "}", "missing-key"),
    ("action: analyze,", "action: analyse,", "unknown-value"),
    ("duration: 10m", "duration: 10 parsecs", "invalid-duration"),
    ("duration: 10m", "duraton: 10m", "unknown-key"),
    (
        "gates: [errors, latency]",
        "gates: [error, latency]",
        "unknown-gate",
    ),
    ("gates: [errors, latency]", "gates: 5", "wrong-type"),
    ("action: promote", "action: promte", "unknown-value"),
    // Queries of a node.
    ("restarts: {query:", "restart: {query:", "unknown-output"),
    ("restarts: {query:", "restarts: {qurey:", "unknown-key"),
    ("unit: none}", "unit: nones}", "unknown-value"),
    ("      queries:\n", "      querys:\n", "unknown-key"),
    // Edges.
    (
        "{from: build, to: deploy}",
        "{from: build, to: deplyo}",
        "unknown-node",
    ),
    (
        "{from: build, to: deploy}",
        "{from: build, to: nowhere}",
        "unknown-node",
    ),
    (
        "{from: build, to: deploy}",
        "{form: build, to: deploy}",
        "unknown-key",
    ),
    ("{from: build, to: deploy}", "{from: build}", "missing-key"),
    (
        "{from: deploy, to: canary_10}",
        "{from: deploy, to: nowhere}",
        "unknown-node",
    ),
    (
        "{from: canary_10, to: check_10}",
        "{from: nowhere, to: check_10}",
        "unknown-node",
    ),
    (
        "{from: canary_10, to: check_10}",
        "{from: canary_10, to: check_01}",
        "unknown-node",
    ),
    (
        "to: promote, mode: conditional",
        "to: promote, mode: conditonal",
        "unknown-value",
    ),
    (
        "to: promote, mode: conditional",
        "to: promote, mode: perhaps",
        "unknown-value",
    ),
    (
        "to: promote, mode: conditional",
        "to: promote, mode: weighted",
        "draft-edge-mode",
    ),
    (
        "to: promote, mode: conditional",
        "to: promote, mdoe: conditional",
        "unknown-key",
    ),
    (
        "to: promote, mode: conditional",
        "to: promote",
        "unused-condition",
    ),
    (
        "when: \"restarts < 3\"",
        "whn: \"restarts < 3\"",
        "unknown-key",
    ),
    (
        "when: \"restarts < 3\"",
        "when: \"restrats < 3\"",
        "invalid-condition",
    ),
    (
        "when: \"restarts < 3\"",
        "when: \"restarts <\"",
        "invalid-condition",
    ),
    (
        "when: \"restarts < 3\"",
        "when: \"restarts < 3ms\"",
        "invalid-condition",
    ),
    (
        ", mode: conditional, when: \"restarts < 3\"",
        ", mode: conditional",
        "missing-condition",
    ),
    ("mode: fallback}", "mode: falback}", "unknown-value"),
    // Settings.
    ("  traffic: {", "  trafic: {", "unknown-key"),
    (
        "  traffic: {router: local, proxy: checkout}\n",
        "",
        "missing-router",
    ),
    ("router: local", "router: lokal", "unknown-value"),
    ("router: local", "router: [local]", "wrong-type"),
    ("  sources:\n", "  source:\n", "unknown-key"),
    ("prometheus: {url", "promtheus: {url", "unknown-key"),
    ("prometheus: {url", "prometheus: {ulr", "unknown-key"),
    (
        "url: \"http://prometheus:${PORT}\"",
        "url: \"prometheus:9090\"",
        "invalid-url",
    ),
    (
        "url: \"http://prometheus:${PORT}\"",
        "url: \"${PORT}\"",
        "invalid-url",
    ),
    (
        "url: \"http://prometheus:${PORT}\"",
        "url: \"http://prometheus:${POTR}\"",
        "missing-value",
    ),
    (
        "url: \"http://prometheus:${PORT}\"",
        "url: \"http://u:p@prometheus\"",
        "inline-secret",
    ),
    (
        "url: \"http://prometheus:${PORT}\"",
        "url: \"http://prometheus/api/v1\"",
        "invalid-url",
    ),
    (
        "x-canary:\n",
        "x-canary:\n  prometheus: {url: 'http://x'}\n",
        "unknown-key",
    ),
    (
        "metric: error_rate",
        "provider: {prometheus: {query: up}}",
        "unknown-key",
    ),
    ("timeout: 5s", "timeout: 5", "invalid-duration"),
    ("timeout: 5s", "timeout: 5h", "out-of-range"),
    ("  metrics: {preset: canary-proxy}\n", "", "missing-key"),
    (
        "preset: canary-proxy",
        "preset: canary-porxy",
        "wrong-metrics",
    ),
    ("preset: canary-proxy", "prest: canary-proxy", "unknown-key"),
    ("  gates:\n", "  gate:\n", "unknown-key"),
    (
        "name: errors, metric",
        "nmae: errors, metric",
        "unknown-key",
    ),
    ("{name: errors, metric", "{metric", "missing-key"),
    ("metric: error_rate", "metric: eror_rate", "unknown-value"),
    ("metric: error_rate", "metrc: error_rate", "unknown-key"),
    ("metric: error_rate, ", "", "missing-key"),
    ("errors < 1%\"", "erors < 1%\"", "invalid-condition"),
    ("errors < 1%\"", "errors < 500ms\"", "invalid-condition"),
    ("success_condition: \"errors < 1%\", ", "", "missing-key"),
    (
        "success_condition: \"errors < 1%\"",
        "sucess_condition: \"errors < 1%\"",
        "unknown-key",
    ),
    ("interval: 15s", "interval: 15", "invalid-duration"),
    (
        "  deadlines: {decision: 15m}",
        "  deadlines: {decison: 15m}",
        "unknown-key",
    ),
    (
        "    ops: {type: webhook,",
        "    ops: {tpye: webhook,",
        "unknown-key",
    ),
    ("type: webhook,", "type: webhok,", "unknown-value"),
    ("    ops: {type: webhook,", "    ops: {", "missing-key"),
    (
        "url: \"http://127.0.0.1:9/hook\"",
        "url: \"ftp://127.0.0.1:9/hook\"",
        "invalid-url",
    ),
    (
        "service: checkout\n",
        "service: checkout\n  servise: checkout\n",
        "unknown-key",
    ),
    (
        "service: checkout\n",
        "service: checkout\n  service: other\n",
        "duplicate-key",
    ),
    ("service: checkout\n", "service: [checkout]\n", "wrong-type"),
];

#[test]
fn every_mistake_is_told_once() {
    let mut wrong = String::new();
    for (from, to, code) in MISTAKES {
        let found = to_lines(&diagnostics(&replaced(WORKFLOW, from, to)));
        let one = found.lines().count() == 1 && found.contains(&format!("[{code}]"));
        if !one {
            wrong.push_str(&format!(
                "`{from}` as `{to}`, expected one [{code}]:\n{found}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// In as many rooms as there are: each is found whatever else is wrong.
const TWELVE: &[(&str, &str, &str)] = &[
    (
        "osop_version: \"2.0\"",
        "osop_version: \"3.0\"",
        "unsupported-version",
    ),
    (
        "- id: build\n    type: cli",
        "- id: build\n    type: clii",
        "unknown-value",
    ),
    (
        "command: ./deploy.sh {{image}}",
        "command: ./deploy.sh $REGION {{image}}",
        "missing-value",
    ),
    (
        "purpose: Starts it\n    timeout_sec: 600",
        "purpose: Starts it\n    timeout_sec: soon",
        "wrong-type",
    ),
    ("weight: 10}", "wieght: 10}", "unknown-key"),
    ("duration: 10m", "duration: 10 parsecs", "invalid-duration"),
    (
        "{from: build, to: deploy}",
        "{from: build, to: deplyo}",
        "unknown-node",
    ),
    (
        "when: \"restarts < 3\"",
        "when: \"restarts < 3ms\"",
        "invalid-condition",
    ),
    ("timeout: 5s", "timeout: 5h", "out-of-range"),
    ("\"errors < 1%\"", "\"errors < 500ms\"", "invalid-condition"),
    (
        "metric: p99_latency",
        "metric: p99_latensy",
        "unknown-value",
    ),
    (
        "url: \"http://127.0.0.1:9/hook\"",
        "url: \"ftp://127.0.0.1:9/hook\"",
        "invalid-url",
    ),
];

#[test]
fn twelve_mistakes_are_told_at_once() {
    let mut text = WORKFLOW.to_owned();
    let mut expected = Vec::new();
    for (from, to, code) in TWELVE {
        text = replaced(&text, from, to);
        expected.push(*code);
    }
    let (plan, diagnostics) = compile(&Inputs::new("w.yaml", text));
    assert!(plan.is_none());
    let found = diagnostics.sorted();
    let mut codes: Vec<&str> = found.iter().map(|d| d.code).collect();
    codes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(codes, expected, "{}", to_lines(&diagnostics));
    assert!(
        found
            .iter()
            .all(|d| d.severity == Severity::Error && d.span.line > 0)
    );
}

/// Of two mistakes neither hides the other, whichever they are.
#[test]
fn no_mistake_hides_another() {
    let (from, to, code) = (
        "when: \"restarts >= 3\"",
        "when: \"restarts >= 3ms\"",
        "[invalid-condition]",
    );
    let mut wrong = String::new();
    for (other_from, other_to, other_code) in MISTAKES {
        // Without nodes, or their outputs, there is nothing that a condition could be compared with.
        if other_from.starts_with("nodes")
            || other_from.contains("unit: none")
            || other_from.contains("queries")
            || other_from.contains("restarts: ")
        {
            continue;
        }
        let text = replaced(&replaced(WORKFLOW, from, to), other_from, other_to);
        let found = to_lines(&diagnostics(&text));
        let both = found.contains(code) && found.contains(&format!("[{other_code}]"));
        if !both || found.lines().count() != 2 {
            wrong.push_str(&format!("`{other_from}` as `{other_to}`:\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is no workflow is told in one line, not as everything that a workflow would have.
#[test]
fn another_kind_of_file_is_named() {
    for (text, expected) in [
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n",
            "a Kubernetes object",
        ),
        (
            "service: checkout\ntraffic: {router: local}\n",
            "this is a profile",
        ),
        ("tests: []\nname: x\n", "a file of tests"),
        ("stages: [a]\njobs: {}\n", "this is no workflow"),
    ] {
        let found = to_lines(&diagnostics(text));
        assert!(
            found.lines().count() == 1 && found.contains(expected),
            "{found}"
        );
    }
}

/// A profile that cannot be read may hold whatever is missing.
#[test]
fn a_broken_profile_is_the_only_problem() {
    let text = WORKFLOW.split("x-canary:").next().unwrap_or_default();
    let profile = WORKFLOW.split("x-canary:").nth(1).unwrap_or_default();
    let said = |profile: &str| {
        to_lines(&compile(&Inputs::new("w.yaml", text).with_profile("p.yaml", profile)).1)
    };
    let profile = profile.replace("\n  ", "\n");
    assert_eq!(said(&profile), "");
    let broken = said(&format!("{profile}more: [\n"));
    assert_eq!(broken.lines().count(), 1, "{broken}");
    assert!(broken.starts_with("p.yaml:"), "{broken}");
}

#[test]
fn what_is_broken_is_drawn() {
    for (from, to, _) in MISTAKES {
        if from.starts_with("nodes") {
            continue;
        }
        let text = replaced(WORKFLOW, from, to);
        let (drawing, _) = graph(&Inputs::new("w.yaml", text));
        let drawing = drawing.unwrap_or_default();
        assert!(drawing.nodes.len() >= 6, "`{to}`: {drawing:?}");
        let lost = from.starts_with("edges") || to.starts_with("-\n");
        assert!(lost || drawing.edges.len() >= 5, "`{to}`: {drawing:?}");
    }
    assert!(graph(&Inputs::new("w.yaml", "a: [")).0.is_none());
    assert!(
        graph(&Inputs::new("w.yaml", "osop_version: '1.0'"))
            .0
            .is_none()
    );
}

/// Without their profiles they cannot be executed; they can be drawn.
#[test]
fn seeds_are_drawn_without_their_profiles() {
    let examples = [
        (
            include_str!("../../../examples/demo.osop.yaml"),
            "canary_50",
        ),
        (
            include_str!("../../../examples/k8s-rollout.osop.yaml"),
            "health_check_10",
        ),
        (
            include_str!("../../../examples/kubernetes-deploy.osop.yaml"),
            "push_to_ecr",
        ),
    ];
    for (text, node) in examples {
        let (drawing, _) = graph(&Inputs::new("w.yaml", text));
        let drawing = drawing.unwrap_or_default();
        let written = text.matches("- from:").count() + text.matches("- {from:").count();
        assert_eq!(drawing.edges.len(), written, "{node}");
        for format in [Format::Text, Format::Mermaid, Format::Dot] {
            assert!(
                draw_graph(&drawing, None, format).contains(node),
                "{node} as {format:?}"
            );
        }
    }
}

/// What a variable becomes in the command of `build`, in a condition's type, and in an address.
#[test]
fn variables_are_what_is_written() {
    let text = |value: &str| {
        let text = replaced(WORKFLOW, "VERSION: \"1.10\"", &format!("VERSION: {value}"));
        replaced(
            &text,
            "http://127.0.0.1:9/hook",
            "http://127.0.0.1:9/${VERSION}",
        )
    };
    for (written, expected) in [
        ("1.10", "1.10"),
        ("\"1.10\"", "1.10"),
        ("1.1", "1.1"),
        ("0755", "0755"),
        ("0o17", "0o17"),
        ("1e3", "1e3"),
        ("+5", "+5"),
        ("007", "007"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("0x1F", "0x1F"),
        (".5", ".5"),
        ("True", "True"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("2026-11-21", "2026-11-21"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("{default: 1.10, type: string}", "1.10"),
    ] {
        let (plan, diagnostics) = compile(&Inputs::new("w.yaml", text(written)));
        assert_eq!(to_lines(&diagnostics), "", "{written}");
        let plan = plan.unwrap();
        let ChannelTarget::Webhook {
            url: WebhookUrl::Plain(url),
            ..
        } = &plan.settings.notify[0].target
        else {
            panic!("a webhook")
        };
        assert_eq!(
            url.value,
            format!("http://127.0.0.1:9/{expected}"),
            "{written}"
        );
        let Action::Task(task) = &plan.nodes[0].action else {
            panic!("a task")
        };
        let Work::Shell(shell) = &task.work else {
            panic!("a command")
        };
        let values = RunValues {
            values: &plan.values,
            outputs: |_: &str, _: &str| None,
            iteration: 0,
        };
        let exports = shell.script.exports();
        let version = exports
            .iter()
            .find(|export| export.variable == "VERSION")
            .unwrap();
        assert_eq!(
            version.value.render(&values).as_deref(),
            Ok(expected),
            "{written}"
        );
        // As the command line takes it.
        let mut set = Inputs::new("w.yaml", text("other"));
        if !written.starts_with(['"', '{']) {
            set.sets.push(("VERSION".to_owned(), written.to_owned()));
            let plan = compile(&set).0.unwrap();
            let ChannelTarget::Webhook {
                url: WebhookUrl::Plain(url),
                ..
            } = &plan.settings.notify[0].target
            else {
                panic!("a webhook")
            };
            assert_eq!(
                url.value,
                format!("http://127.0.0.1:9/{expected}"),
                "--set {written}"
            );
        }
    }
}

#[test]
fn addresses_take_variables_and_no_secrets() {
    let with = |url: &str| {
        let text = replaced(WORKFLOW, "http://prometheus:${PORT}", url);
        let mut inputs = Inputs::new("w.yaml", text);
        inputs
            .environment
            .insert("HOST".to_owned(), "prom.example".to_owned());
        inputs
            .environment
            .insert("LOGIN".to_owned(), "ann:geheim".to_owned());
        inputs
            .environment
            .insert("API_TOKEN".to_owned(), "geheim".to_owned());
        let (plan, diagnostics) = compile(&inputs);
        let url = plan.and_then(|plan| Some(plan.settings.sources.prometheus?.url.value));
        (
            url,
            crate::diagnostic::to_human(&diagnostics, crate::diagnostic::HumanOptions::default()),
        )
    };
    for (url, expected) in [
        ("http://prometheus:${PORT}", "http://prometheus:9090"),
        (
            "http://{{HOST}}:{{PORT}}/{{service}}",
            "http://prom.example:9090/checkout",
        ),
        (
            "https://${inputs.VERSION}.${env.HOST}",
            "https://1.10.prom.example",
        ),
        ("http://${MISSING:-localhost}", "http://localhost"),
    ] {
        assert_eq!(
            with(url),
            (Some(expected.to_owned()), String::new()),
            "{url}"
        );
    }
    for (url, expected) in [
        (
            "${HOST}",
            "becomes `prom.example`, and it does not start with",
        ),
        ("http://${HOST}:${VERSION}", "its port is no number"),
        ("http://${LOGIN}@prometheus", "holds a user or password"),
        (
            "http://prometheus/?key=${API_TOKEN}",
            "`API_TOKEN` looks like one",
        ),
        ("http://prometheus/${secrets.KEY}", "holds no secrets"),
        (
            "http://${outputs.deploy.address}",
            "must be known before the run",
        ),
        (
            "http://${NOBODY}",
            "`NOBODY` has no value; `sources.prometheus.url` needs it",
        ),
        ("http://${HOST", "no `}` follows"),
    ] {
        let (plan, said) = with(url);
        assert_eq!(plan, None, "{url}");
        assert!(said.contains(expected), "{url}: {said}");
        assert!(
            said.contains("1 error, 0 warnings") && !said.contains("geheim"),
            "{url}: {said}"
        );
    }
}
