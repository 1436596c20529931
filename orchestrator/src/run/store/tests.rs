use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;

fn store(directory: &tempfile::TempDir) -> Store {
    Store::new(
        &directory.path().join("state"),
        &directory.path().join("run"),
    )
}

fn snapshot(service: &str) -> Snapshot {
    Snapshot {
        format: SNAPSHOT_FORMAT,
        canary: "0.1.0".to_owned(),
        created_at: Timestamp::from_second(1_700_000_000).unwrap(),
        service: service.to_owned(),
        workflow: "release".to_owned(),
        hash: "abc".to_owned(),
        inputs: json!({"files": {"a.osop.yaml": "id: a"}}),
        options: json!({"yes": true}),
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn ids_are_short_and_count_up_per_service() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let ids: Vec<_> = ["checkout", "checkout", "Café / shop", "", "checkout"]
        .map(|service| store.create(&snapshot(service)).unwrap().id().to_owned())
        .into();
    assert_eq!(
        ids,
        [
            "checkout-1",
            "checkout-2",
            "caf-shop-1",
            "run-1",
            "checkout-3"
        ]
    );
    assert_eq!(slug(&"x/".repeat(500)).len(), MAX_SERVICE - 1);
    assert_eq!(slug("../../etc"), "etc");
}

#[test]
fn two_that_start_at_once_get_two_ids() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut ids = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| store.create(&snapshot("s")).unwrap().id().to_owned()))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect::<Vec<_>>()
    });
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[test]
fn what_is_kept_is_private_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let run = store(&directory).create(&snapshot("s")).unwrap();
    assert_eq!(run.snapshot().unwrap(), snapshot("s"));
    run.append_journal(0).unwrap();
    run.write_report(&json!({"phase": "ended"})).unwrap();
    drop(run.lock().unwrap());
    assert_eq!(mode(run.path()), 0o700);
    assert_eq!(mode(&run.nodes()), 0o700);
    for file in ["inputs.json", "journal.jsonl", "lock", "report.json"] {
        assert_eq!(mode(&run.path().join(file)), 0o600, "{file}");
    }
    assert_eq!(run.read_report::<Value>().unwrap()["phase"], "ended");
}

#[test]
fn a_run_is_found_by_id_by_prefix_or_because_it_is_the_only_active_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    assert!(matches!(
        store.resolve(None, Wanted::Any),
        Err(StoreError::NoRuns)
    ));
    let first = store.create(&snapshot("checkout")).unwrap();
    let second = store.create(&snapshot("search")).unwrap();
    assert_eq!(store.open("se").unwrap(), second);
    let third = store.create(&snapshot("search")).unwrap();
    let ambiguous = store.open("search").unwrap_err().to_string();
    assert!(
        ambiguous.contains("search-1") && ambiguous.contains("search-2"),
        "{ambiguous}"
    );
    assert_eq!(store.open("search-1").unwrap(), second);
    let unknown = store.open("chekout-1").unwrap_err().to_string();
    assert!(unknown.contains("did you mean checkout-1"), "{unknown}");
    assert!(matches!(store.open(""), Err(StoreError::Unknown { .. })));
    assert!(matches!(
        store.open("../../etc"),
        Err(StoreError::Unknown { .. })
    ));

    assert!(
        matches!(store.resolve(None, Wanted::Active), Err(StoreError::SeveralActive(ids)) if ids.len() == 3)
    );
    first.write_report(&json!({})).unwrap();
    third.write_report(&json!({})).unwrap();
    assert_eq!(store.resolve(None, Wanted::Active).unwrap(), second);
    second.write_report(&json!({})).unwrap();
    assert!(matches!(
        store.resolve(None, Wanted::Active),
        Err(StoreError::NoneActive)
    ));
    assert_eq!(store.resolve(None, Wanted::Any).unwrap(), third);
}

#[test]
fn pruning_keeps_what_may_still_be_needed() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let runs: Vec<_> = (0..5)
        .map(|_| store.create(&snapshot("s")).unwrap())
        .collect();
    for run in [0, 1, 3, 4] {
        runs[run].write_report(&json!({})).unwrap();
    }
    let held = runs[1].lock().unwrap();
    assert_eq!(store.prune(0, true).unwrap(), ["s-4", "s-1"]);
    assert_eq!(store.prune(0, false).unwrap(), ["s-4", "s-1"]);
    drop(held);
    let left: Vec<_> = store
        .list()
        .unwrap()
        .iter()
        .map(|run| run.id().to_owned())
        .collect();
    assert_eq!(left, ["s-5", "s-3", "s-2"]);
    assert_eq!(store.create(&snapshot("s")).unwrap().id(), "s-6");
}

#[test]
fn a_snapshot_of_another_format_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = store(&directory)
        .create(&Snapshot {
            format: 9,
            ..snapshot("s")
        })
        .unwrap();
    let error = run.snapshot().unwrap_err().to_string();
    assert!(
        error.contains("format 9") && error.contains("format 1"),
        "{error}"
    );
}

#[test]
fn a_creation_that_was_interrupted_is_no_run() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    store.create(&snapshot("s")).unwrap();
    std::fs::create_dir(directory.path().join("state/runs/s-2")).unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.create(&snapshot("s")).unwrap().id(), "s-3");
}

#[test]
fn a_socket_whose_path_is_too_long_goes_to_the_runtime_directory() {
    let directory = tempfile::tempdir().unwrap();
    let near = store(&directory).create(&snapshot("s")).unwrap();
    assert_eq!(
        near.prepare_socket().unwrap(),
        near.path().join("control.sock")
    );
    assert_eq!(near.socket(), near.path().join("control.sock"));

    let long = Store::new(
        &directory.path().join("x".repeat(100)),
        &directory.path().join("run"),
    );
    let far = long.create(&snapshot("s")).unwrap();
    let path = far.prepare_socket().unwrap();
    assert!(path.starts_with(directory.path().join("run")));
    assert_eq!(far.socket(), path);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert_eq!(
        far.prepare_socket().unwrap(),
        path,
        "what a killed driver left is removed"
    );
    assert!(!path.exists());

    std::fs::set_permissions(
        path.parent().unwrap(),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let error = far.prepare_socket().unwrap_err().to_string();
    assert!(error.contains("0700"), "{error}");
}

#[test]
fn half_a_file_is_never_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    write_atomically(&path, b"one").unwrap();
    let error =
        write_atomically(&directory.path().join("missing/report.json"), b"two").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    write_atomically(&path, b"three").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"three");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}
