//! The two example workflows that were written for no tool in particular, unchanged, to all of their ends: real processes on
//! the path, a real proxy with users, a real Prometheus, and servers that receive the news.

use std::process::Command;

use canary_tests::prometheus::Prometheus;
use canary_tests::proxy::{Load, Proxy};
use canary_tests::receiver::{Received, Receiver};
use canary_tests::sandbox::{Running, Said, Sandbox};
use serde_json::Value;

use crate::osoplog::Log;
use crate::release::{keeps_secret, node, outcome};

const ROLLOUT: &str = "examples/k8s-rollout.osop.yaml";
const DEPLOY: &str = "examples/kubernetes-deploy.osop.yaml";
const SLACK_TOKEN: &str = "xoxb-4711-the-token-of-slack";
const PAGER_KEY: &str = "0123456789abcdef0123456789abcdef";
const AUDIT_KEY: &str = "the-key-of-the-signature";

/// Everybody who is told.
struct People {
    slack: Receiver,
    pager: Receiver,
    audit: Receiver,
}

impl People {
    fn listen() -> Self {
        let ok = |body: &'static str| Receiver::start(move |_| (200, body.to_owned()));
        Self {
            slack: ok(r#"{"ok":true,"channel":"C1","ts":"1763740000.000100"}"#),
            pager: Receiver::start(|_| (202, r#"{"status":"success","dedup_key":"k"}"#.to_owned())),
            audit: ok("{}"),
        }
    }

    fn channels(&self) -> String {
        format!(
            "notify:
  slack: {{channel: \"#releases\", token_env: SLACK_BOT_TOKEN, api_url: \"{}\"}}
  pagerduty: {{routing_key_env: PAGERDUTY_KEY, api_url: \"{}\"}}
  audit: {{type: webhook, url: \"{}/canary\", secret_env: AUDIT_SECRET}}
",
            self.slack.url(),
            self.pager.url(),
            self.audit.url()
        )
    }

    /// Everything that Slack got: whose token, which channel, what text.
    fn slack_texts(&self) -> Vec<String> {
        self.slack
            .received()
            .iter()
            .inspect(|post| {
                assert_eq!(post.path, "/api/chat.postMessage");
                assert_eq!(
                    post.header("authorization"),
                    Some(format!("Bearer {SLACK_TOKEN}").as_str())
                );
                assert_eq!(post.json()["channel"], "#releases");
            })
            .map(|post| post.json()["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    fn paged(&self) -> Vec<(String, String)> {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.pager
            .received()
            .iter()
            .map(Received::json)
            .inspect(|event| assert_eq!(event["routing_key"], PAGER_KEY))
            .map(|event| (word(&event["event_action"]), word(&event["dedup_key"])))
            .collect()
    }

    fn audited(&self) -> Vec<String> {
        self.audit
            .received()
            .iter()
            .inspect(|post| {
                let signature = post.header("x-canary-signature").expect("a signature");
                assert!(signature.starts_with("sha256="), "{signature}");
            })
            .map(|post| post.json()["topic"].as_str().expect("a topic").to_owned())
            .collect()
    }
}

/// Tools that write down how they were called, and say what the real ones would; one of them tells a secret.
fn tools(sandbox: &Sandbox) {
    let note = r#"printf '%s %s\n' "${0##*/}" "$*" >> "$HOME/work/calls""#;
    sandbox.tool(
        "kubeconform",
        &format!("{note}\necho '{{\"validation_result\": \"3 valid\"}}'"),
    );
    sandbox.tool(
        "kubectl",
        &format!("{note}\necho \"applied by $SLACK_BOT_TOKEN\""),
    );
    sandbox.tool("kustomize", &format!("{note}\npwd >> \"$HOME/work/calls\""));
    sandbox.tool(
        "docker",
        &format!("{note}\ncase \"$*\" in *inspect*) echo sha256:0123456789abcdef;; esac"),
    );
}

fn calls(sandbox: &Sandbox) -> Vec<String> {
    sandbox.text("calls").lines().map(str::to_owned).collect()
}

fn with_secrets(mut command: Command) -> Command {
    command
        .env("SLACK_BOT_TOKEN", SLACK_TOKEN)
        .env("PAGERDUTY_KEY", PAGER_KEY)
        .env("AUDIT_SECRET", AUDIT_KEY)
        .env("KUBECONFIG", "/nowhere/kubeconfig");
    command
}

fn canary(sandbox: &Sandbox, arguments: &[&str]) -> Said {
    Running::start(with_secrets(sandbox.command(arguments))).finish()
}

/// What `k8s-rollout` is run with.
fn rollout_profile(proxy: &Proxy, prometheus: &str, people: &People) -> String {
    let check = format!(
        "{{endpoint: /api/v1/query_range, method: POST, url: \"{prometheus}\", wait_sec: 6, step_sec: 1}}"
    );
    // Evidence comes from the proxy, which knows nothing of the service but its answers.
    assert_eq!(proxy.address.ip().to_string(), "127.0.0.1");
    format!(
        "service: app
namespace: production
variables: {{NAMESPACE: production}}
nodes:
  canary_10: {{tool: canary, action: set-weight, weight: 10}}
  canary_50: {{tool: canary, action: set-weight, weight: 50}}
  full_promote: {{tool: canary, action: promote}}
  rollback: {{tool: canary, action: rollback}}
  health_check_10: {check}
  health_check_50: {check}
traffic: {{router: local, proxy: app}}
workload:
  promote: kubectl argo rollouts promote --full app -n production
  rollback: kubectl argo rollouts abort app -n production
sources: {{prometheus: {{url: \"{prometheus}\"}}}}
queries:
  error_rate:
    query: >-
      sum(rate(canary_proxy_requests_total{{arm=\"canary\",code=\"5xx\"}}[{{{{window}}}}]))
      / sum(rate(canary_proxy_requests_total{{arm=\"canary\"}}[{{{{window}}}}]))
    unit: ratio
  p99_latency:
    query: histogram_quantile(0.99, sum by (le) (rate(canary_proxy_request_duration_seconds_bucket{{arm=\"canary\"}}[{{{{window}}}}])))
    unit: s
    as: ms
bake: 2s
{}",
        people.channels()
    )
}

/// A whole run of `k8s-rollout`.
struct Rollout {
    sandbox: Sandbox,
    people: People,
    proxy: Proxy,
    said: Said,
    status: Value,
    log: Log,
}

/// Runs it with a canary that answers its n-th request so. `None`: there is no Prometheus, and none is asked for.
fn rollout(canary_answers: impl Fn(u64) -> u16 + Send + Sync + 'static) -> Option<Rollout> {
    let sandbox = Sandbox::new();
    tools(&sandbox);
    let people = People::listen();
    let stable = Receiver::start(|_| (200, "{}".to_owned()));
    let count = std::sync::atomic::AtomicU64::new(0);
    let new = Receiver::start(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (canary_answers(number), "{}".to_owned())
    });
    let proxy = Proxy::start(&sandbox, "app", &stable.url(), &new.url());
    let prometheus = Prometheus::start(proxy.metrics)?;
    let _users = Load::start(proxy.address, 100);
    prometheus.wait_for("canary_proxy_weight");
    sandbox.copy(ROLLOUT);
    sandbox.file(
        "profile.yaml",
        &rollout_profile(&proxy, &prometheus.url(), &people),
    );
    let options = ["k8s-rollout.osop.yaml", "--profile", "profile.yaml"];

    canary(&sandbox, &["validate", options[0], options[1], options[2]]).exits(0);
    let graph = canary(&sandbox, &["graph", options[0], options[1], options[2]]).exits(0);
    graph.says(&["health_check_10", "rollback"]);
    let dry = canary(
        &sandbox,
        &["run", options[0], options[1], options[2], "--dry-run"],
    )
    .exits(0);
    dry.says(&[
        "kubeconform -strict -summary -output json k8s/",
        "set the weight to 10 %",
        "3 more attempts, 1m apart",
    ]);
    assert!(calls(&sandbox).is_empty(), "a dry run executes nothing");
    assert_eq!(proxy.weight(), 0.0);

    let said = canary(
        &sandbox,
        &["run", options[0], options[1], options[2], "--yes"],
    );
    let status = sandbox.status("app-1");
    let log = Log::read(
        &sandbox
            .run_directory("app-1")
            .join("k8s-rollout.osoplog.yaml"),
    );
    keeps_secret(&sandbox, &said, &[SLACK_TOKEN, PAGER_KEY, AUDIT_KEY]);
    Some(Rollout {
        sandbox,
        people,
        proxy,
        said,
        status,
        log,
    })
}

#[test]
fn k8s_rollout_is_promoted() {
    let Some(run) = rollout(|_| 200) else { return };
    let said = run.said.exits(0).says(&["promoted", "canary gets 100 %"]);
    assert_eq!(
        outcome(&run.status).as_deref(),
        Some("promoted"),
        "{}",
        said.all()
    );
    assert_eq!(run.proxy.weight(), 100.0);
    assert_eq!(
        calls(&run.sandbox),
        [
            "kubeconform -strict -summary -output json k8s/",
            "kubectl apply --server-side --force-conflicts -f k8s/ -n production",
            "kubectl argo rollouts promote --full app -n production",
        ]
    );
    let texts = run.people.slack_texts();
    assert!(
        texts.iter().any(|text| text.contains("promoted")),
        "{texts:#?}"
    );
    assert!(node(&run.status, "notify_status")["status"] == "completed");
    assert_eq!(
        run.people.audited().last().map(String::as_str),
        Some("ended")
    );
    let paged = run.people.paged();
    assert!(
        paged.iter().all(|(action, _)| action != "trigger"),
        "{paged:?}"
    );

    let log = run.log;
    log.is_schema_valid("app-1", "k8s-rollout", "COMPLETED");
    assert_eq!(
        log.statuses(),
        [
            "validate_manifests 1 COMPLETED",
            "apply_manifests 1 COMPLETED",
            "canary_10 1 COMPLETED",
            "health_check_10 1 COMPLETED",
            "canary_50 1 COMPLETED",
            "health_check_50 1 COMPLETED",
            "full_promote 1 COMPLETED",
            "rollback 1 SKIPPED",
            "notify_status 1 COMPLETED",
        ]
    );
    let outputs = &log.record("health_check_10")["outputs"];
    assert_eq!(outputs["error_rate_10"].as_f64(), Some(0.0), "{outputs}");
    assert!(outputs["p99_latency_10"].as_f64() > Some(0.0), "{outputs}");
}

#[test]
fn k8s_rollout_is_rolled_back_by_a_failed_check() {
    let Some(run) = rollout(|number| if number % 4 == 0 { 500 } else { 200 }) else {
        return;
    };
    let said = run.said.exits(1).says(&["rolled-back", "canary gets 0 %"]);
    assert_eq!(
        outcome(&run.status).as_deref(),
        Some("rolled-back"),
        "{}",
        said.all()
    );
    assert_eq!(run.proxy.weight(), 0.0);
    assert!(!said.stderr.contains("set weight 50"), "{}", said.all());
    let last = calls(&run.sandbox).pop();
    assert_eq!(
        last.as_deref(),
        Some("kubectl argo rollouts abort app -n production")
    );
    let texts = run.people.slack_texts();
    let told = |word: &str| texts.iter().any(|text| text.contains(word));
    assert!(told("rolled back") || told("rolled-back"), "{texts:#?}");
    assert!(told("error_rate_10"), "the reason: {texts:#?}");
    let paged = run.people.paged();
    assert!(
        paged.contains(&("trigger".to_owned(), "canary/app-1".to_owned())),
        "{paged:?}"
    );
    let audited = run.people.audited();
    assert!(
        audited.contains(&"failing".to_owned()) && audited.contains(&"ended".to_owned()),
        "{audited:?}"
    );

    let log = run.log;
    log.is_schema_valid("app-1", "k8s-rollout", "FAILED");
    assert_eq!(log.record("canary_50")["status"], "SKIPPED");
    assert_eq!(log.record("rollback")["status"], "COMPLETED");
    assert_eq!(log.record("notify_status")["status"], "COMPLETED");
    let rate = log.record("health_check_10")["outputs"]["error_rate_10"].as_f64();
    assert!(rate > Some(0.1) && rate < Some(0.5), "{rate:?}");
}

#[test]
fn k8s_rollout_without_a_profile_says_what_to_add() {
    let sandbox = Sandbox::new();
    sandbox.copy(ROLLOUT);
    for command in ["validate", "run"] {
        let said = sandbox.canary(&[command, "k8s-rollout.osop.yaml"]).exits(2);
        said.says(&[
            "k8s-rollout.osop.yaml:49:15",
            "`health_check_10` asks Prometheus for `error_rate_10`, `p99_latency_10` without saying what to ask",
            "add to the profile",
            "queries:",
            "error_rate: {query:",
            "p99_latency: {query:",
            "`NAMESPACE` has no value",
            "slack: {channel: \"#releases\", token_env: SLACK_BOT_TOKEN}",
        ]);
    }
    // The graph needs none of that.
    sandbox
        .canary(&["graph", "k8s-rollout.osop.yaml"])
        .says(&["health_check_10"]);
}

/// What `kubernetes-deploy` is run with.
fn deploy(people: &People, health: &Receiver) -> (Sandbox, [&'static str; 5]) {
    let sandbox = Sandbox::new();
    tools(&sandbox);
    sandbox.copy(DEPLOY);
    std::fs::create_dir_all(sandbox.work().join("overlays/production")).expect("a directory");
    let profile = format!(
        "service: app
namespace: production
nodes:
  health_check: {{endpoint: app-health, method: GET, url: \"{}/api/health\"}}
{}",
        health.url(),
        people.channels()
    );
    sandbox.file("profile.yaml", &profile);
    (
        sandbox,
        [
            "kubernetes-deploy.osop.yaml",
            "--profile",
            "profile.yaml",
            "--set",
            "GIT_SHA=abc1234",
        ],
    )
}

fn deployed() -> Vec<String> {
    let registry = "123456789.dkr.ecr.us-east-1.amazonaws.com";
    [
        "docker build --file Dockerfile --tag app:abc1234 --tag app:latest --build-arg NODE_ENV=production .".to_owned(),
        "docker image inspect --format {{.Id}} app:abc1234".to_owned(),
        format!("docker tag app:abc1234 {registry}/app:abc1234"),
        format!("docker push {registry}/app:abc1234"),
        format!("kustomize edit set image app={registry}/app:abc1234"),
        "kubectl apply -k overlays/production --namespace production".to_owned(),
        "kubectl rollout status deployment/app --namespace production".to_owned(),
    ]
    .into()
}

#[test]
fn kubernetes_deploy_is_completed() {
    let people = People::listen();
    let health = Receiver::start(|_| (200, r#"{"status":"ok"}"#.to_owned()));
    let (sandbox, options) = deploy(&people, &health);
    for command in ["validate", "graph", "run"] {
        let mut arguments = vec![command];
        arguments.extend(options);
        arguments.extend((command == "run").then_some("--dry-run"));
        let shown = canary(&sandbox, &arguments).exits(0);
        assert!(
            command == "validate" || shown.stdout.contains("health_check"),
            "{}",
            shown.all()
        );
    }
    assert!(
        calls(&sandbox).is_empty(),
        "nothing of that executes anything"
    );
    let [file, profile, path, set, value] = options;
    let said = canary(&sandbox, &["run", file, profile, path, set, value]).exits(2);
    said.says(&["this workflow runs commands on this machine", "--yes"]);

    let said = canary(&sandbox, &["run", file, profile, path, set, value, "--yes"]).exits(0);
    keeps_secret(&sandbox, &said, &[SLACK_TOKEN, PAGER_KEY, AUDIT_KEY]);
    let status = sandbox.status("app-1");
    assert_eq!(
        outcome(&status).as_deref(),
        Some("completed"),
        "{}",
        said.all()
    );
    assert_eq!(status["report"]["traffic"], Value::Null, "it moves none");
    let (paths, commands): (Vec<_>, Vec<_>) = calls(&sandbox)
        .into_iter()
        .partition(|line| line.starts_with('/'));
    assert_eq!(commands, deployed());
    assert!(paths[0].ends_with("/overlays/production"), "{paths:?}");
    assert_eq!(health.received().len(), 1);
    assert!(
        people
            .slack_texts()
            .iter()
            .any(|text| text.contains("completed"))
    );

    let log = Log::read(
        &sandbox
            .run_directory("app-1")
            .join("kubernetes-deploy.osoplog.yaml"),
    );
    log.is_schema_valid("app-1", "kubernetes-deploy", "COMPLETED");
    assert_eq!(log.record("rollback")["status"], "SKIPPED");
    assert_eq!(
        log.record("build_image")["outputs"]["image_digest"],
        "sha256:0123456789abcdef"
    );
    assert_eq!(
        log.record("health_check")["outputs"]["health_status"]["status"],
        "ok"
    );
    let logged = canary(&sandbox, &["logs", "app-1", "--node", "apply_manifests"]).exits(0);
    assert!(logged.all().contains("applied by "), "{}", logged.all());
    assert!(!logged.all().contains(SLACK_TOKEN), "{}", logged.all());
}

#[test]
fn kubernetes_deploy_goes_back_when_the_service_does_not_become_healthy() {
    let people = People::listen();
    let health = Receiver::start(|_| (200, r#"{"status":"starting"}"#.to_owned()));
    let (sandbox, [file, profile, path, set, value]) = deploy(&people, &health);
    let command = with_secrets(sandbox.command(&["run", file, profile, path, set, value, "--yes"]));
    let mut running = Running::start(command);
    let run = running.run_id();
    // Its attempts are 10 s apart; a person at the keyboard need not wait for that.
    running.expect("health_check completed");
    for attempt in 2..=6 {
        canary(&sandbox, &["retry"]).exits(0);
        running.expect(&format!("health_check completed (attempt {attempt})"));
    }
    let said = running
        .finish()
        .exits(1)
        .says(&["rolled-back", "health_status.status"]);
    keeps_secret(&sandbox, &said, &[SLACK_TOKEN, PAGER_KEY, AUDIT_KEY]);
    assert_eq!(
        outcome(&sandbox.status(&run)).as_deref(),
        Some("rolled-back")
    );
    assert_eq!(health.received().len(), 6);
    let last = calls(&sandbox).pop();
    assert_eq!(
        last.as_deref(),
        Some("kubectl rollout undo deployment/app --namespace production")
    );
    let texts = people.slack_texts();
    assert!(
        texts.iter().any(|text| text.contains("starting")),
        "the value: {texts:#?}"
    );
    let paged = people.paged();
    assert!(
        paged.iter().any(|(action, _)| action == "trigger"),
        "{paged:?}"
    );

    let log = Log::read(
        &sandbox
            .run_directory(&run)
            .join("kubernetes-deploy.osoplog.yaml"),
    );
    log.is_schema_valid(&run, "kubernetes-deploy", "FAILED");
    let attempts: Vec<_> = log
        .statuses()
        .into_iter()
        .filter(|status| status.starts_with("health_check"))
        .collect();
    let expected: Vec<_> = (1..=6)
        .map(|number| format!("health_check {number} FAILED"))
        .collect();
    assert_eq!(attempts, expected);
    assert_eq!(log.record("rollback")["status"], "COMPLETED");
}
