//! What is checked in under `deploy/` is what the code makes. `CANARY_WRITE=1` writes it instead.

use std::fs;
use std::path::{Path, PathBuf};

use canary_controller::install;

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

#[expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests may be told to write what they check, and end where they cannot"
)]
fn same(path: &Path, text: &str) {
    if std::env::var_os("CANARY_WRITE").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
        return;
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == text,
        "{} is not what the code makes: run `CANARY_WRITE=1 cargo test -p canary-controller --test manifests`",
        path.display()
    );
}

#[test]
fn the_definitions_are_those_of_the_types() {
    let made = install::definition_files();
    assert_eq!(made.len(), 6);
    for (name, text) in made {
        same(&deploy("kustomize/base/crds").join(&name), &text);
        same(&deploy("helm/canary/crds").join(&name), &text);
    }
}

#[test]
fn the_chart_holds_what_is_installed() {
    let text = install::helm_template().expect("a template");
    same(&deploy("helm/canary/templates/all.yaml"), &text);
}
