use super::*;
use crate::diagnostic::to_lines;
use crate::plan::{Action, Inputs, Plan, compile};

const RELEASE: &str = "\
apiVersion: canary.internal/v1alpha1
kind: Release
metadata: {name: checkout, namespace: shop}
spec:
  target: {name: checkout}
  traffic:
    router: gateway-api
    route: shop
  sources:
    prometheus: {kind: ClusterSource, name: main}
  metrics:
    preset: app
  gates:
    - name: errors
      metric: error_rate
      successCondition: errors < 1%
      failureLimit: 1
      minRequests: 50
  strategy:
    steps:
      - {weight: 10, soak: 2m}
      - {weight: 50, soak: 10m, gates: [errors], approval: true}
      - {weight: 100}
  bake: 3m
  onFailure: rollback
  deadlines: {decision: 20m}
  notify:
    - name: team
      type: slack
      tokenSecret: {name: slack, key: token}
      channel: '#releases'
";

fn inputs(text: &str) -> Inputs {
    Inputs::new("release.yaml", text)
}

fn plan(text: &str) -> Plan {
    let (plan, diagnostics) = compile(&inputs(text));
    plan.unwrap_or_else(|| panic!("{}", to_lines(&diagnostics)))
}

fn problems(text: &str) -> String {
    to_lines(&compile(&inputs(text)).1)
}

#[test]
fn a_release_is_the_plan_that_its_steps_say() {
    let plan = plan(RELEASE);
    let ids: Vec<_> = plan.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "canary_10",
            "check_10",
            "canary_50",
            "check_50",
            "promote",
            "rollback"
        ]
    );
    assert_eq!(plan.service, "checkout");
    assert_eq!(plan.bake.as_secs(), 180);
    assert_eq!(plan.deadlines.decision.as_secs(), 1200);
    assert_eq!(plan.gates[0].failure_limit, Some(1));
    assert_eq!(plan.gates[0].min_requests, 50);
    assert!(plan.nodes[2].approval.is_some() && plan.nodes[0].approval.is_none());
    let Action::Analyze(judge) = &plan.nodes[3].action else {
        panic!("{:?}", plan.nodes[3].action)
    };
    assert_eq!(judge.duration.map(|d| d.as_secs()), Some(600));
    let channel = &plan.settings.notify[0];
    assert_eq!(channel.name.value, "team");
}

#[test]
fn the_plan_of_the_object_is_the_plan_of_its_json() {
    let (json, diagnostics) = to_workflow(SourceFile::new("release.yaml", RELEASE), None);
    assert!(!diagnostics.has_errors(), "{}", to_lines(&diagnostics));
    let text = json.expect("a workflow").to_string();
    let again = plan(&text);
    let direct = plan(RELEASE);
    assert_eq!(format!("{:?}", again.gates), format!("{:?}", direct.gates));
    let actions = |plan: &Plan| -> Vec<String> {
        plan.nodes
            .iter()
            .map(|node| format!("{} {:?}", node.id, node.action))
            .collect()
    };
    assert_eq!(actions(&again), actions(&direct));
}

/// What is changed in the release above, and where and how that is told.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "{weight: 50, soak",
        "{weight: 5, soak",
        "release.yaml:22:18: error: the weights of the steps must rise: 5 comes after 10 [weight-down]",
    ),
    (
        "- {weight: 100}",
        "- {weight: 99}",
        "the last step must have weight 100, found 99",
    ),
    (
        "- {weight: 100}",
        "- {weight: 100, soak: 1m}",
        "a step of weight 100 has no `soak`",
    ),
    (
        "{weight: 10, soak: 2m}",
        "{weight: 10, soaking: 2m}",
        "a step has no key `soaking`",
    ),
    (
        "gates: [errors]",
        "gates: [erors]",
        "there is no gate `erors`",
    ),
    (
        "failureLimit: 1",
        "failure_limit: 1",
        "`failure_limit` is written `failureLimit` in an object",
    ),
    ("errors < 1%", "erors < 1%", "release.yaml:16:25"),
    (
        "onFailure: rollback",
        "onfailure: rollback",
        "the Release has no key `onfailure`",
    ),
    (
        "onFailure: rollback",
        "onFailure: rolback",
        "cannot be `rolback`",
    ),
    (
        "router: gateway-api",
        "router: gateway",
        "must be gateway-api or istio",
    ),
    (
        "router: gateway-api",
        "router: replicas",
        "the router replicas does not read `route`",
    ),
    (
        "route: shop",
        "namespace: other",
        "`traffic` of a Release has no key `namespace`",
    ),
    (
        "tokenSecret: {name: slack, key: token}",
        "tokenSecret: xoxb-123",
        "`tokenSecret` must name a Secret",
    ),
    (
        "target: {name: checkout}",
        "target: {kind: StatefulSet, name: checkout}",
        "must be Deployment or Rollout, found `StatefulSet`",
    ),
    (
        "name: checkout, namespace",
        "name: Checkout, namespace",
        "`Checkout` cannot name a Release",
    ),
    ("soak: 2m", "soak: 2", "duration"),
    (
        "kind: ClusterSource",
        "kind: Prometheus",
        "must be Source or ClusterSource, found `Prometheus`",
    ),
];

#[test]
fn mistakes_are_told_with_their_place_in_the_object() {
    for (from, to, expected) in MISTAKES {
        assert!(RELEASE.contains(from), "{from}");
        let found = problems(&RELEASE.replacen(from, to, 1));
        assert!(
            found.contains("release.yaml:") && found.contains(expected),
            "{to}\n{found}"
        );
        assert!(!found.contains("xoxb-123"), "{found}");
    }
}

#[test]
fn an_inline_workflow_takes_the_settings_of_its_release() {
    let workflow = "\
    workflow:
      inline:
        osop_version: '2.0'
        id: own
        name: Own graph
        nodes:
          - {id: go, type: infra, purpose: go, runtime: {tool: canary, action: set-weight, weight: 20}}
          - {id: check, type: infra, purpose: judge, runtime: {tool: canary, action: analyze, for: 5m}}
          - {id: promote, type: infra, purpose: all, runtime: {tool: canary, action: promote}}
          - {id: rollback, type: infra, purpose: back, runtime: {tool: canary, action: rollback}}
        edges:
          - {from: go, to: check}
          - {from: check, to: promote}
          - {from: check, to: rollback, mode: fallback}
";
    let (before, rest) = RELEASE.split_once("    steps:").expect("steps");
    let (_, after) = rest.split_once("  bake:").expect("bake");
    let text = format!("{before}    {workflow}  bake:{after}");
    let plan = plan(&text);
    assert_eq!((plan.id.as_str(), plan.gates.len()), ("own", 1));
    let own = text.replace(
        "        id: own",
        "        x-canary: {sources: {prometheus: {url: 'http://elsewhere'}}}\n        id: own",
    );
    let found = problems(&own);
    assert!(
        found.contains("`x-canary.sources` cannot be written in the workflow of a Release"),
        "{found}"
    );
}

#[test]
fn a_workflow_of_a_config_map_is_read_from_its_text() {
    let (before, rest) = RELEASE.split_once("    steps:").expect("steps");
    let (_, after) = rest.split_once("  bake:").expect("bake");
    let text = format!(
        "{before}    workflow: {{configMap: {{name: flows, key: a.yaml}}}}\n  bake:{after}"
    );
    let file = SourceFile::new("release.yaml", text.clone());
    assert_eq!(
        workflow_config_map(&file),
        Some(("flows".to_owned(), "a.yaml".to_owned()))
    );
    assert!(
        problems(&text).contains("was not read"),
        "{}",
        problems(&text)
    );
    let flow = "osop_version: '2.0'\nid: flow\nname: Flow\nnodes:\n  - {id: a, type: infra, purpose: judge, runtime: {tool: canary, action: analyze, for: 1m}}\n";
    let (json, d) = to_workflow(file, Some(SourceFile::new("flows/a.yaml", flow)));
    assert!(!d.has_errors(), "{}", to_lines(&d));
    let json = json.expect("a workflow");
    assert_eq!(json["id"], "flow");
    assert_eq!(json["x-canary"]["gates"][0]["failure_limit"], 1);
}

#[test]
fn a_profile_object_is_a_profile() {
    let text = "apiVersion: canary.internal/v1alpha1\nkind: ClusterProfile\nmetadata: {name: base}\nspec:\n  gates: [{name: slow, metric: p99_latency, successCondition: slow < 500ms}]\n  notify: [{name: t, type: slack, webhookSecret: {name: s, key: k}}]\n";
    let both = inputs(RELEASE).with_profile("profile.yaml", text);
    let (plan, d) = compile(&both);
    let plan = plan.unwrap_or_else(|| panic!("{}", to_lines(&d)));
    let names: Vec<_> = plan.gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(names, ["errors", "slow"]);
    assert_eq!(plan.settings.notify.len(), 2);
}

#[test]
fn variables_of_secrets_are_names_of_variables_and_all_different() {
    let names = [
        secret_variable(false, "a-b", "c"),
        secret_variable(true, "a-b", "c"),
        secret_variable(false, "a", "b_c"),
        secret_variable(false, "a", "b-c"),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(crate::osop::workflow::is_env_name(name), "{name}");
        assert!(!names[at + 1..].contains(name), "{name}");
    }
}
