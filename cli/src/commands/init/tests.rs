//! Whatever is answered, what is written is a workflow without an error.

use canary_orchestrator::diagnostic::to_lines;
use canary_orchestrator::plan::{Inputs, compile};

use super::*;

/// The workflow of these answers, one per line, and what was said.
fn answered(answers: &[&str]) -> (Result<String, CommandError>, String) {
    let input = answers.join("\n") + "\n";
    let mut talk = Vec::new();
    let args = Args {
        interval: Duration::from_secs(30),
        min_requests: 100,
        bake: Duration::from_secs(300),
        ..Args::default()
    };
    let form = form(
        &args,
        "shop",
        &mut Asker::new(input.as_bytes(), &mut talk, false),
    );
    let talk = String::from_utf8(talk).expect("text");
    (form.map(|form| form.to_osop()), talk)
}

fn problems(text: &str) -> String {
    let (_, diagnostics) = compile(&Inputs::new("init.osop.yaml", text));
    to_lines(&diagnostics)
}

#[test]
fn every_combination_of_answers_is_a_workflow_without_a_complaint() {
    let splits: [&[&str]; 2] = [&["1", "", "", ""], &["2", "./split.sh --canary {weight}"]];
    let evidence = |proxy: bool| -> Vec<Vec<&str>> {
        let mut all: Vec<Vec<&str>> = vec![
            vec!["prometheus", "http://prometheus:9090", "app"],
            vec!["prometheus", "", "canary-proxy"],
            vec!["prometheus", "", "nginx-ingress", "", "shop", "web"],
            vec!["prometheus", "", "istio", "shop"],
            vec!["prometheus", "", "linkerd", "shop"],
            vec!["prometheus", "", "envoy", "a/stable", "a/canary"],
            vec!["prometheus", "", "traefik", "a@docker", "b@docker"],
            vec!["pages", "", "", "app"],
        ];
        if proxy {
            all.push(vec!["proxy"]);
            all.push(vec![""]);
        }
        all
    };
    let limits: [&[&str]; 5] = [
        &["", "", "", "", ""],
        &["1,5,25,50", "1m", "0.5%", "off", "#releases"],
        &["99", "30s", "off", "1s", ""],
        &["10,5,100", "20,40", "2h", "abc", "0.02", "250", "250ms", ""],
        &["10%,100%", "soon", "90s", "", "off", "#a b"],
    ];
    let mut seen = 0;
    for (index, split) in splits.iter().enumerate() {
        for evidence in evidence(index == 0) {
            for limits in limits {
                let mut answers = vec!["checkout"];
                answers.extend(split.iter());
                answers.extend(&evidence);
                answers.extend(limits);
                let (text, talk) = answered(&answers);
                let text = text.unwrap_or_else(|error| panic!("{answers:?}: {error}\n{talk}"));
                assert_eq!(problems(&text), "", "{answers:?}\n{text}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 5 * (10 + 8));
}

#[test]
fn defaults_alone_are_a_workflow_that_says_how_to_start_the_proxy() {
    let (text, talk) = answered(&[""; 20]);
    let text = text.expect("a workflow");
    assert_eq!(problems(&text), "");
    for part in [
        "service: shop",
        "canary proxy --name shop --stable http://127.0.0.1:8081 --canary http://127.0.0.1:8082 --metrics 127.0.0.1:9100",
        "preset: canary-proxy",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("slack"), "{text}");
    assert!(talk.contains("Service [shop]: "), "{talk}");
}

#[test]
fn every_question_explains_itself_and_names_its_flag() {
    // Each question is answered with ? first.
    let (text, talk) = answered(&["?", ""].repeat(20));
    text.expect("a workflow");
    for flag in [
        "--service",
        "--proxy",
        "--stable",
        "--canary",
        "--prometheus",
        "--steps",
        "--for",
        "--error-rate",
        "--p99-latency",
        "--slack",
    ] {
        assert!(talk.contains(&format!("Flag: {flag}")), "{flag}\n{talk}");
    }
}
