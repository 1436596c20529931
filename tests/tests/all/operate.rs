//! People operate a release from other terminals, and by signals.

use canary_tests::sandbox::{Running, Sandbox, eventually};
use rustix::process::Signal;
use serde_json::Value;

use crate::release::{Gate, HEAD, Shop, checked_for, cli, native, node, outcome, sequence};

/// A demo of a good version at 10 %.
fn demo(sandbox: &Sandbox, speed: &str) -> (Running, String) {
    let mut demo = sandbox.start(&["demo", "--plain", "--story", "good", "--speed", speed]);
    let run = demo.run_id();
    demo.expect("canary gets 10 %");
    (demo, run)
}

/// 10 %, a check, a node that waits for the gate, 50 %.
fn held_at_10(shop: &Shop) -> String {
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        native("check_10", "action: analyze, gates: [errors], for: 1s"),
        cli("hold", "read _ < gate", ""),
        native("canary_50", "action: set-weight, weight: 50"),
        native("check_50", "action: analyze, gates: [errors], for: 10m"),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&[
        "canary_10",
        "check_10",
        "hold",
        "canary_50",
        "check_50",
        "promote",
    ]);
    let settings = shop.settings().replace("bake: 1s", "bake: 10m");
    format!("{HEAD}nodes:\n{}{edges}{settings}", nodes.concat())
}

#[test]
fn a_release_is_paused_resumed_promoted_and_aborted_from_other_terminals() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let mut gate = Gate::new(&sandbox, "gate");
    sandbox.file("shop.yaml", &held_at_10(&shop));
    let mut release = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let run = release.run_id();
    release.expect("hold starts");
    let said = sandbox.canary(&["pause", "--reason", "lunch"]).exits(0);
    said.says(&["paused: nothing new is started"]);
    let mut watch = sandbox.start(&["status", &run, "-w", "-o", "json"]);
    watch.expect("\"phase\":\"paused\"");
    gate.let_through();
    let held = eventually("a next step that waits", || {
        let status = sandbox.status(&run);
        (node(&status, "canary_50")["status"] == "ready").then_some(status)
    });
    assert_eq!(held["live"], true);
    assert_eq!(held["report"]["phase"], "paused");
    assert_eq!(node(&held, "hold")["status"], "completed");
    assert_eq!(shop.proxy.weight(), 10.0);
    assert_eq!(held["report"]["traffic"]["observed"], 10);
    let text = sandbox
        .canary(&["status"])
        .exits(0)
        .says(&["paused", "lunch", "canary resume"]);
    assert!(text.stdout.contains("canary gets 10 %"), "{}", text.all());

    sandbox.canary(&["resume"]).exits(0);
    release.expect("canary gets 50 %");
    sandbox.canary(&["promote", "--full"]).exits(0);
    let full = sandbox.status(&run);
    assert_eq!(
        full["report"]["traffic"]["observed"], 100,
        "answered before it took effect"
    );

    let aborted = sandbox
        .canary(&["abort", "--reason", "I do not like it"])
        .exits(0);
    aborted.says(&["traffic is off: the canary's weight is 0 %"]);
    let release = release.finish().exits(1);
    release.says(&[
        "tester asked for abort: I do not like it",
        "aborted",
        "canary gets 0 %",
    ]);
    let end = sandbox.status(&run);
    assert_eq!(outcome(&end).as_deref(), Some("aborted"));
    assert_eq!(end["report"]["traffic"]["observed"], 0);

    let watch = watch.finish().exits(0);
    let seen: Vec<Value> = watch
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object per line"))
        .collect();
    let phase = |phase: &str| seen.iter().any(|one| one["report"]["phase"] == phase);
    assert!(phase("paused") && phase("progressing"), "{}", watch.all());
    assert_eq!(seen.last().expect("a line")["report"]["phase"], "ended");

    sandbox
        .canary(&["abort", &run])
        .exits(0)
        .says(&["has ended already", "aborted"]);
    sandbox
        .canary(&["promote", &run])
        .exits(2)
        .says(&["has ended", "aborted", "canary retry"]);
    sandbox
        .canary(&["pause"])
        .exits(2)
        .says(&["no run is active", "canary history"]);
}

#[test]
fn an_abort_that_does_not_wait_takes_effect_too() {
    let sandbox = Sandbox::new();
    let (demo, run) = demo(&sandbox, "1");
    let said = sandbox.canary(&["abort", "--no-wait"]).exits(0);
    assert!(said.stderr.contains(&run), "{}", said.all());
    demo.finish().exits(1).says(&["aborted", "canary gets 0 %"]);
}

#[test]
fn wrong_names_are_explained() {
    let sandbox = Sandbox::new();
    sandbox
        .canary(&["status"])
        .exits(2)
        .says(&["there are no runs yet", "canary run FILE"]);
    let (_demo, run) = demo(&sandbox, "1");
    sandbox
        .canary(&["abort", "shpo-1"])
        .exits(2)
        .says(&["there is no run `shpo-1`", "did you mean shop-1?"]);
    assert_eq!(
        outcome(&sandbox.status(&run)),
        None,
        "it must not be touched"
    );
    sandbox
        .canary(&["status", "zzz"])
        .exits(2)
        .says(&["there is no run `zzz`"]);
    sandbox.canary(&["abrot"]).exits(2).says(&["abort"]);
    sandbox
        .canary(&["status", "-o", "jsn"])
        .exits(2)
        .says(&["jsn", "json"]);
    sandbox
        .canary(&["promote", "--fulll"])
        .exits(2)
        .says(&["--full"]);
}

#[test]
fn of_two_active_runs_one_must_be_named() {
    let sandbox = Sandbox::new();
    let (first, one) = demo(&sandbox, "1");
    let (second, two) = demo(&sandbox, "1");
    assert_ne!(one, two);
    for command in ["status", "abort", "pause"] {
        let said = sandbox.canary(&[command]).exits(2);
        said.says(&["2 runs are active", &one, &two]);
    }
    sandbox.canary(&["abort", &one]).exits(0);
    first.finish().exits(1);
    assert_eq!(sandbox.status(&two)["report"]["traffic"]["observed"], 10);
    sandbox.canary(&["abort"]).exits(0);
    second.finish().exits(1);
}

#[test]
fn signals_abort() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let sandbox = Sandbox::new();
        let (demo, run) = demo(&sandbox, "1");
        demo.signal(signal);
        demo.finish()
            .exits(code)
            .says(&["aborting: traffic goes back first", "canary gets 0 %"]);
        let status = sandbox.status(&run);
        assert_eq!(outcome(&status).as_deref(), Some("aborted"));
        assert_eq!(status["report"]["traffic"]["observed"], 0);
    }
}

#[test]
fn a_second_ctrl_c_leaves_at_once_and_the_run_is_resumable() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let mut gate = Gate::new(&sandbox, "gate");
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        native("check_10", "action: analyze, gates: [errors], for: 10m"),
        native("promote", "action: promote"),
        cli(
            "rollback",
            "\"echo rolling back >> log; read _ < gate; echo rolled back >> log\"",
            "      idempotent: true\n",
        ),
    ];
    let edges = sequence(&["canary_10", "check_10", "promote"]);
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{}", nodes.concat(), shop.settings()),
    );

    let mut first = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let run = first.run_id();
    first.expect("check_10: pass");
    assert_eq!(shop.proxy.weight(), 10.0);
    first.signal(Signal::INT);
    eventually("the way back", || {
        sandbox.text("log").contains("rolling back").then_some(())
    });
    assert_eq!(
        shop.proxy.weight(),
        0.0,
        "traffic goes off before the way back runs"
    );
    first.signal(Signal::INT);
    first.finish().says(&[
        "aborting: traffic goes back first",
        "leaving",
        &format!("canary resume {run}"),
    ]);

    sandbox
        .canary(&["list"])
        .exits(0)
        .says(&[&run, "interrupted"]);
    sandbox
        .canary(&["status"])
        .exits(0)
        .says(&["interrupted: no process drives it", "canary resume"]);
    gate.let_through();
    sandbox
        .canary(&["resume", &run])
        .exits(130)
        .says(&["aborted", "canary gets 0 %"]);
    assert_eq!(
        sandbox.text("log"),
        "rolling back\nrolling back\nrolled back\n"
    );
    assert_eq!(shop.proxy.weight(), 0.0);
    assert_eq!(outcome(&sandbox.status(&run)).as_deref(), Some("aborted"));
    sandbox
        .canary(&["list"])
        .exits(0)
        .says(&["no release is active"]);
}

#[test]
fn an_interrupted_run_is_aborted_by_whoever_says_so() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let mut first = sandbox.start(&["run", "shop.yaml"]);
    let run = first.run_id();
    first.expect("check_10: pass");
    first.signal(Signal::KILL);
    first.finish().exits(128 + 9);
    assert_eq!(shop.proxy.weight(), 10.0, "nobody is there to take it off");
    assert_eq!(sandbox.status(&run)["live"], false);

    sandbox
        .canary(&["abort", "--reason", "it is late"])
        .exits(1)
        .says(&[
            "was interrupted: taking it over",
            "aborted",
            "canary gets 0 %",
        ]);
    assert_eq!(shop.proxy.weight(), 0.0);
    assert_eq!(outcome(&sandbox.status(&run)).as_deref(), Some("aborted"));
}

#[test]
fn a_rolled_back_release_is_run_anew() {
    let sandbox = Sandbox::new();
    let shop = Shop::with_canary(&sandbox, |_| 500);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let said = sandbox.canary(&["run", "shop.yaml"]).exits(1);
    said.says(&[
        "rolled-back",
        "errors is 100 %, and must be < 5%",
        "canary gets 0 %",
        "bad answers in",
    ]);
    let again = sandbox.canary(&["retry"]).exits(1);
    again.says(&[
        "shop-1 has ended: a new run of the same inputs",
        "run shop-2",
        "rolled-back",
    ]);
    assert_eq!(shop.proxy.weight(), 0.0);
}

#[test]
fn a_release_does_not_begin_where_another_one_ended() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "1s"));
    sandbox
        .canary(&["run", "shop.yaml"])
        .exits(0)
        .says(&["promoted", "canary gets 100 %"]);
    assert_eq!(shop.proxy.weight(), 100.0);
    // Taking a second one back would take away what the first gave to everybody.
    let again = sandbox.canary(&["run", "shop.yaml"]).exits(2);
    again.says(&[
        "has 100 % of the traffic already, set by run shop-1",
        "restart the proxy",
    ]);
    assert_eq!(shop.proxy.weight(), 100.0);
}

#[test]
fn a_held_release_is_aborted() {
    let sandbox = Sandbox::new();
    let shop = Shop::with_canary(&sandbox, |_| 500);
    let held = checked_for(&shop, "5m") + "  on_failure: hold\n";
    sandbox.file("shop.yaml", &held);
    let mut run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let name = run.run_id();
    run.finish()
        .exits(1)
        .says(&["held", &format!("canary abort {name}")]);
    assert_eq!(shop.proxy.weight(), 10.0);

    // It has ended, so it is not active, and yet it is the one that is meant.
    sandbox.canary(&["abort"]).exits(1).says(&[
        "may still have traffic",
        "rollback completed",
        "aborted",
    ]);
    assert_eq!(shop.proxy.weight(), 0.0);
    sandbox
        .canary(&["abort", &name])
        .exits(0)
        .says(&["has ended already", "aborted"]);
}

#[test]
fn an_abort_does_not_need_the_process_that_drives_the_run() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "5m"));
    let mut run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let name = run.run_id();
    run.expect("check_10: pass");
    run.signal(Signal::STOP);
    let pid = format!("pid {}", run.pid());
    sandbox.canary(&["abort", &name]).exits(1).says(&[
        "traffic is off",
        "does not answer",
        &pid,
        "kill -9",
    ]);
    assert_eq!(shop.proxy.weight(), 0.0);
    // What it was asked is done when it wakes.
    run.signal(Signal::CONT);
    run.finish().exits(1).says(&["asked for abort", "aborted"]);
    assert_eq!(shop.proxy.weight(), 0.0);
}

#[test]
fn a_run_whose_journal_is_damaged_is_taken_off() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "5m"));
    let mut run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let name = run.run_id();
    run.expect("check_10: pass");
    run.signal(Signal::KILL);
    run.finish();
    let journal = sandbox.run_directory(&name).join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("a journal");
    std::fs::write(&journal, text.replacen("started", "strated", 1)).expect("a journal");
    assert_eq!(shop.proxy.weight(), 10.0);
    sandbox
        .canary(&["abort", &name])
        .exits(2)
        .says(&["traffic is off", "is damaged", "by hand"]);
    assert_eq!(shop.proxy.weight(), 0.0);
}

#[test]
fn an_abort_beside_a_resume_is_not_lost() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "5m"));
    let mut run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let name = run.run_id();
    run.expect("check_10: pass");
    run.signal(Signal::KILL);
    run.finish();
    // Whichever of them takes the run over, it is aborted.
    let resumes = [(); 2].map(|()| sandbox.start(&["resume", &name]));
    let said = sandbox.canary(&["abort", &name]);
    assert!(
        said.stderr.contains("taking traffic off") || said.stderr.contains("asked for abort"),
        "{}",
        said.all()
    );
    assert_eq!(shop.proxy.weight(), 0.0, "{}", said.all());
    for resume in resumes {
        resume.finish();
    }
    assert_eq!(outcome(&sandbox.status(&name)).as_deref(), Some("aborted"));
}
