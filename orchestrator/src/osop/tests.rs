use std::fmt::Write as _;

use super::model::{EdgeMode, JoinMode};
use super::*;
use crate::diagnostic::{HumanOptions, to_human, to_lines};

fn seed(name: &str) -> SourceFile {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name);
    let bytes = std::fs::read(path).expect("the example is there");
    source_from_bytes(name, bytes).expect("it is text")
}

#[test]
fn examples_have_no_problem() {
    for (name, nodes, edges) in [
        ("k8s-rollout.osop.yaml", 9, 10),
        ("kubernetes-deploy.osop.yaml", 7, 6),
    ] {
        let (workflow, diagnostics) = parse(seed(name));
        assert_eq!(to_lines(&diagnostics), "", "{name}");
        let workflow = workflow.expect("a workflow");
        assert_eq!(
            (workflow.nodes.len(), workflow.edges.len()),
            (nodes, edges),
            "{name}"
        );
    }
}

/// Each: a heading, a file, and what is said about it.
#[test]
fn bad_input_is_explained() {
    let mut all = String::new();
    for case in include_str!("bad_input.txt").split("=== ") {
        let (heading, text) = case.split_once('\n').expect("a heading");
        let (_, diagnostics) = parse(SourceFile::new("w.yaml", text));
        assert!(!diagnostics.is_empty(), "nothing was said about: {heading}");
        all.push_str(&format!(
            "=== {heading}\n{}\n",
            to_human(&diagnostics, HumanOptions::default())
        ));
    }
    assert!(
        !all.contains('\u{1b}'),
        "control characters must not reach a terminal"
    );
    insta::assert_snapshot!(all);
}

pub(super) const HEAD: &str = "osop_version: '1.0'\nid: w\nname: W\n";

pub(super) fn nodes(number: usize) -> String {
    let mut text = format!("{HEAD}nodes:\n");
    for n in 0..number {
        let _ = writeln!(
            text,
            "- {{id: node_{n}, type: cli, purpose: node number {n}}}"
        );
    }
    text
}

#[test]
fn the_largest_workflow_is_read() {
    let edges: String = (1..2_000)
        .map(|n| format!("- {{from: node_{}, to: node_{n}}}\n", n - 1))
        .collect();
    let (workflow, diagnostics) = parse(SourceFile::new(
        "w.yaml",
        format!("{}edges:\n{edges}", nodes(2_000)),
    ));
    assert_eq!(to_lines(&diagnostics), "");
    let workflow = workflow.expect("a workflow");
    assert_eq!((workflow.nodes.len(), workflow.edges.len()), (2_000, 1_999));
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let said =
        |bytes: &[u8]| to_lines(&source_from_bytes("w.yaml", bytes.to_vec()).expect_err("no text"));
    let lines = said(b"id: w\nname: \xff\n");
    assert!(
        lines.starts_with("w.yaml:2:7: error: the file is not UTF-8"),
        "{lines}"
    );
    assert!(said(&[0xff, 0xfe, b'i', 0]).contains("w.yaml:1:1"));
    assert!(said(&vec![b'#'; MAX_FILE_BYTES + 1]).contains("[file-too-large]"));
}

#[test]
fn line_ends_and_byte_order_marks_do_not_move_places() {
    let text = format!("{HEAD}nodes:\n- {{id: ü, type: clii, purpose: p}}\n");
    let plain = to_lines(&parse(SourceFile::new("w.yaml", text.as_str())).1);
    assert!(plain.starts_with("w.yaml:5:17: error:"), "{plain}");
    let windows = text.replace('\n', "\r\n");
    assert_eq!(
        to_lines(&parse(SourceFile::new("w.yaml", windows.as_str())).1),
        plain
    );
    assert_eq!(
        to_lines(&parse(SourceFile::new("w.yaml", format!("\u{feff}{windows}"))).1),
        plain
    );
    let (_, first_line) = parse(SourceFile::new("w.yaml", "\u{feff}bad: 1\n"));
    assert!(
        to_lines(&first_line).contains("w.yaml:1:1: error: the workflow has no key `bad`"),
        "{}",
        to_lines(&first_line)
    );
}

#[test]
fn json_is_read_as_well() {
    let text = "{\n\t\"osop_version\": \"1.0\",\n\t\"id\": \"w\", \"name\": \"\\u00fc\\ud83d\\ude00 \\/\",\n\t\"nodes\": \
                [\n\t\t{\"id\": \"a\", \"type\": \"cli\", \"purpose\": \"p\", \"runtime\": {\"command\": null}}\n\t]\n}\n";
    let (workflow, diagnostics) = parse(SourceFile::new("w.osop.json", text));
    assert_eq!(to_lines(&diagnostics), "");
    let workflow = workflow.expect("a workflow");
    assert_eq!(workflow.name.as_str(), "ü😀 /");
    assert!(!workflow.nodes[0].runtime.has("command"));
}

/// Every value of a file says where it is.
#[test]
fn places_are_those_of_the_text() {
    let text = format!(
        "{HEAD}nodes:\n- id: a\n  type: cli\n  purpose: 'quoted'\n  runtime:\n    command: |\n      line\n  outputs: [x, \"y\"]\n"
    );
    let (workflow, _) = parse(SourceFile::new("w.yaml", text.as_str()));
    let workflow = workflow.expect("a workflow");
    let written = |span: crate::diagnostic::Span| &text[span.start..span.end];
    let node = &workflow.nodes[0];
    assert_eq!(written(node.id.span), "a");
    assert_eq!(written(node.purpose.as_ref().unwrap().span), "'quoted'");
    assert_eq!(written(node.outputs[1].name.span), "\"y\"");
    assert_eq!(
        (
            node.outputs[1].name.span.line,
            node.outputs[1].name.span.column
        ),
        (11, 16)
    );
    assert!(written(node.span).starts_with("id: a") && written(node.span).ends_with("\"y\"]"));
    let purpose = node.purpose.clone().unwrap();
    let inside = workflow.file.inside(&purpose, 2, 4);
    assert_eq!((written(inside), inside.column), ("ot", 15));
}

#[test]
fn all_forms_of_approval_come_out_as_one() {
    for (form, expected) in [
        ("approval_gate: true", Some((true, 1, None))),
        ("approval_gate: false", Some((false, 1, None))),
        (
            "approval_gate: {required: true, timeout_hours: 2}",
            Some((true, 1, Some(7_200))),
        ),
        ("approval_gate: {required: false}", Some((false, 1, None))),
        (
            "approval_gate: {approver_role: lead}",
            Some((true, 1, None)),
        ),
        (
            "approval_gate: {required_approvers: 2, timeout_min: 30}",
            Some((true, 2, Some(1_800))),
        ),
        ("approval_gate: {min_approvals: 3}", Some((true, 3, None))),
        (
            "approval_gate: {required_approvers: 0}",
            Some((false, 1, None)),
        ),
        (
            "approval_gate: {mandatory: true, approvers: [a]}",
            Some((true, 1, None)),
        ),
        (
            "security: {risk_level: high, approval_gate: {required_approvers: 2}}",
            Some((true, 2, None)),
        ),
        ("security: {risk_level: high}", None),
    ] {
        let text = format!("{HEAD}nodes:\n- {{id: a, type: human, purpose: p, {form}}}\n");
        let (workflow, diagnostics) = parse(SourceFile::new("w.yaml", text));
        assert_eq!(to_lines(&diagnostics), "", "{form}");
        let found = workflow.unwrap().nodes.remove(0).approval;
        let found = found.map(|gate| {
            (
                gate.required.value,
                gate.approvals.value,
                gate.timeout.map(|t| t.value.as_secs()),
            )
        });
        assert_eq!(found, expected, "{form}");
    }
}

#[test]
fn edges_are_read_as_the_schema_says() {
    let edge = |text: &str| {
        let text = format!(
            "{HEAD}nodes:\n- {{id: a, type: cli, purpose: p}}\n- {{id: b, type: cli, purpose: p}}\nedges: [{{from: a, to: b, {text}}}]\n"
        );
        let (workflow, diagnostics) = parse(SourceFile::new("w.yaml", text));
        assert_eq!(to_lines(&diagnostics), "");
        workflow.unwrap().edges.remove(0)
    };
    assert_eq!(edge("label: x").mode.value, EdgeMode::Sequential);
    assert_eq!(
        edge("mode: conditional, condition: x > 1")
            .when
            .unwrap()
            .value,
        "x > 1"
    );
    assert_eq!(
        edge("mode: conditional, when: true").when.unwrap().value,
        "true"
    );
    assert_eq!(
        edge("mode: conditional, when: 'a  ', condition: a")
            .when
            .unwrap()
            .value,
        "a  "
    );
    assert_eq!(
        edge("mode: fallback, condition: x").mode.value,
        EdgeMode::Fallback
    );
    let join = edge("join_mode: wait_n, join_count: 2").join.unwrap();
    assert_eq!(
        (join.mode.value, join.count.unwrap().value),
        (JoinMode::Count, 2)
    );
    let looped = edge("mode: loop, when: x, x-max-iterations: 3, x-optional: true, x-mine: y");
    assert_eq!(looped.max_iterations.unwrap().value, 3);
    assert!(looped.optional.unwrap().value);
    assert_eq!(looped.extensions.keys().collect::<Vec<_>>(), ["x-mine"]);
    let switch =
        edge("mode: switch, cases: [{value: 1, to: b}, {value: null, to: a}], default_to: b");
    assert_eq!(switch.cases.len(), 2);
    assert!(switch.cases[1].value.is_none());
}

/// Files of a directory that is named by `OSOP_CORPUS`, for example a checkout of the official examples: each is read without an error.
#[test]
#[ignore = "needs a directory of workflows"]
fn corpus() {
    #[expect(clippy::disallowed_methods, reason = "a test that is run by hand")]
    let root = std::env::var("OSOP_CORPUS").expect("OSOP_CORPUS names a directory");
    let mut directories = vec![std::path::PathBuf::from(root)];
    let (mut good, mut bad) = (0, 0);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                directories.push(path);
            } else if name.contains(".osop") && !name.contains("osoplog") {
                let file = source_from_bytes(&name, std::fs::read(&path).unwrap()).expect("text");
                let (_, diagnostics) = parse(file);
                if diagnostics.has_errors() {
                    bad += 1;
                } else {
                    good += 1;
                }
                print!("{}", to_lines(&diagnostics));
            }
        }
    }
    println!("{good} without an error, {bad} with");
    assert_eq!((good > 0, bad), (true, 0));
}
