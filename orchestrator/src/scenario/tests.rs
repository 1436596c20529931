//! The format, on our own scenario files: what users get is what we use.

use std::path::PathBuf;

use super::{ScenarioResult, run};
use crate::diagnostic::{SourceFile, to_lines};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
}

fn run_file(name: &str) -> ScenarioResult {
    let text = std::fs::read_to_string(directory().join(name)).unwrap();
    run(SourceFile::new(name, text), &|name| {
        std::fs::read_to_string(directory().join(name)).map_err(|error| error.to_string())
    })
}

fn run_text(text: &str) -> ScenarioResult {
    run(SourceFile::new("test.yaml", text), &|name| {
        std::fs::read_to_string(directory().join(name)).map_err(|error| error.to_string())
    })
}

#[test]
fn our_scenarios_pass() {
    let mut names: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| !name.contains(".osop.") && !name.contains(".profile."))
        .collect();
    names.sort();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let result = run_file(&name);
        assert!(
            result.passed(),
            "{}\n{}",
            to_lines(&result.diagnostics),
            result.to_text(false)
        );
        assert!(!result.tests.is_empty());
    }
}

#[test]
fn a_difference_says_what_was_expected_and_what_was_there() {
    let result = run_text(
        r#"tests:
  - name: wrong in many ways
    workflow: ../../examples/demo.osop.yaml
    profile: router.profile.yaml
    gates: {error-rate: 0.2, p99-latency: 120}
    expect:
      outcome: promoted
      exit: 0
      path: [canary_10, check_10, canary_50]
      status: {rollback: skipped}
      weights: [10, 50]
      notifications: [{topic: ended, contains: "promoted"}]
      at: [{time: 1s, phase: baking, weight: 100, waits: "godot", headline: "fine"}]
"#,
    );
    let text = result.to_text(false);
    assert!(!result.passed());
    for part in [
        "FAIL test.yaml:2 wrong in many ways",
        "expected: promoted\n    actual:   rolled-back (",
        "expected: canary_10 -> check_10 -> canary_50\n    actual:   canary_10 -> check_10 -> rollback",
        "exit code",
        "weights",
        "status of rollback",
        "phase at 1s",
        "... godot ...",
        "-> set weight 0 %",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn what_is_wrong_with_a_file_has_a_place() {
    for (text, wanted) in [
        (
            "tests:\n  - nam: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    expect: {outcome: promoted}\n",
            "name",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    expect: {outcom: promoted}\n",
            "outcome",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    expect: {outcome: promotd}\n",
            "promoted",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    gates: {error-rat: 1}\n    expect: {outcome: promoted}\n",
            "error-rate",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    nodes: {promot: failed}\n    expect: {outcome: promoted}\n",
            "promote",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    until: soon\n    expect: {outcome: promoted}\n",
            "soon",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    weight: 300\n    expect: {outcome: promoted}\n",
            "300",
        ),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    happens: [{at: 1s}]\n    expect: {outcome: promoted}\n",
            "exactly one",
        ),
        (
            "tests:\n  - name: x\n    gate: {name: g, query: up, sucess_condition: \"result < 1\"}\n    results: [1]\n    expect: {verdict: pass}\n",
            "success_condition",
        ),
        ("tests:\n  - name: x\n", "neither `gate` nor `workflow`"),
        (
            "tests:\n  - name: x\n    workflow: ../../examples/demo.osop.yaml\n    profile: router.profile.yaml\n    expect: {}\n",
            "cannot fail",
        ),
        ("test: []\n", "tests"),
    ] {
        let result = run_text(text);
        let mut lines = to_lines(&result.diagnostics);
        for diagnostic in result.diagnostics.sorted() {
            lines.push_str(&diagnostic.help.join("\n"));
        }
        assert!(
            !result.passed() && lines.contains("test.yaml:") && lines.contains(wanted),
            "{wanted}: {lines}\n{text}"
        );
    }
}

#[test]
fn a_missing_workflow_is_a_problem_of_its_test() {
    let result = run_text(
        "tests:\n  - name: x\n    workflow: nowhere.yaml\n    expect: {outcome: promoted}\n",
    );
    assert!(!result.passed());
    assert!(
        result.to_text(false).contains("nowhere.yaml"),
        "{}",
        result.to_text(false)
    );
}

/// The whole story of three runs, word for word: what is done first is what matters here.
#[test]
fn traces() {
    let result = run_file("release.yaml");
    for (file, name) in [
        (
            "errors",
            "errors at 10 % take the canary off before the way back begins",
        ),
        ("abort", "abort takes traffic off at once"),
        ("crash", "after a crash no soak is carried over"),
    ] {
        let test = result.tests.iter().find(|test| test.name == name).unwrap();
        insta::assert_snapshot!(file, test.trace);
    }
}
