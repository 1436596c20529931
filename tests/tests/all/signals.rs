//! Signals of `canary run`: each takes traffic off, also when nobody reads what it says, or nobody is there any more.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use canary_tests::sandbox::{Running, SOON, Sandbox, eventually};
use rustix::process::{Pid, Signal, kill_process};

use crate::release::{Shop, checked_for, outcome};

fn at_ten(sandbox: &Sandbox) -> Shop {
    let shop = Shop::open(sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    shop
}

#[track_caller]
fn is_aborted(sandbox: &Sandbox, shop: &Shop, code: i32, ended: i32) {
    assert_eq!(ended, code);
    assert_eq!(shop.proxy.weight(), 0.0);
    let status = sandbox.status("shop-1");
    assert_eq!(outcome(&status).as_deref(), Some("aborted"));
    assert_eq!(status["live"], false);
}

#[test]
fn each_signal_aborts_and_has_its_exit_code() {
    for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        let sandbox = Sandbox::new();
        let shop = at_ten(&sandbox);
        let mut run = sandbox.start(&["run", "shop.yaml"]);
        run.expect("canary gets 10 %");
        run.signal(signal);
        let said = run.finish();
        is_aborted(&sandbox, &shop, code, said.code);
        said.says(&["aborting: traffic goes back first"]);
    }
}

#[test]
fn a_hangup_that_is_said_twice_does_not_leave() {
    let sandbox = Sandbox::new();
    let shop = at_ten(&sandbox);
    let mut run = sandbox.start(&["run", "shop.yaml"]);
    run.expect("canary gets 10 %");
    for _ in 0..5 {
        run.signal(Signal::HUP);
    }
    is_aborted(&sandbox, &shop, 129, run.finish().code);
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let sandbox = Sandbox::new();
    let shop = at_ten(&sandbox);
    let canary = sandbox.command(&["run", "shop.yaml"]);
    let mut deaf = Command::new("nohup");
    deaf.arg(canary.get_program())
        .args(canary.get_args())
        .current_dir(canary.get_current_dir().expect("a directory"))
        .env_clear()
        .envs(
            canary
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    let mut run = Running::start(deaf);
    run.expect("canary gets 10 %");
    run.signal(Signal::HUP);
    // Whatever came of it came before the next thing that it says.
    run.expect("check_10: pass");
    run.expect("check_10: pass");
    assert!(run.ended().is_none());
    assert_eq!(shop.proxy.weight(), 10.0);
    run.signal(Signal::TERM);
    is_aborted(&sandbox, &shop, 143, run.finish().code);
}

#[track_caller]
fn ends(child: &mut Child) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    let end = Instant::now() + SOON;
    loop {
        if let Some(status) = child.try_wait().expect("a status") {
            return status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() > end {
            drop(child.kill());
            panic!("it does not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_terminal_that_goes_away_takes_traffic_off() {
    for more in ["", " --plain", " --plain -vv"] {
        let sandbox = Sandbox::new();
        let shop = at_ten(&sandbox);
        let canary = sandbox.command(&[]);
        let program = canary.get_program().to_str().expect("a path").to_owned();
        // `script` makes a terminal and runs canary in it; what canary says goes nowhere.
        let mut terminal = Command::new("script");
        terminal
            .args(["--quiet", "--command"])
            .arg(format!("exec {program} run shop.yaml{more}"))
            .arg("/dev/null")
            .current_dir(canary.get_current_dir().expect("a directory"))
            .env_clear()
            .envs(
                canary
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut terminal = terminal.spawn().expect("script");
        eventually("10 %", || (shop.proxy.weight() == 10.0).then_some(()));
        // With the last handle of the terminal the kernel hangs up.
        terminal.kill().expect("a signal");
        terminal.wait().expect("an end");
        let status = eventually("an end", || {
            let status = sandbox.status("shop-1");
            (status["live"] == false).then_some(status)
        });
        assert_eq!(shop.proxy.weight(), 0.0, "canary run{more}");
        assert_eq!(
            status["report"]["outcome"]["aborted"]["signal"], 1,
            "canary run{more}: {}",
            status["report"]["outcome"]
        );
    }
}

#[test]
fn whoever_stopped_reading_does_not_hold_an_abort_up() {
    let sandbox = Sandbox::new();
    let shop = at_ten(&sandbox);
    let workflow = sandbox
        .text("shop.yaml")
        .replace("interval: 500ms, window", "interval: 100ms, window");
    sandbox.file("shop.yaml", &workflow);
    // A pipe that is read until the canary has traffic, and full 64 KiB later.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let outputs = || Stdio::from(writer.try_clone().expect("a handle"));
    let mut run = sandbox
        .command(&["run", "shop.yaml", "-vvv"])
        .stdout(outputs())
        .stderr(outputs())
        .spawn()
        .expect("canary");
    let mut chunk = vec![0; 1 << 16];
    eventually("10 %", || {
        while rustix::io::ioctl_fionread(&reader).expect("a count") > 0 {
            let _read = reader.read(&mut chunk).expect("text");
        }
        (shop.proxy.weight() == 10.0).then_some(())
    });
    eventually("a full pipe", || {
        (rustix::io::ioctl_fionread(&reader).expect("a count") > 60_000).then_some(())
    });
    let pid = Pid::from_child(&run);
    kill_process(pid, Signal::TERM).expect("a signal");
    eventually("traffic that goes off", || {
        (shop.proxy.weight() == 0.0).then_some(())
    });
    eventually("an end", || {
        (outcome(&sandbox.status("shop-1")).as_deref() == Some("aborted")).then_some(())
    });
    // Its last word is for whoever reads again.
    drop((reader, writer));
    assert_eq!(ends(&mut run), 143);
}
