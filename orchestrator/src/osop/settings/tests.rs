use super::*;
use crate::diagnostic::{Diagnostics, Origin, SourceFile, to_lines};
use crate::osop::model::Workflow;
use crate::osop::{parse, word::Word};

const NODES: &str = "osop_version: '1.0'\nid: w\nname: W\nnodes:\n- {id: deploy, type: cli, purpose: p}\n\
                     - {id: check, type: api, purpose: p, outputs: [error_rate_10]}\nedges: [{from: deploy, to: check}]\n";

fn workflow(more: &str) -> Workflow {
    let (workflow, diagnostics) = parse(SourceFile::new("w.yaml", format!("{NODES}{more}")));
    assert!(!diagnostics.has_errors(), "{}", to_lines(&diagnostics));
    workflow.expect("a workflow")
}

fn merged(own: &str, profile: &str, sets: &[&str]) -> (Settings, Diagnostics) {
    let indented: String = own.lines().map(|line| format!("  {line}\n")).collect();
    let workflow = workflow(&if own.is_empty() {
        String::new()
    } else {
        format!("x-canary:\n{indented}")
    });
    let profile = (!profile.is_empty()).then(|| {
        let (profile, diagnostics) = parse_profile(SourceFile::new("p.yaml", profile));
        assert!(diagnostics.is_empty(), "{}", to_lines(&diagnostics));
        profile.expect("a profile")
    });
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    merge(&workflow, profile.as_ref(), &sets)
}

fn profile_lines(profile: &str) -> String {
    to_lines(&merged("", profile, &[]).1)
}

const FULL: &str = r#"
service: shop
namespace: production
variables: {NAMESPACE: production, REPLICAS: 3}
nodes:
  deploy: {tool: canary, action: set-weight, weight: 10}
queries:
  check:
    error_rate_10: {query: 'sum(x)', unit: ratio, as: percent, reduce: mean, min_samples: 2}
  p99_latency: {query: 'y', unit: s}
  saturation: cpu_used{pod="a"}
sources:
  prometheus:
    url: http://prometheus:9090
    username: me
    password_file: /run/secrets/prometheus
    timeout: 5s
    headers: {X-Team: shop}
    headers_env: {Authorization-Extra: EXTRA}
    tenant: shop
    tls: {ca_file: ca.pem, cert_file: c.pem, key_file: k.pem, insecure_skip_verify: false}
  scrape: {stable: ['http://a:1/metrics'], canary: ['http://b:1/metrics'], interval: 500ms, timeout: 1s}
traffic: {router: local, proxy: shop, timeout: 10s}
metrics:
  requests: {metric: http_requests_total, selector: 'job="shop"', errors: 'code=~"5.."'}
  latency: {metric: http_request_duration_seconds, unit: s}
  stable: 'version="1"'
  canary: 'version="2"'
  pod: pod
gates:
  - {name: errors, metric: error_rate, threshold_range: {max: 1%}, interval: 10s, window: 1m, min_requests: 50}
  - name: argo
    query: sum(rate(x[{{window}}]))
    unit: ratio
    successCondition: result[0] < 0.01
    failureLimit: -1
    inconclusiveLimit: 2
    consecutiveErrorLimit: 5
    consecutiveSuccessLimit: 3
    initialDelay: 30s
    count: 5
    compat: argo
    syntax: expr
bake: 2m
deadlines: {evidence: 30s, decision: 1h}
notify:
  slack: {token_env: SLACK_BOT_TOKEN, channel: '#releases', api_url: 'http://127.0.0.1:1'}
  team: {type: slack, webhook_env: HOOK, events: [started, ended]}
  pagerduty: {routing_key_env: PD, timeout: 3s}
  hook: {type: webhook, url: https://example.com/x, secret_file: key}
  shell: {type: command, argv: [./tell, people]}
on_failure: hold
approvals: {approvers: [ann, bob], required: 2, timeout: 1h}
workload: {promote: ./promote, rollback: ./rollback, scale: ./scale, timeout: 1m}
"#;

#[test]
fn every_key_is_read() {
    let (settings, diagnostics) = merged("", FULL, &[]);
    assert_eq!(to_lines(&diagnostics), "");
    insta::assert_debug_snapshot!(SettingsView(&settings));
}

/// The parts that tests look at, without places.
struct SettingsView<'a>(&'a Settings);

impl std::fmt::Debug for SettingsView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Places are left out: a test of values should not fail for a moved line.
        let text = format!("{:#?}", self.0);
        let mut skipping = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            if let Some(at) = skipping {
                if indent > at {
                    continue;
                }
                skipping = None;
                continue;
            }
            if line.trim_start().starts_with("span: Span {") || line.trim_start() == "span: Some(" {
                skipping = Some(indent);
                continue;
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[test]
fn the_workflow_wins_and_values_know_where_they_are_from() {
    let own = "service: own\nvariables: {A: own}\nsources: {prometheus: {url: http://own}}\n\
               gates: [{name: errors, metric: error_rate, threshold_range: {max: 0.01}}]\n\
               deadlines: {evidence: 10s}";
    let profile = "service: profile\nnamespace: profile\nvariables: {A: profile, B: profile, C: profile}\n\
                   sources: {prometheus: {url: http://profile, bearer_token_env: TOKEN}, scrape: {canary: ['http://c']}}\n\
                   gates: [{name: errors, metric: error_rate, threshold_range: {max: 0.5}, min_requests: 5}, \
                   {name: slow, metric: p99_latency, threshold_range: {max: 500ms}}]\n\
                   deadlines: {evidence: 1m, decision: 1h}";
    let (settings, diagnostics) = merged(own, profile, &["C=set", "D=7"]);
    assert_eq!(to_lines(&diagnostics), "");
    let service = settings.service.as_ref().unwrap();
    assert_eq!(
        (service.as_str(), service.span.origin),
        ("own", Origin::Workflow)
    );
    assert_eq!(
        settings.namespace.as_ref().unwrap().span.origin,
        Origin::Profile
    );
    let variable = |name: &str| {
        let value = settings.variable(name).unwrap();
        (
            value.as_scalar_text().unwrap().to_owned(),
            value.span.origin,
        )
    };
    assert_eq!(variable("A"), ("own".to_owned(), Origin::Workflow));
    assert_eq!(variable("B"), ("profile".to_owned(), Origin::Profile));
    assert_eq!(variable("C"), ("set".to_owned(), Origin::CommandLine));
    assert_eq!(variable("D"), ("7".to_owned(), Origin::CommandLine));
    // A source is taken whole: the profile's token is not sent to the workflow's address.
    let prometheus = settings.sources.prometheus.as_ref().unwrap();
    assert_eq!(
        (prometheus.url.as_str(), &prometheus.auth),
        ("http://own", &Auth::None)
    );
    assert!(settings.sources.scrape.is_some());
    let names: Vec<&str> = settings
        .gates
        .iter()
        .map(|gate| gate.name.as_str())
        .collect();
    assert_eq!(names, ["errors", "slow"]);
    assert!(
        settings.gates[0].min_requests.is_none(),
        "a gate means what one file says"
    );
    assert_eq!(settings.deadlines.evidence.unwrap().value.as_secs(), 10);
    assert_eq!(
        settings.deadlines.decision.unwrap().span.origin,
        Origin::Profile
    );
}

#[test]
fn the_list_says_what_holds_and_where_it_is_from() {
    let workflow = workflow(
        "variables: {A: default, B: default, C: default, API_TOKEN: geheim}\nx-canary:\n  bake: 1m\n  variables: {A: own}\n",
    );
    let profile = "bake: 2m\nvariables: {B: profile}\ngates: [{name: e, metric: error_rate, threshold_range: {max: 1%}}]\n\
                   approvals: {approvers: [ann, bob]}";
    let (profile, _) = parse_profile(SourceFile::new("p.yaml", profile));
    let listed = list(&workflow, profile.as_ref(), &["A=set".to_owned()]);
    let lines: Vec<String> = listed
        .iter()
        .map(|l| {
            format!(
                "{} = {} ({}:{})",
                l.path, l.value, l.span.origin, l.span.line
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "bake = 1m (workflow:10)",
            "variables.B = profile (profile:2)",
            "gates[e].name = e (profile:3)",
            "gates[e].metric = error_rate (profile:3)",
            "gates[e].threshold_range.max = 1% (profile:3)",
            "approvals.approvers = [\"ann\",\"bob\"] (profile:4)",
            "variables.A = set (command line:1)",
            "variables.C = default (workflow:8)",
            "variables.API_TOKEN = ******** (workflow:8)",
        ]
    );
}

#[test]
fn top_level_variables_are_defaults() {
    let workflow = workflow("variables: {A: default, B: default}\n");
    let (profile, _) = parse_profile(SourceFile::new("p.yaml", "variables: {A: profile}"));
    let (settings, diagnostics) = merge(&workflow, profile.as_ref(), &["B=".to_owned()]);
    assert!(diagnostics.is_empty());
    assert_eq!(settings.variable("A").unwrap().as_text(), Some("profile"));
    assert_eq!(settings.variable("B").unwrap().as_text(), Some(""));
}

#[test]
fn queries_are_found_by_node_then_name_then_stem() {
    let (settings, diagnostics) = merged("", FULL, &[]);
    assert!(diagnostics.is_empty());
    let find = |node, output| {
        settings
            .queries
            .find(node, output)
            .map(|query| query.query.as_str())
    };
    assert_eq!(find("check", "error_rate_10"), Some("sum(x)"));
    assert_eq!(find("other", "error_rate_10"), None);
    assert_eq!(find("other", "p99_latency_50"), Some("y"));
    assert_eq!(find("other", "p99_latency"), Some("y"));
    assert_eq!(find("other", "p99_latency_x"), None);
    assert_eq!(find("check", "saturation"), Some("cpu_used{pod=\"a\"}"));
}

#[test]
fn metrics_of_gates() {
    assert_eq!(
        gate::parse_metric("error_rate"),
        Some(GateMetric::ErrorRate)
    );
    for (word, quantile) in [
        ("p99_latency", 0.99),
        ("p50_latency", 0.5),
        ("p99.9_latency", 0.999),
    ] {
        let Some(GateMetric::Latency { quantile: found }) = gate::parse_metric(word) else {
            panic!("{word}")
        };
        assert!((found - quantile).abs() < 1e-12, "{word}");
    }
    for word in [
        "p100_latency",
        "p0_latency",
        "p_latency",
        "p99",
        "p1e1_latency",
        "p..1_latency",
        "pNaN_latency",
        "",
    ] {
        assert_eq!(gate::parse_metric(word), None, "{word}");
    }
}

/// Each: what is written as profile, and what is said.
#[test]
fn bad_settings_are_explained() {
    let mut all = String::new();
    for bad in include_str!("bad_settings.txt")
        .split("\n---\n")
        .map(str::trim)
        .filter(|bad| !bad.is_empty())
    {
        let (_, diagnostics) = merged("", bad, &[]);
        assert!(!diagnostics.is_empty(), "nothing was said about:\n{bad}");
        all.push_str(&format!("{bad}\n=>\n"));
        for d in diagnostics.sorted() {
            all.push_str(&format!(
                "{}:{} {} {} [{}]",
                d.span.line, d.span.column, d.severity, d.message, d.code
            ));
            for help in &d.help {
                all.push_str(&format!(" | {help}"));
            }
            all.push('\n');
        }
        all.push_str("---\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn secrets_are_never_shown() {
    let secret = "xoxb-12345-SECRET";
    for bad in [
        format!("notify: {{slack: {{token: {secret}, channel: a}}}}"),
        format!("notify: {{slack: {{token_env: {secret}, channel: a}}}}"),
        format!("notify: {{slack: {{tokne: {secret}, channel: a}}}}"),
        format!("notify: {{slack: {{webhook: https://hooks.slack.com/{secret}}}}}"),
        format!("notify: {{pagerduty: {{routing_key: {secret}}}}}"),
        format!("sources: {{prometheus: {{url: 'https://me:{secret}@host'}}}}"),
        format!("sources: {{prometheus: {{url: 'https://host', bearer_token: {secret}}}}}"),
        format!("sources: {{prometheus: {{url: 'https://host', password: [{secret}]}}}}"),
        format!(
            "sources: {{prometheus: {{url: 'https://host', headers: {{Authorization: Bearer {secret}}}}}}}"
        ),
    ] {
        let (_, diagnostics) = merged("", &bad, &[]);
        assert!(diagnostics.has_errors(), "{bad}");
        let human =
            crate::diagnostic::to_human(&diagnostics, crate::diagnostic::HumanOptions::default());
        let sarif = crate::diagnostic::to_sarif(&diagnostics, "0").to_string();
        for text in [
            human,
            sarif,
            to_lines(&diagnostics),
            crate::diagnostic::to_json(&diagnostics).to_string(),
        ] {
            assert!(!text.contains("SECRET"), "{bad}\n{text}");
        }
    }
}

/// What the reference lists is what is read, and the other way round.
#[test]
fn the_reference_is_complete() {
    let sections: &[(&str, &str)] = &[
        ("", "X"),
        ("queries.*", "queries: {q: {query: a, X}}"),
        ("sources", "sources: {X}"),
        (
            "sources.prometheus",
            "sources: {prometheus: {url: 'http://a', X}}",
        ),
        (
            "sources.prometheus.tls",
            "sources: {prometheus: {url: 'http://a', tls: {X}}}",
        ),
        (
            "sources.scrape",
            "sources: {scrape: {canary: ['http://a'], X}}",
        ),
        ("traffic", "traffic: {X}"),
        ("traffic.match", "traffic: {match: {header: a, X}}"),
        ("metrics", "metrics: {preset: a, X}"),
        (
            "metrics.requests",
            "metrics: {requests: {metric: a, X}, stable: a, canary: b}",
        ),
        (
            "metrics.latency",
            "metrics: {latency: {metric: a, unit: s, X}, requests: {metric: a}, stable: a, canary: b}",
        ),
        (
            "gates[]",
            "gates: [{name: a, metric: error_rate, success_condition: 'true', X}]",
        ),
        (
            "gates[].threshold_range",
            "gates: [{name: a, metric: error_rate, threshold_range: {max: 1, X}}]",
        ),
        ("deadlines", "deadlines: {X}"),
        ("notify.*(slack)", "notify: {slack: {webhook_env: A, X}}"),
        (
            "notify.*(pagerduty)",
            "notify: {pagerduty: {routing_key_env: A, X}}",
        ),
        (
            "notify.*(webhook)",
            "notify: {webhook: {url: 'http://a', X}}",
        ),
        ("notify.*(command)", "notify: {command: {argv: [a], X}}"),
        ("approvals", "approvals: {X}"),
        ("workload", "workload: {X}"),
    ];
    for (section, template) in sections {
        let profile = template.replace('X', "qqqqqqqqqqqqqqqqqqq: 1");
        let (_, diagnostics) = merged("", &profile, &[]);
        let all = diagnostics.sorted();
        let unknown: Vec<_> = all.iter().filter(|d| d.code == "unknown-key").collect();
        assert_eq!(unknown.len(), 1, "{section}: {}", to_lines(&diagnostics));
        let help = unknown[0].help[0]
            .strip_prefix("known keys: ")
            .expect("the known keys");
        let mut read: Vec<&str> = help.split(", ").collect();
        let mut listed: Vec<&str> = reference::KEYS
            .iter()
            .filter(|doc| doc.section == *section)
            .map(|doc| doc.key)
            .collect();
        read.sort_unstable();
        listed.sort_unstable();
        assert_eq!(read, listed, "{section}");
    }
    let tested = |section: &str| sections.iter().any(|(known, _)| *known == section);
    assert!(reference::KEYS.iter().all(|doc| tested(doc.section)));
}

/// The words of the reference are those of the types.
#[test]
fn the_reference_names_the_words() {
    fn words<W: Word>() -> Vec<&'static str> {
        W::ALL.iter().map(|value| value.as_str()).collect()
    }
    for doc in reference::KEYS {
        let expected = match (doc.section, doc.key) {
            ("", "on_failure") => words::<OnFailure>(),
            ("queries.*", "reduce") => words::<Reduce>(),
            ("traffic", "router") => words::<RouterKind>(),
            ("traffic", "kind") => words::<RouteKind>(),
            ("traffic", "steps") => words::<RolloutSteps>(),
            ("gates[]", "syntax") => words::<Syntax>(),
            ("gates[]", "compat") => words::<Compat>(),
            ("metrics.latency", "unit") => words::<LatencyUnit>(),
            (_, "type") => words::<ChannelType>(),
            (_, "events") => words::<NotifyEvent>(),
            _ => {
                assert!(
                    !matches!(
                        doc.kind,
                        reference::Kind::Words(_) | reference::Kind::WordList(_)
                    ),
                    "{}",
                    doc.path()
                );
                continue;
            }
        };
        let (reference::Kind::Words(listed) | reference::Kind::WordList(listed)) = doc.kind else {
            panic!("{}", doc.path())
        };
        assert_eq!(listed, expected, "{}", doc.path());
    }
}

#[test]
fn sets_are_checked() {
    let (settings, diagnostics) = merged("", "", &["A=1", "no-equals", "=x", "9=x", "A=b=c"]);
    assert_eq!(settings.variable("A").unwrap().as_text(), Some("b=c"));
    insta::assert_snapshot!(to_lines(&diagnostics));
}

/// `1.10` is a version, and must not become 1.1.
#[test]
fn a_set_is_a_number_only_if_it_reads_back() {
    for (text, expected) in [
        ("3", serde_json::json!(3)),
        ("0.5", serde_json::json!(0.5)),
        ("-2", serde_json::json!(-2)),
        ("true", serde_json::json!(true)),
        ("1.10", serde_json::json!("1.10")),
        ("007", serde_json::json!("007")),
        ("5e10", serde_json::json!("5e10")),
        ("0x1f", serde_json::json!("0x1f")),
        (
            "12345678901234567890123",
            serde_json::json!("12345678901234567890123"),
        ),
        ("null", serde_json::json!("null")),
        ("", serde_json::json!("")),
    ] {
        let (settings, _) = merged("", "", &[&format!("A={text}")]);
        assert_eq!(
            settings.variable("A").unwrap().to_json(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn an_unknown_node_is_an_error_in_the_workflow_and_a_warning_in_a_profile() {
    let text = "nodes: {deplyo: {tool: canary, action: promote}}";
    let (_, own) = merged(text, "", &[]);
    assert_eq!(own.counts(), (1, 0));
    let (_, shared) = merged("", text, &[]);
    assert_eq!(shared.counts(), (0, 1));
    assert!(own.sorted()[0].help[0].contains("`deploy`"));
    assert!(profile_lines(text).contains("p.yaml:1:9: warning"));
}
