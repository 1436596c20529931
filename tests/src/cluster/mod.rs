//! A real Kubernetes for whole-program tests: the one that `tests/cluster/up` started, or one that the caller names.
//!
//! Nothing here ever reads the caller's own `KUBECONFIG` by itself: a test cluster is given on purpose, by
//! `CANARY_TEST_KUBECONFIG`. `tests/cluster/in COMMAND` sets that and everything else.

mod fault;
mod namespace;
mod users;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use serde_json::Value;

pub use fault::{Blocked, Halted};
pub use namespace::{App, Namespace};
pub use users::{Answer, Counts, Request, Users};

use crate::sandbox::{Running, Said, repository_file};

/// What a cluster has beside an API server and its controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Real pods.
    Node,
    /// A Gateway API data plane behind the Gateway `gateway/gateway`.
    Gateway,
    /// An Istio ingress gateway behind the Gateway `istio-system/gateway`.
    Istio,
    /// The Argo Rollouts controller.
    Argo,
    /// Its processes and its network are in our hands: it was started by `tests/cluster/up`.
    Own,
}

/// One cluster.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    parts: Vec<Part>,
    gateway: Option<SocketAddr>,
    istio: Option<SocketAddr>,
}

impl Cluster {
    /// The one that the environment names: `CANARY_TEST_KUBECONFIG`, what it has (`CANARY_TEST_PARTS`, as
    /// `node gateway`), where its data planes answer (`CANARY_TEST_GATEWAY`, `CANARY_TEST_ISTIO`, as `127.0.0.1:8080`).
    ///
    /// # Panics
    /// If a variable holds something else than that.
    pub fn from_environment() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = |name: &str| {
            variable(name).map(|value| {
                SocketAddr::from_str(&value)
                    .unwrap_or_else(|_| panic!("{name} is {value:?}; expected 127.0.0.1:8080"))
            })
        };
        let kubeconfig = PathBuf::from(variable("CANARY_TEST_KUBECONFIG")?);
        let mut parts: Vec<_> = variable("CANARY_TEST_PARTS")
            .unwrap_or_default()
            .split_whitespace()
            .map(|name| match name {
                "node" => Part::Node,
                "gateway" => Part::Gateway,
                "istio" => Part::Istio,
                "argo" => Part::Argo,
                _ => panic!("CANARY_TEST_PARTS has {name:?}; parts: node gateway istio argo"),
            })
            .collect();
        if variable("CANARY_TEST_CLUSTER").is_some() {
            parts.push(Part::Own);
        }
        Some(Self {
            kubeconfig,
            parts,
            gateway: address("CANARY_TEST_GATEWAY"),
            istio: address("CANARY_TEST_ISTIO"),
        })
    }

    /// Does it have this part?
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// The file that a client under test is given.
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }

    /// Where the Gateway API data plane answers.
    ///
    /// # Panics
    /// Without that part.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway.expect("CANARY_TEST_GATEWAY")
    }

    /// Where Istio's ingress gateway answers.
    ///
    /// # Panics
    /// Without that part.
    pub fn istio(&self) -> SocketAddr {
        self.istio.expect("CANARY_TEST_ISTIO")
    }

    /// The image of the service that tests deploy (`tests/cluster/app`); `CANARY_TEST_IMAGE` for another cluster.
    pub fn image(&self) -> String {
        std::env::var("CANARY_TEST_IMAGE").unwrap_or_else(|_| "canary.local/app:1".to_owned())
    }

    /// Puts a static binary into an image of the cluster's node.
    ///
    /// # Panics
    /// If it cannot.
    #[track_caller]
    pub fn import_image(&self, name: &str, binary: &str, arguments: &[&str]) {
        let mut command = Command::new(repository_file("tests/cluster/image"));
        command.arg(name).arg(binary).args(arguments);
        Running::start(command).finish().exits(0);
    }

    /// A `kubectl` of this cluster, ready to run.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs `kubectl` to its end.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        Running::start(self.kubectl_command(arguments)).finish()
    }

    /// An object, or a list of objects, as JSON: the words after `kubectl get`.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn get(&self, words: &[&str]) -> Value {
        let words = [&["get", "-o", "json"], words].concat();
        self.kubectl(&words).exits(0).json()
    }

    /// What the API server answers at a path.
    ///
    /// # Panics
    /// If that is no JSON.
    #[track_caller]
    pub fn get_raw(&self, path: &str) -> Value {
        self.kubectl(&["get", "--raw", path]).exits(0).json()
    }
}

/// One test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Module and function.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&Cluster),
    /// Parts that it cannot do without.
    pub needs: &'static [Part],
    /// It disturbs what others use (a restarted API server): nothing runs beside it.
    pub alone: bool,
}

impl Test {
    /// It cannot do without these.
    #[must_use]
    pub const fn needs(mut self, parts: &'static [Part]) -> Self {
        self.needs = parts;
        self
    }

    /// Nothing runs beside it.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Runs it: beside others, or alone.
    pub fn carry_out(&self, cluster: &Cluster) {
        static TURN: RwLock<()> = RwLock::new(());
        if self.alone {
            let _turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
            (self.run)(cluster);
        } else {
            let _turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
            (self.run)(cluster);
        }
    }
}

/// `test!(function)`: a [`Test`] under the function's own name.
#[macro_export]
macro_rules! cluster_test {
    ($function:ident) => {
        $crate::cluster::Test {
            name: concat!(module_path!(), "::", stringify!($function)),
            run: $function,
            needs: &[],
            alone: false,
        }
    };
}
