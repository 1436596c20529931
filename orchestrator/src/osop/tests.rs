use super::*;
use crate::diagnostic::to_lines;

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

/// Files of a directory that is named by `OSOP_CORPUS`; prints what each lacks.
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
                    bad += 1
                } else {
                    good += 1
                }
                print!("{}", to_lines(&diagnostics));
            }
        }
    }
    println!("{good} without an error, {bad} with");
}
