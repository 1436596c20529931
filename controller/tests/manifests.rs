//! What is checked in under `deploy/` is what the code makes. `CANARY_WRITE=1` writes it instead.

use std::fs;
use std::path::PathBuf;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize/base/crds")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests may be told to write what they check")]
fn the_definitions_are_those_of_the_types() {
    let write = std::env::var_os("CANARY_WRITE").is_some();
    let made = canary_controller::install::definition_files();
    assert_eq!(made.len(), 6);
    for (name, text) in made {
        let path = directory().join(&name);
        if write {
            fs::write(&path, text).expect("written");
            continue;
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is not what the types say: run `CANARY_WRITE=1 cargo test -p canary-controller --test manifests`",
            path.display()
        );
    }
}
