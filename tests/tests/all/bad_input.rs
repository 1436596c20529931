//! Files and arguments that are wrong: exit code 2, the place, what to do; never a panic or a hang.

use std::fmt::Write as _;
use std::time::Duration;

use canary_tests::sandbox::{Said, Sandbox};

use crate::release::{native, sequence};

const HEAD: &str = "osop_version: \"2.0\"\nid: w\nname: W\n";
const ONE: &str = "nodes:\n  - {id: a, type: cli, purpose: p, runtime: {command: \"true\"}}\n";

/// Nothing hangs; a debug build beside other work is slower than what users get (1 s).
const BOUND: Duration = Duration::from_secs(15);

/// `validate` and `run` refuse it with these words.
#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.file("w.yaml", text);
    for arguments in [
        ["validate", "w.yaml"].as_slice(),
        &["run", "w.yaml", "--yes"],
    ] {
        calm(sandbox.canary(arguments)).exits(2).says(says);
    }
    assert!(
        !sandbox.state().join("runs").exists(),
        "a run was made of it"
    );
}

#[track_caller]
fn calm(said: Said) -> Said {
    assert!(!said.all().contains("panicked"), "{}", said.all());
    assert!(said.took < BOUND, "{:?}: {}", said.took, said.all());
    said
}

/// Warned about, and not refused.
#[track_caller]
fn warned(text: &str, says: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.file("w.yaml", text);
    calm(sandbox.canary(&["validate", "w.yaml"]))
        .exits(0)
        .says(says);
}

/// A release with these weights and this gate.
fn release(weights: [u8; 2], gate: &str) -> String {
    let set = |weight: u8| format!("action: set-weight, weight: {weight}");
    let check = "action: analyze, gates: [g], for: 5m";
    let nodes = [
        native("w1", &set(weights[0])),
        native("c1", check),
        native("w2", &set(weights[1])),
        native("c2", check),
        native("up", "action: promote"),
    ];
    let edges = sequence(&["w1", "c1", "w2", "c2", "up"]);
    format!(
        "{HEAD}nodes:\n{}{edges}x-canary:
  service: s
  traffic: {{router: local, proxy: p}}
  sources: {{prometheus: {{url: \"http://127.0.0.1:1\"}}}}
  metrics: {{preset: canary-proxy}}
  gates:
    - {{name: g, interval: 1s, {gate}}}
",
        nodes.concat()
    )
}

fn conditional(condition: &str) -> String {
    format!(
        "{HEAD}nodes:
  - {{id: a, type: cli, purpose: p, runtime: {{command: \"true\"}}, outputs: [x]}}
  - {{id: b, type: cli, purpose: p, runtime: {{command: \"true\"}}}}
edges:
  - {{from: a, to: b, mode: conditional, when: \"{condition}\"}}
"
    )
}

#[test]
fn yaml_that_is_none() {
    refused(
        &format!("{HEAD}nodes:\n  - id: a\n   type: cli\n"),
        &["yaml-syntax", "w.yaml:6:4", "check the indentation"],
    );
    refused("", &["w.yaml"]);
    refused("[1, 2]", &["w.yaml:1:1"]);
}

#[test]
fn a_key_twice() {
    let text = format!("{HEAD}id: again\n{ONE}edges: []\n");
    refused(
        &text,
        &[
            "the key `id` is already in this mapping",
            "w.yaml:4:1",
            "first time",
        ],
    );
}

#[test]
fn an_anchor_bomb() {
    let mut text = format!("{HEAD}metadata:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        writeln!(text, "  a{level}: &a{level} [{aliases}]").expect("text");
    }
    refused(
        &(text + ONE + "edges: []\n"),
        &["more than 200000 values", "w.yaml:", "aliases"],
    );
}

#[test]
fn ten_megabytes() {
    let text = format!("{HEAD}description: \"{}\"\n", "x".repeat(10 << 20));
    refused(&text, &["the file is larger than 1024 KiB", "w.yaml"]);
}

#[test]
fn ten_thousand_nodes() {
    let mut text = format!("{HEAD}nodes:\n");
    for number in 0..10_000 {
        writeln!(
            text,
            "  - {{id: n{number}, type: cli, purpose: p, runtime: {{command: \"true\"}}}}"
        )
        .expect("text");
    }
    refused(
        &(text + "edges: []\n"),
        &["more than 2000 nodes", "w.yaml:4:1", "workflow_ref"],
    );
}

#[test]
fn unknown_words() {
    refused(
        &format!("{HEAD}{ONE}edges: []\nx-canary: {{servce: s}}\n"),
        &[
            "`x-canary` has no key `servce`",
            "w.yaml:7:12",
            "did you mean `service`?",
        ],
    );
    refused(
        &format!(
            "{HEAD}nodes:\n  - {{id: a, type: cli, purpose: p, runtime: {{comand: \"true\"}}}}\nedges: []\n"
        ),
        &[
            "`runtime` of node `a` has a key `comand`",
            "w.yaml:5:46",
            "did you mean `command`?",
        ],
    );
    refused(
        &format!("{HEAD}nodes:\n  - {{id: a, type: agent, purpose: p}}\nedges: []\n"),
        &["w.yaml:5:", "agent"],
    );
    refused(
        &format!("{HEAD}{ONE}edges:\n  - {{from: a, to: bb, mode: sequential}}\n"),
        &["w.yaml:7:", "bb"],
    );
}

#[test]
fn a_query_that_is_missing() {
    let text = format!(
        "{HEAD}nodes:
  - {{id: a, type: api, purpose: p, timeout_sec: 9, runtime: {{url: \"http://127.0.0.1:1\", endpoint: /api/v1/query}}, outputs: [error_rate]}}
edges: []
"
    );
    refused(
        &text,
        &[
            "asks Prometheus for `error_rate` without saying what to ask",
            "queries:",
            "error_rate: {query:",
        ],
    );
}

#[test]
fn units_that_do_not_go_together() {
    let seconds =
        "query: 'histogram_quantile(0.99, x)', unit: s, as: s, success_condition: \"g < 500\"";
    refused(&release([10, 50], seconds), &["500ms", "500s", "w.yaml:"]);
    let data = "metric: p99_latency, success_condition: \"g < 5MB\"";
    refused(
        &release([10, 50], data),
        &["`g` is a time and `5MB` is an amount of data", "w.yaml:"],
    );
}

#[test]
fn conditions_without_end() {
    let sum = vec!["1"; 5000].join(" + ");
    refused(
        &conditional(&format!("x == {sum}")),
        &["invalid-condition", "w.yaml:8:", "at most 4096"],
    );
    let nested = format!("{}true{}", "[1].all(a, ".repeat(14), ")".repeat(14));
    refused(
        &conditional(&nested),
        &["invalid-condition", "inside each other"],
    );
    let deep = format!("{}x > 1{}", "(".repeat(1500), ")".repeat(1500));
    refused(&conditional(&deep), &["invalid-condition", "w.yaml:8:"]);
    refused(&conditional("x >"), &["invalid-condition", "w.yaml:8:"]);
}

#[test]
fn a_condition_that_is_never_true() {
    let never = "metric: error_rate, success_condition: \"g < 1% && g > 2%\"";
    warned(
        &release([10, 50], never),
        &["this can never be true: no value of `g` meets it"],
    );
}

#[test]
fn weights_that_go_down_and_no_way_back() {
    let gate = "metric: error_rate, success_condition: \"g < 1%\"";
    refused(
        &release([50, 10], gate),
        &["`w2` sets the weight to 10 % after 50 %", "w.yaml:7:"],
    );
    warned(
        &release([10, 50], gate),
        &["`w1` moves traffic, and the workflow has no rollback node"],
    );
}

#[test]
fn a_cycle_without_an_end() {
    let text =
        conditional("x > 1").replace("mode: conditional, when: \"x > 1\"", "mode: sequential");
    let text = text + "  - {from: b, to: a, mode: sequential}\n";
    refused(
        &text,
        &["`b` leads back to `a` unconditionally", "x-max-iterations"],
    );
}

#[test]
fn values_that_would_be_code() {
    let text = format!(
        "{HEAD}variables: {{x: {{type: string, default: y}}}}
nodes:
  - {{id: a, type: cli, purpose: p, runtime: {{command: \"eval {{{{x}}}}\"}}}}
edges: []
"
    );
    refused(
        &text,
        &["unsafe interpolation", "`eval` evaluates its arguments"],
    );
}

#[test]
fn values_are_never_code() {
    let sandbox = Sandbox::new();
    let text = format!(
        "{HEAD}variables: {{x: {{type: string, default: y}}}}
nodes:
  - {{id: a, type: cli, purpose: p, runtime: {{command: \"printf '%s' {{{{x}}}} > said\"}}}}
edges: []
"
    );
    sandbox.file("w.yaml", &text);
    let value = "'; touch pwned; $(touch pwned) `touch pwned` \"";
    let said = sandbox.canary(&["run", "w.yaml", "--yes", "--set", &format!("x={value}")]);
    said.exits(0).says(&["completed"]);
    assert_eq!(sandbox.text("said"), value);
    assert!(!sandbox.work().join("pwned").exists());
}

#[test]
fn files_that_are_none() {
    let sandbox = Sandbox::new();
    sandbox.file("release.yaml", &format!("{HEAD}{ONE}edges: []\n"));
    std::fs::write(sandbox.work().join("latin1.yaml"), b"name: caf\xe9").expect("a file");
    for command in ["validate", "run", "graph"] {
        calm(sandbox.canary(&[command, "."]))
            .exits(2)
            .says(&["it is a directory"]);
        calm(sandbox.canary(&[command, "relaese.yaml"]))
            .exits(2)
            .says(&["relaese.yaml", "did you mean release.yaml?"]);
        calm(sandbox.canary(&[command, "latin1.yaml"]))
            .exits(2)
            .says(&["not UTF-8", "byte 9"]);
    }
}

#[test]
fn arguments_that_are_mistyped() {
    let sandbox = Sandbox::new();
    sandbox.file("w.yaml", &format!("{HEAD}{ONE}edges: []\n"));
    let wrong: [(&[&str], &[&str]); 8] = [
        (&["validate", "w.yaml", "-o", "jsno"], &["jsno", "json"]),
        (&["graph", "w.yaml", "-o", "mermaidd"], &["mermaid"]),
        (&["run", "w.yaml", "--dryrun"], &["--dry-run"]),
        (&["run", "w.yaml", "--set", "X"], &["NAME=VALUE"]),
        (
            &["run"],
            &["nothing says what to release", "canary run --service NAME"],
        ),
        (
            &["run", "--service", "s", "--steps", "50,10"],
            &["--prometheus"],
        ),
        (
            &[
                "run",
                "--service",
                "s",
                "--steps",
                "50,10",
                "--prometheus",
                "http://127.0.0.1:1",
            ],
            &["--steps: 10 % does not come after 50 %", "10,50,100"],
        ),
        (
            &[
                "run",
                "--service",
                "s",
                "--steps",
                "150",
                "--prometheus",
                "http://127.0.0.1:1",
            ],
            &["150"],
        ),
    ];
    for (arguments, says) in wrong {
        calm(sandbox.canary(arguments)).exits(2).says(says);
    }
}
