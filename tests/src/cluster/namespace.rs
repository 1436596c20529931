//! A namespace of one test, and the services in it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};

use super::Cluster;
use crate::sandbox::{Running, Said, eventually};

/// A namespace of a test's own; it goes, with everything in it, when dropped. A test that fails prints what was in it.
#[derive(Debug)]
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Namespace<'a> {
    /// Creates one, with the subject of the test in its name.
    #[track_caller]
    pub fn new(cluster: &'a Cluster, subject: &str) -> Self {
        let letters: String = std::iter::repeat_with(fastrand::lowercase)
            .take(6)
            .collect();
        let name = format!("t-{subject}-{letters}");
        cluster.kubectl(&["create", "namespace", &name]).exits(0);
        let namespace = Self { cluster, name };
        // Pods are refused until it is there.
        namespace.wait("serviceaccount/default", "create");
        namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster.
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Runs `kubectl` in it.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        let arguments = [&["--namespace", &self.name], arguments].concat();
        self.cluster.kubectl(&arguments)
    }

    /// Applies manifests, YAML or JSON, by `kubectl apply` with more arguments (`--server-side`).
    #[track_caller]
    pub fn apply_with(&self, arguments: &[&str], text: &str) -> Said {
        let words = [
            &["--namespace", &self.name, "apply", "-f", "-"][..],
            arguments,
        ]
        .concat();
        let (read, mut write) = std::io::pipe().expect("a pipe");
        let mut command = self.cluster.kubectl_command(&words);
        command.stdin(Stdio::from(read));
        let running = Running::start(command);
        write.write_all(text.as_bytes()).expect("kubectl reads");
        drop(write);
        running.finish()
    }

    /// Applies manifests; they must be accepted.
    #[track_caller]
    pub fn apply(&self, text: &str) {
        self.apply_with(&[], text).exits(0);
    }

    /// An object, or a list of objects, as JSON: the words after `kubectl get`.
    #[track_caller]
    pub fn get(&self, words: &[&str]) -> Value {
        let words = [&["get", "-o", "json"], words].concat();
        self.kubectl(&words).exits(0).json()
    }

    /// Patches an object (`httproute/shop`); `kind` is `json`, `merge` or `strategic`.
    #[track_caller]
    pub fn patch(&self, object: &str, kind: &str, patch: &Value) -> Said {
        let patch = patch.to_string();
        self.kubectl(&["patch", object, "--type", kind, "--patch", &patch])
    }

    /// Waits for what `kubectl wait --for` understands: `condition=Available`, `create`, `delete`, `jsonpath=...`.
    #[track_caller]
    pub fn wait(&self, object: &str, what: &str) {
        let what = format!("--for={what}");
        self.kubectl(&["wait", object, &what, "--timeout=50s"])
            .exits(0);
    }

    /// Deploys a service and waits until all its pods are ready.
    #[track_caller]
    pub fn deploy(&self, app: &App) {
        self.apply(&app.manifest(&self.cluster.image()).to_string());
        let replicas = format!("jsonpath={{.status.readyReplicas}}={}", app.replicas);
        self.wait(&format!("deployment/{}", app.name), &replicas);
    }

    /// A Service on port 80 of all pods with this label (`app=shop`).
    #[track_caller]
    pub fn service(&self, name: &str, label: &str) {
        let (key, value) = label.split_once('=').expect("a label: key=value");
        self.apply(
            &json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": {key: value}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            })
            .to_string(),
        );
    }

    /// Where a Service answers inside of the cluster, which is where the tests run if the cluster is our own.
    ///
    /// # Panics
    /// If there is no such Service.
    #[track_caller]
    pub fn cluster_address(&self, service: &str) -> SocketAddr {
        let service = self.get(&["service", service]);
        let address = service["spec"]["clusterIP"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let port = service["spec"]["ports"][0]["port"]
            .as_u64()
            .and_then(|port| port.try_into().ok());
        SocketAddr::new(address.expect("an address"), port.expect("a port"))
    }

    /// Names of the pods with these labels that are not on their way out.
    #[track_caller]
    pub fn pods(&self, selector: &str) -> Vec<String> {
        let list = self.get(&["pods", "--selector", selector]);
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Changes how a pod of the test service behaves: `ready=no`, `errors=5` (percent), `delay=200ms`, joined by `&`.
    #[track_caller]
    pub fn set(&self, pod: &str, settings: &str) {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}:8080/proxy/-/set?{settings}",
            self.name
        );
        self.cluster.kubectl(&["get", "--raw", &path]).exits(0);
    }

    /// Makes a pod not ready, and waits until Kubernetes knows.
    #[track_caller]
    pub fn make_unready(&self, pod: &str) {
        self.set(pod, "ready=no");
        eventually("a pod that is not ready", || {
            let pod = self.get(&["pod", pod]);
            let conditions = pod["status"]["conditions"].as_array()?.clone();
            conditions
                .iter()
                .any(|one| one["type"] == "Ready" && one["status"] == "False")
                .then_some(())
        });
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = "deployments,replicasets,pods,services,endpointslices,events";
            for words in [&["get", what, "-o", "wide"][..], &["get", "all"]] {
                let words = [&["--namespace", &self.name], words].concat();
                if let Ok(output) = self.cluster.kubectl_command(&words).output() {
                    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
                    break;
                }
            }
        }
        let words = ["delete", "namespace", &self.name, "--wait=false"];
        drop(self.cluster.kubectl_command(&words).output());
    }
}

/// A Deployment of the test service: `tests/cluster/app`.
#[derive(Debug, Clone)]
pub struct App {
    name: String,
    labels: Vec<(String, String)>,
    arguments: Vec<String>,
    replicas: u32,
    fake: bool,
}

impl App {
    /// One replica of this version, with the label `app=NAME`.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: vec![("app".to_owned(), name.to_owned())],
            arguments: vec![format!("--version={version}")],
            replicas: 1,
            fake: false,
        }
    }

    /// So many pods.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// A label of its pods, and of its selector.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.retain(|(known, _)| known != key);
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// An argument of the test service: `--errors=5`, `--ready=false`, `--crash=1s`, `--delay=20ms`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// On the node without a machine, where every pod is ready at once and none runs.
    #[must_use]
    pub fn fake(mut self) -> Self {
        self.fake = true;
        self
    }

    /// The object.
    pub fn manifest(&self, image: &str) -> Value {
        let labels: serde_json::Map<_, _> = self
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let mut pod = json!({
            "terminationGracePeriodSeconds": 15,
            "dnsPolicy": "Default", // it asks for no names
            "containers": [{
                "name": "app", "image": image, "imagePullPolicy": "IfNotPresent", "args": self.arguments,
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            }],
        });
        if self.fake {
            pod["tolerations"] = json!([{"key": "fake", "operator": "Exists"}]);
            pod["nodeSelector"] = json!({"type": "fake"});
        }
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        })
    }
}
