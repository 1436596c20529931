//! The short form is a workflow, whatever it is made of.

use super::*;
use crate::diagnostic::SourceFile;
use crate::osop;

fn problems(form: &ShortForm) -> String {
    let (_, diagnostics) = osop::parse(SourceFile::new("short.osop.yaml", form.to_osop()));
    crate::diagnostic::to_lines(&diagnostics)
}

#[test]
fn the_short_form_is_a_workflow_without_a_complaint() {
    let prometheus = ShortForm::new(
        "checkout",
        ShortEvidence::Prometheus("http://prometheus:9090".to_owned()),
    );
    assert_eq!(problems(&prometheus), "");
    let scrape = ShortEvidence::Scrape {
        stable: vec!["http://a/metrics".to_owned()],
        canary: vec!["http://b/metrics".to_owned()],
    };
    let full = ShortForm {
        slack: Some("#releases".to_owned()),
        p99_latency: None,
        ..ShortForm::new("checkout", scrape)
    };
    assert_eq!(problems(&full), "");
}

#[test]
fn a_name_cannot_become_yaml() {
    let name = "a: b # c\"\n- d";
    let form = ShortForm::new(name, ShortEvidence::Prometheus("http://p".to_owned()));
    assert!(
        problems(&form).is_empty() || !problems(&form).contains("syntax"),
        "{}",
        problems(&form)
    );
    assert_eq!(quote("yes"), "\"yes\"");
    assert_eq!(quote("10"), "\"10\"");
    assert_eq!(quote("checkout-api"), "checkout-api");
}
