//! Scripts and programs.

use super::*;

async fn outputs(world: &World, script: &str) -> BTreeMap<String, Value> {
    let result = world.run(Work::Shell(shell(script))).await;
    assert_eq!((result.status, result.error), (NodeStatus::Completed, None));
    result.outputs
}

#[tokio::test]
async fn outputs_of_a_script() {
    for (names, script, expected) in [
        (
            vec!["tag", "size"],
            "echo tag=v1.10 >> \"$OSOP_OUTPUT\"; echo size=3 >> \"$OSOP_OUTPUT\"",
            json!({"tag": "v1.10", "size": 3}),
        ),
        (
            vec!["text"],
            "{ echo 'text<<EOF'; echo a; echo b=c; echo EOF; } >> \"$OSOP_OUTPUT\"",
            json!({"text": "a\nb=c"}),
        ),
        (
            vec!["a"],
            "echo '{\"a\": [1, 2]}' > \"$OSOP_OUTPUT\"; echo noise",
            json!({"a": [1, 2]}),
        ),
        (
            vec!["a", "b"],
            "echo '{\"a\": true, \"b\": \"x\"}'",
            json!({"a": true, "b": "x"}),
        ),
        (vec!["only"], "echo ready", json!({"only": "ready"})),
        (vec!["only"], "echo '[1]'", json!({"only": [1]})),
        (
            vec![],
            "echo hi; echo err >&2",
            json!({"stdout": "hi\n", "stderr": "err\n", "exit_code": 0, "status": "completed", "attempt": 2}),
        ),
    ] {
        let world = World::new().outputs(&names);
        let found = outputs(&world, script).await;
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(found.get(name), Some(value), "{script}");
        }
        assert!(!world.path().join("nodes/check-0-2.outputs").exists());
    }
}

#[tokio::test]
async fn a_mapping_reads_stdout_as_json() {
    let mut work = shell("echo '{\"status\": {\"ready\": 3}}'");
    work.process.output_mapping =
        BTreeMap::from([("ready".to_owned(), "$.status.ready".to_owned())]);
    let result = World::new()
        .outputs(&["ready"])
        .run(Work::Shell(work))
        .await;
    assert_eq!(result.outputs["ready"], json!(3));
}

#[tokio::test]
async fn values_arrive_as_one_argument_whatever_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let proof = directory.path().join("injected");
    for hostile in [
        format!("$(touch {})", proof.display()),
        format!("`touch {}`", proof.display()),
        format!("'; touch {} #", proof.display()),
        format!("\"; touch {} \"", proof.display()),
        format!("x\ntouch {}", proof.display()),
        "a  b * $HOME \\ -n".to_owned(),
    ] {
        let world = World::new()
            .outputs(&["said"])
            .values(json!({"v": hostile}));
        for script in [
            "printf %s {{v}}",
            "printf %s \"{{v}}\"",
            "printf '%s' '{{v}}'",
        ] {
            let Ok(script) = Script::parse(script, false) else {
                continue;
            };
            let work = ShellWork {
                script,
                bash: false,
                process: ProcessSpec::default(),
            };
            let result = world.run(Work::Shell(work)).await;
            assert_eq!(result.outputs["stdout"], json!(hostile), "{result:?}");
        }
        let work = ProgramWork {
            argv: vec![
                template("printf"),
                template("[%s]"),
                template("{{v}}"),
                template("x{{v}}"),
            ],
            facts: BTreeMap::from([("image_tag".to_owned(), template("app:{{v}}"))]),
            process: ProcessSpec::default(),
        };
        let result = world.run(Work::Program(work)).await;
        assert_eq!(
            result.outputs["stdout"],
            json!(format!("[{hostile}][x{hostile}]"))
        );
        assert_eq!(result.outputs["image_tag"], json!(format!("app:{hostile}")));
        assert!(!proof.exists(), "{hostile}");
    }
}

#[tokio::test]
async fn environment_directory_and_bash() {
    let world = World::new().values(json!({"v": "sub", "n": 7}));
    std::fs::create_dir(world.path().join("sub")).unwrap();
    let script = Script::parse(
        "[[ -o pipefail && -o nounset && -o errexit ]]; echo \"$PWD $A $HOME $CANARY_RUN_ID $CANARY_NODE_ID $CANARY_ATTEMPT\"",
        true,
    );
    let process = ProcessSpec {
        working_directory: Some(template("{{v}}")),
        environment: BTreeMap::from([("A".to_owned(), template("a{{n}}"))]),
        success_codes: vec![],
        output_mapping: BTreeMap::new(),
    };
    let result = world
        .run(Work::Shell(ShellWork {
            script: script.unwrap(),
            bash: true,
            process,
        }))
        .await;
    let directory = world.path().join("sub").canonicalize().unwrap();
    assert_eq!(
        result.outputs["stdout"],
        json!(format!(
            "{} a7 /nowhere run-1 check 2\n",
            directory.display()
        )),
        "{result:?}"
    );
}

#[tokio::test]
async fn failures_say_what_was_tried_and_what_came_back() {
    for (script, expected) in [
        (
            "echo one >&2; echo 'the server said no' >&2; exit 3",
            "`echo one >&2; echo 'the server said no' >&2; exit 3` exited with 3: one | the server said no",
        ),
        (
            "echo only stdout\nexit 1",
            "`echo only stdout…` exited with 1: only stdout",
        ),
        (
            "no-such-command-here",
            "exited with 127 (a command was not found)",
        ),
        (
            "kill -9 $$",
            "was ended by signal 9 (SIGKILL: out of memory, or somebody ended it)",
        ),
        ("echo ${NOT_SET_ANYWHERE}", "exited with"),
    ] {
        let result = World::new().run(Work::Shell(shell(script))).await;
        assert_eq!(result.status, NodeStatus::Failed);
        let error = result.error.unwrap();
        assert!(error.contains(expected), "{error}");
    }
    let mut terraform = shell("exit 2");
    terraform.process.success_codes = vec![0, 2];
    assert_eq!(
        World::new().run(Work::Shell(terraform)).await.status,
        NodeStatus::Completed
    );
}

#[tokio::test]
async fn what_cannot_start_is_told_as_started_and_failed() {
    let world = World::new();
    let argv = vec![template("no-such-program-here")];
    let result = world
        .run(Work::Program(ProgramWork {
            argv,
            facts: BTreeMap::new(),
            process: ProcessSpec::default(),
        }))
        .await;
    assert_eq!(result.status, NodeStatus::Failed);
    assert!(result.error.unwrap().contains("was not found in PATH"));
    let result = world.run(Work::Shell(shell("echo {{missing}}"))).await;
    assert!(result.error.unwrap().contains("`missing` has no value"));
    assert_eq!(*world.marks.lock().unwrap(), [None, None]);
}

#[tokio::test]
async fn secrets_are_in_nothing_that_is_kept() {
    let secret = "s3cr3t-value+42";
    let world = World::new()
        .outputs(&["said"])
        .secret("TOKEN", "s3cr3t-value+42")
        .values(json!({}));
    let script = "printf %s \"${secrets.TOKEN}\"; printf %s \"${secrets.TOKEN}\" | base64 >&2; echo \"said=x ${secrets.TOKEN}\" >> $OSOP_OUTPUT; exit 4";
    let result = world.run(Work::Shell(shell(script))).await;
    let kept = format!("{result:?} {}", world.log());
    assert_eq!(
        result.outputs["stdout"],
        json!("***"),
        "the script did not get the secret: {result:?}"
    );
    assert_eq!(result.outputs["said"], json!("x ***"));
    assert!(
        !kept.contains(secret) && !kept.contains("czNjcjN0LXZhbHVlKzQy"),
        "{kept}"
    );
    assert_eq!(world.log(), "******\n");
}

#[tokio::test]
async fn timeout_and_cancel() {
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(300));
    let result = world.run(Work::Shell(shell("exec sleep 600"))).await;
    assert_eq!(result.status, NodeStatus::TimedOut);
    assert_eq!(
        result.error.unwrap(),
        "`exec sleep 600` took longer than 300 ms and was ended"
    );
    assert!(!result.outputs.contains_key("exit_code"));

    let world = World::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let result = world
        .cancelled_by(Work::Shell(shell("touch ran")), cancel)
        .await;
    assert_eq!(result.status, NodeStatus::Cancelled);
    assert!(!world.path().join("ran").exists());
    assert!(matches!(world.marks.lock().unwrap()[..], [Some(_)]));
}

#[tokio::test]
async fn verify_says_yes_no_or_that_nobody_knows() {
    let world = World::new().values(json!({"v": "done"}));
    for (script, expected) in [
        ("test {{v}} = done", Ok(true)),
        ("test {{v}} = other", Ok(false)),
        (
            "echo 'cannot reach it' >&2; exit 7",
            Err("exited with 7, and that says neither yes (0) nor no (1): cannot reach it"),
        ),
        ("echo {{missing}}", Err("`missing` has no value")),
    ] {
        let task = TaskSpec {
            work: Work::Shell(shell("true")),
            verify: Some(Script::parse(script, false).unwrap()),
            secrets: vec![],
        };
        let answer = verify(
            &task,
            &world.node(),
            world.context(),
            CancellationToken::new(),
        )
        .await;
        match (answer, expected) {
            (Ok(answer), Ok(expected)) => assert_eq!(answer, expected, "{script}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (answer, expected) => panic!("{script}: {answer:?}, expected {expected:?}"),
        }
    }
}
