//! What goes wrong in a cluster of our own: processes that stop or end, networks that swallow packets.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::{Cluster, Part};
use crate::sandbox::{Running, eventually, repository_file};

/// A daemon of the cluster that was ended or stopped; it goes on when dropped.
#[derive(Debug)]
pub struct Halted<'a> {
    cluster: &'a Cluster,
    name: String,
    stopped: Option<Pid>,
}

impl Drop for Halted<'_> {
    fn drop(&mut self) {
        match self.stopped {
            Some(pid) => drop(kill_process(pid, Signal::CONT)),
            None => process("start", &self.name),
        }
        if self.name == "apiserver" && !std::thread::panicking() {
            self.cluster.wait_for_api_server();
        }
    }
}

/// Packets to one address are dropped until this is.
#[derive(Debug)]
pub struct Blocked {
    table: String,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        nft(&format!("delete table inet {}", self.table));
    }
}

impl Cluster {
    /// Ends a daemon (`apiserver`, `etcd`, `contour`, `envoy`, `istiod`, `argo`, `kubelet`, ...) by SIGKILL; it is started
    /// again when the result is dropped, and an API server is then waited for.
    #[track_caller]
    pub fn kill(&self, name: &str) -> Halted<'_> {
        self.must_be_own();
        process("stop", name);
        Halted {
            cluster: self,
            name: name.to_owned(),
            stopped: None,
        }
    }

    /// Stops a daemon by SIGSTOP: its connections stay open and nothing answers; it goes on when the result is dropped.
    #[track_caller]
    pub fn freeze(&self, name: &str) -> Halted<'_> {
        self.must_be_own();
        let pid = self.daemon(name);
        kill_process(pid, Signal::STOP).expect("a signal");
        Halted {
            cluster: self,
            name: name.to_owned(),
            stopped: Some(pid),
        }
    }

    /// Drops every packet to this address and port (that of a Service or of a pod) from now on.
    #[track_caller]
    pub fn block(&self, address: &str, port: u16) -> Blocked {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        self.must_be_own();
        let table = format!(
            "block_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        // Before Services are translated to pods, for what comes from pods and for what comes from here.
        let rule = format!("ip daddr {address} tcp dport {port} drop");
        nft(&format!(
            "table inet {table} {{
               chain pods {{ type filter hook prerouting priority -350; {rule}; }}
               chain here {{ type filter hook output priority -350; {rule}; }}
             }}"
        ));
        Blocked { table }
    }

    /// Process id of a daemon.
    #[track_caller]
    pub fn daemon(&self, name: &str) -> Pid {
        let state = std::env::var("CANARY_TEST_CLUSTER").expect("a cluster of our own");
        let file = format!("{state}/pid/{name}");
        let text = std::fs::read_to_string(&file).expect("a daemon of this name");
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        pid.unwrap_or_else(|| panic!("no process id in {file}: {text:?}"))
    }

    /// Waits until the API server is ready.
    #[track_caller]
    pub fn wait_for_api_server(&self) {
        eventually("an API server that is ready", || {
            let said = self.kubectl(&["get", "--raw", "/readyz"]);
            (said.code == 0).then_some(())
        });
    }

    #[track_caller]
    fn must_be_own(&self) {
        assert!(
            self.has(Part::Own),
            "the test needs Part::Own, and does not say so"
        );
    }
}

fn process(verb: &str, name: &str) {
    let mut command = Command::new(repository_file("tests/cluster/process"));
    command.args([verb, name]);
    Running::start(command).finish().exits(0);
}

fn nft(rules: &str) {
    let mut command = Command::new("nft");
    command.arg(rules);
    Running::start(command).finish().exits(0);
}
