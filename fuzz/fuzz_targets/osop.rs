//! Any bytes as a workflow and as a profile: a workflow or an error with a place inside of the text, never a panic, and every rendering works.
#![no_main]

use canary_orchestrator::diagnostic::{
    Diagnostics, HumanOptions, to_github, to_human, to_json, to_lines, to_sarif,
};
use canary_orchestrator::osop::{parse, settings, source_from_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = match source_from_bytes("fuzz.osop.yaml", bytes.to_vec()) {
        Ok(file) => file,
        Err(diagnostics) => return check(&diagnostics),
    };
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
