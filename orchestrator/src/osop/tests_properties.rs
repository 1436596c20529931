//! Whatever the text: an answer.

use proptest::prelude::*;

use super::*;
use crate::diagnostic::{HumanOptions, to_human, to_lines};

/// Pieces that workflows are made of, so that random text gets far.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "nodes:",
            "edges:",
            "- ",
            "  ",
            "\n",
            "\t",
            "\r\n",
            ": ",
            "id: a",
            "type: cli",
            "runtime: ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "&a ",
            "*a",
            "<<: ",
            "'",
            "\"",
            "|\n",
            ">-\n",
            "#",
            "---\n",
            "!!str ",
            "!x ",
            "? ",
            "approval_gate: ",
            "when: x",
            "mode: switch",
            "x-canary:",
            "gates: ",
            "{{x}}",
            "${x}",
            "\u{feff}",
            "\u{2028}",
            "ü",
            "%YAML 1.2\n",
            "null",
            "1e999",
            "-.inf",
            "0x",
            "osop_version: '1.0'",
            "retry_policy: ",
            "\\",
            "\0",
            "from: a",
            "to: a",
            "~",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,8}",
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Any text: no panic, an answer in bounded time, places within the text, and either a workflow or an error.
    #[test]
    fn any_text_is_answered(pieces in prop::collection::vec(piece(), 0..60)) {
        check(&pieces.concat());
    }

    /// An example with one part cut out, doubled or replaced.
    #[test]
    fn a_broken_example_is_answered(cut in any::<(prop::sample::Index, prop::sample::Index)>(), new in piece()) {
        let text = include_str!("../../../examples/k8s-rollout.osop.yaml");
        let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let (a, b) = (bounds[cut.0.index(bounds.len())], bounds[cut.1.index(bounds.len())]);
        let (from, to) = (a.min(b), (a.max(b)).min(a.min(b) + 40));
        let to = bounds.iter().copied().find(|at| *at >= to).unwrap_or(text.len());
        check(&format!("{}{new}{}", &text[..from], &text[to..]));
        check(&format!("{}{}", &text[..to], &text[from..]));
    }
}

/// Findings of the fuzz target `osop` stay found.
#[test]
fn the_fuzz_corpus_is_answered() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/osop");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        if let Ok(file) = source_from_bytes("w.yaml", std::fs::read(entry.unwrap().path()).unwrap())
        {
            check(&file.text);
        }
        files += 1;
    }
    assert!(files >= 5, "{corpus} holds {files} files");
}

fn check(text: &str) {
    let file = SourceFile::new("w.yaml", text);
    let (workflow, mut diagnostics) = parse(file.clone());
    assert!(workflow.is_some() || diagnostics.has_errors());
    if let Some(workflow) = &workflow {
        let (profile, profile_diagnostics) = settings::parse_profile(file);
        diagnostics.append(settings::merge(workflow, profile.as_ref(), &[]).1);
        diagnostics.append(profile_diagnostics);
    }
    for d in diagnostics.sorted() {
        assert!(
            d.span.start <= d.span.end && d.span.end <= d.file.text.len(),
            "{d:?}"
        );
        assert!(d.file.text.get(d.span.start..d.span.end).is_some(), "{d:?}");
    }
    drop(to_human(
        &diagnostics,
        HumanOptions {
            color: true,
            width: 80,
            limit: 20,
        },
    ));
    drop((
        to_lines(&diagnostics),
        crate::diagnostic::to_github(&diagnostics),
    ));
    drop((
        crate::diagnostic::to_json(&diagnostics),
        crate::diagnostic::to_sarif(&diagnostics, "0"),
    ));
}
