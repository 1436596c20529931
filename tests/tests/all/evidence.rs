//! A source that gives no evidence decides nothing: the run is blocked, and the weight stays where it is.

use canary_tests::receiver::Receiver;
use canary_tests::sandbox::Sandbox;

use crate::release::{HEAD, Shop, native, node, outcome, sequence};

fn vector(series: &str, more: &str) -> String {
    format!(r#"{{"status":"success"{more},"data":{{"resultType":"vector","result":[{series}]}}}}"#)
}

fn series(labels: &str, value: &str) -> String {
    format!(r#"{{"metric":{{{labels}}},"value":[1763740000,"{value}"]}}"#)
}

/// A Prometheus that answers each query so.
fn decides_nothing(status: u16, body: String, says: &str) {
    let source = Receiver::start(move |_| (status, body.clone()));
    blocked(&source.url(), says);
    assert!(!source.received().is_empty(), "nothing was asked");
}

fn blocked(url: &str, says: &str) {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        native("check_10", "action: analyze, gates: [errors], for: 2s"),
        native("canary_50", "action: set-weight, weight: 50"),
        native("check_50", "action: analyze, gates: [errors], for: 2s"),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&["canary_10", "check_10", "canary_50", "check_50", "promote"]);
    let settings = format!(
        "x-canary:
  service: shop
  traffic: {{router: local, proxy: shop}}
  sources: {{prometheus: {{url: \"{url}\", timeout: 2s}}}}
  gates: [{{name: errors, query: errors, unit: ratio, success_condition: errors < 5%, interval: 500ms, window: 2s}}]
  deadlines: {{evidence: 1s, decision: 10m}}
"
    );
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{settings}", nodes.concat()),
    );
    let said = sandbox.canary(&["run", "shop.yaml", "--no-wait"]).exits(3);
    let said = said.says(&["blocked", says, "canary abort"]);
    assert!(
        !said.all().contains("panicked") && !said.stderr.contains("set weight 50"),
        "{}",
        said.all()
    );
    assert_eq!(shop.proxy.weight(), 10.0, "blocked keeps the weight");
    let status = sandbox.status("shop-1");
    assert_eq!(outcome(&status), None);
    assert_eq!(node(&status, "canary_50")["status"], "pending");
}

#[test]
fn nobody_is_there() {
    blocked("http://127.0.0.1:1", "127.0.0.1:1");
}

#[test]
fn a_page_for_people() {
    decides_nothing(
        200,
        "<!doctype html><title>Sign in</title>".to_owned(),
        "errors",
    );
}

#[test]
fn an_overloaded_server() {
    decides_nothing(503, "try later".to_owned(), "503");
}

#[test]
fn no_series() {
    decides_nothing(200, vector("", ""), "the query returned no data");
}

#[test]
fn not_a_number() {
    decides_nothing(200, vector(&series("", "NaN"), ""), "NaN");
}

#[test]
fn two_series_where_one_is_meant() {
    let both = format!(
        "{},{}",
        series(r#""pod":"a""#, "0"),
        series(r#""pod":"b""#, "0")
    );
    decides_nothing(200, vector(&both, ""), "2 series");
}

#[test]
fn warnings_beside_a_good_value() {
    let warned = r#","warnings":["one store did not answer"]"#;
    decides_nothing(
        200,
        vector(&series("", "0"), warned),
        "one store did not answer",
    );
}
