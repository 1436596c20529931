//! Abort takes traffic off at once, whatever hangs.

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
