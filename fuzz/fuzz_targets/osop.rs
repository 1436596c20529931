//! Any bytes as a workflow and as a profile: a plan, a drawing, a workflow or an error with a place inside of the text, never a panic, and every rendering works.
#![no_main]

use canary_orchestrator::diagnostic::{
    Diagnostics, HumanOptions, to_github, to_human, to_json, to_lines, to_sarif,
};
use canary_orchestrator::osop::{parse, settings, source_from_bytes};
use canary_orchestrator::plan::draw::{Format, draw_graph};
use canary_orchestrator::plan::{Inputs, compile, graph};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = match source_from_bytes("fuzz.osop.yaml", bytes.to_vec()) {
        Ok(file) => file,
        Err(diagnostics) => return check(&diagnostics),
    };
    let inputs = Inputs::new("fuzz.osop.yaml", file.text.clone());
    let (plan, of_plan) = compile(&inputs);
    assert!(plan.is_some() != of_plan.has_errors(), "a plan if and only if there is no error");
    check(&of_plan);
    if let (Some(drawing), _) = graph(&inputs) {
        for format in [Format::Text, Format::Mermaid, Format::Dot] {
            assert!(!draw_graph(&drawing, None, format).contains('\u{1b}'));
        }
    }
    let (workflow, mut diagnostics) = parse(file.clone());
    assert!(workflow.is_some() || diagnostics.has_errors());
    let (profile, of_profile) = settings::parse_profile(file);
    diagnostics.append(of_profile);
    if let Some(workflow) = &workflow {
        diagnostics.append(settings::merge(workflow, profile.as_ref(), &["a=b".to_owned()]).1);
    }
    check(&diagnostics);
});

fn check(diagnostics: &Diagnostics) {
    for d in diagnostics.sorted() {
        assert!(d.file.text.get(d.span.start..d.span.end).is_some());
    }
    let people = to_human(diagnostics, HumanOptions::default());
    assert!(!people.contains('\u{1b}'), "control characters must not reach a terminal");
    let _ = (to_lines(diagnostics), to_github(diagnostics), to_json(diagnostics), to_sarif(diagnostics, "0"));
}
