//! Abort takes traffic off at once, whatever hangs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use canary_tests::receiver::Receiver;
use canary_tests::sandbox::{Running, Sandbox, eventually, is_alive};

use crate::release::{HEAD, Shop, checked_for, cli, native, outcome, sequence};

/// The budget is 50 ms in the splitter; a debug build beside other work gets more, but never as much as what hangs.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Accepts and never answers.
fn silent() -> Receiver {
    Receiver::start(|_| {
        loop {
            std::thread::park();
        }
    })
}

#[track_caller]
fn abort(sandbox: &Sandbox, shop: &Shop) {
    assert_eq!(shop.proxy.weight(), 10.0);
    let asked = Instant::now();
    sandbox
        .canary(&["abort", "--reason", "now"])
        .exits(0)
        .says(&["traffic is off: the canary's weight is 0 %"]);
    assert_eq!(shop.proxy.weight(), 0.0);
    assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
}

#[track_caller]
fn is_aborted(sandbox: &Sandbox, run: Running) {
    run.finish().exits(1).says(&["aborted", "canary gets 0 %"]);
    assert_eq!(
        outcome(&sandbox.status("shop-1")).as_deref(),
        Some("aborted")
    );
}

#[test]
fn while_a_query_hangs() {
    let sandbox = Sandbox::new();
    let (shop, prometheus) = (Shop::open(&sandbox), silent());
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        native("check_10", "action: analyze, gates: [errors], for: 10m"),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&["canary_10", "check_10", "promote"]);
    let settings = format!(
        "x-canary:
  service: shop
  traffic: {{router: local, proxy: shop}}
  sources: {{prometheus: {{url: \"{}\", timeout: 5m}}}}
  gates: [{{name: errors, query: vector(0), unit: ratio, success_condition: errors < 5%, interval: 1s}}]
",
        prometheus.url()
    );
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{settings}", nodes.concat()),
    );
    let run = sandbox.start(&["run", "shop.yaml"]);
    prometheus.wait_for("a query", |request| request.path.contains("/api/v1/query"));
    eventually("10 %", || (shop.proxy.weight() == 10.0).then_some(()));
    abort(&sandbox, &shop);
    is_aborted(&sandbox, run);
}

#[test]
fn while_a_receiver_of_news_hangs() {
    let sandbox = Sandbox::new();
    let (shop, hook) = (Shop::open(&sandbox), silent());
    let workflow = checked_for(&shop, "10m");
    let notify = format!(
        "  notify: {{audit: {{type: webhook, url: \"{}\", timeout: 5m}}}}\n",
        hook.url()
    );
    sandbox.file("shop.yaml", &(workflow + &notify));
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    hook.wait_for("news", |request| request.body.contains("started"));
    run.expect("check_10: pass");
    abort(&sandbox, &shop);
    // The run is over at once; its process gives the last news half a minute, which need not be waited for here.
    eventually("an end", || {
        (outcome(&sandbox.status("shop-1")).as_deref() == Some("aborted")).then_some(())
    });
    drop(run);
}

#[test]
fn while_a_node_runs() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        cli(
            "warm_up",
            "\"sleep 1000 & echo $! >> pids; echo $$ >> pids; wait\"",
            "",
        ),
        native("check_10", "action: analyze, gates: [errors], for: 1s"),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&["canary_10", "warm_up", "check_10", "promote"]);
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{}", nodes.concat(), shop.settings()),
    );
    let run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let processes: Vec<u32> = eventually("both processes", || {
        let text = sandbox.text("pids");
        let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (pids.len() == 2 && text.ends_with('\n')).then_some(pids)
    });
    abort(&sandbox, &shop);
    is_aborted(&sandbox, run);
    assert!(
        !processes.iter().any(|pid| is_alive(*pid)),
        "the node's processes are still there"
    );
}

/// A file of this process and its children can have 16 KiB and no more, as on a full disk: writing fails.
fn on_a_full_disk(sandbox: &Sandbox, arguments: &[&str]) -> Running {
    let canary = sandbox.command(arguments);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$@\"", "sh"])
        .arg(canary.get_program())
        .args(canary.get_args())
        .current_dir(canary.get_current_dir().expect("a directory"))
        .env_clear()
        .envs(
            canary
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    Running::start(limited)
}

#[test]
fn while_the_disk_is_full() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let workflow =
        checked_for(&shop, "10m").replace("interval: 500ms, window", "interval: 100ms, window");
    sandbox.file("shop.yaml", &workflow);
    let mut run = on_a_full_disk(&sandbox, &["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    // The journal grows with every measurement until nothing more can be written; then it is not watched what is not kept.
    eventually("traffic that goes off by itself", || {
        (shop.proxy.weight() == 0.0).then_some(())
    });
    assert!(run.ended().is_none(), "it waits for room");
    let asked = Instant::now();
    let said = sandbox.canary(&["abort"]).exits(0);
    let said = said.says(&["traffic is off: the canary's weight is 0 %"]);
    assert!(asked.elapsed() < AT_ONCE, "{}", said.all());
    assert_eq!(shop.proxy.weight(), 0.0);
    drop(run);
    // With room again, whoever takes it over ends it.
    assert_eq!(sandbox.status("shop-1")["live"], false);
    sandbox
        .canary(&["abort", "shop-1"])
        .exits(1)
        .says(&["aborted", "canary gets 0 %"]);
    assert_eq!(shop.proxy.weight(), 0.0);
}
