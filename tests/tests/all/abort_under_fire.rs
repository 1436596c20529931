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
    abort_from(sandbox, shop, 10.0);
}

#[track_caller]
fn abort_from(sandbox: &Sandbox, shop: &Shop, weight: f64) {
    assert_eq!(shop.proxy.weight(), weight);
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
            "\"sleep 1000 & echo $! >> pids; setsid sh -c 'echo $$ >> pids; exec sleep 1000' & echo $$ >> pids; wait\"",
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
    let processes: Vec<u32> = eventually("all processes", || {
        let text = sandbox.text("pids");
        let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (pids.len() == 3 && text.ends_with('\n')).then_some(pids)
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

#[test]
fn while_200_clients_do_not_read() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    let socket = sandbox.run_directory("shop-1").join("control.sock");
    let clients: Vec<_> = (0..200)
        .map(|number| {
            use std::io::Write as _;
            let mut client =
                std::os::unix::net::UnixStream::connect(&socket).expect("a connection");
            // Some want every report, some have not said what they want.
            if number % 2 == 0 {
                // It may have been closed by now, for the next.
                drop(client.write_all(b"{\"request\":\"subscribe\"}\n"));
            }
            client
        })
        .collect();
    run.expect("check_10: pass");
    abort(&sandbox, &shop);
    is_aborted(&sandbox, run);
    drop(clients);
}

#[test]
fn while_a_node_says_100_mb() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        cli(
            "chatter",
            "\"yes 0123456789 | head -c 100000000; echo done > said; yes to the end\"",
            "",
        ),
        native("check_10", "action: analyze, gates: [errors], for: 1s"),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&["canary_10", "chatter", "check_10", "promote"]);
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{}", nodes.concat(), shop.settings()),
    );
    let run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    eventually("100 MB", || {
        (sandbox.text("said") == "done\n").then_some(())
    });
    abort(&sandbox, &shop);
    is_aborted(&sandbox, run);
    let mut largest = 0;
    let mut places = vec![sandbox.run_directory("shop-1")];
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                places.push(entry.path());
            } else {
                largest = largest.max(entry.metadata().expect("a file").len());
            }
        }
    }
    assert!(
        (1_000_000..11_000_000).contains(&largest),
        "{largest} bytes"
    );
}

#[test]
fn when_the_directory_of_the_run_is_removed() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    std::fs::remove_dir_all(sandbox.run_directory("shop-1")).expect("removed");
    // Nobody could resume or abort it from outside any more.
    eventually("traffic that goes off by itself", || {
        (shop.proxy.weight() == 0.0).then_some(())
    });
    run.signal(rustix::process::Signal::INT);
    run.signal(rustix::process::Signal::TERM);
    run.finish();
    assert_eq!(shop.proxy.weight(), 0.0);
}

#[test]
fn two_at_once() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    let both = [0, 1].map(|_| sandbox.start(&["abort", "shop-1"]));
    run.signal(rustix::process::Signal::TERM);
    for one in both {
        let said = one.finish();
        // The later one may come to a run that goes back already, or is over.
        assert!([0, 1, 2].contains(&said.code), "{}", said.all());
        assert!(!said.all().contains("panicked"), "{}", said.all());
    }
    let code = run.finish().code;
    assert!([1, 143].contains(&code), "{code}");
    assert_eq!(
        outcome(&sandbox.status("shop-1")).as_deref(),
        Some("aborted")
    );
    assert_eq!(shop.proxy.weight(), 0.0);
}

/// Sets the weight at the proxy itself, as somebody else would.
fn set_weight(sandbox: &Sandbox, percent: u8) {
    use std::io::{Read as _, Write as _};
    let mut places = vec![sandbox.state().with_file_name("run")];
    let mut socket = None;
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                places.push(entry.path());
            } else if entry.file_name() == "proxy-shop.sock" {
                socket = Some(entry.path());
            }
        }
    }
    let socket = socket.expect("the proxy's socket");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("a connection");
    let body = format!("{{\"weight\": {percent}, \"by\": \"ada\"}}");
    write!(
        stream,
        "PUT /v1/weight HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn somebody_elses_weight_is_named_within_seconds() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    let changed = Instant::now();
    set_weight(&sandbox, 35);
    run.expect("ada set the weight to 35 %; this run set 10 %");
    assert!(
        changed.elapsed() < Duration::from_secs(10),
        "{:?}",
        changed.elapsed()
    );
    abort_from(&sandbox, &shop, 35.0);
    is_aborted(&sandbox, run);
}

#[test]
fn news_that_nobody_takes_is_waited_for_in_bounds_and_named() {
    let sandbox = Sandbox::new();
    let (shop, hook) = (Shop::open(&sandbox), silent());
    let workflow = checked_for(&shop, "10m");
    let notify = format!(
        "  notify: {{audit: {{type: webhook, url: \"{}\", timeout: 5m}}}}\n",
        hook.url()
    );
    sandbox.file("shop.yaml", &(workflow + &notify));
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    abort(&sandbox, &shop);
    let asked = Instant::now();
    let said = run.finish().exits(1);
    assert!(
        asked.elapsed() < Duration::from_secs(45),
        "{:?}",
        asked.elapsed()
    );
    said.says(&[
        "not told in time: audit (",
        "nobody sends them any more",
        "canary report",
    ]);
    let outbox = std::fs::read_to_string(sandbox.run_directory("shop-1").join("outbox.jsonl"));
    let outbox = outbox.expect("an outbox");
    assert!(
        outbox.contains("aborted") && !outbox.contains("\"line\":\"mark\""),
        "{outbox}"
    );
}
