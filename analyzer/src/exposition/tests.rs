use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Exposition {
    parse(text.as_bytes(), Limits::default()).unwrap()
}

fn error(text: &str) -> String {
    parse(text.as_bytes(), Limits::default())
        .unwrap_err()
        .to_string()
}

fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let labels = labels
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Sample {
        name: name.to_owned(),
        labels,
        value,
        at: None,
    }
}

#[test]
fn the_prometheus_text_format() {
    let found = read(concat!(
        "# HELP http_requests_total The total number of HTTP requests.\n",
        "# TYPE http_requests_total counter\n",
        "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n",
        "http_requests_total{method=\"post\",code=\"400\",}    3 \r\n",
        "\n",
        "# just a comment\n",
        "msdos{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find:\\n\\\"it\\\" \\d\"} 1.458255915e9\n",
        "\tplain\t12.47\n",
        "odd{problem=\"division by zero\"} +Inf -3982045\n",
        "none NaN\n",
    ));
    assert_eq!(found.samples.len(), 6);
    assert_eq!(
        found.samples[0].at,
        Some(Timestamp::from_second(1_395_066_363).unwrap())
    );
    assert_eq!(
        found.samples[1],
        sample(
            "http_requests_total",
            &[("code", "400"), ("method", "post")],
            3.0
        )
    );
    assert_eq!(found.samples[2].labels["path"], "C:\\DIR\\FILE.TXT");
    assert_eq!(found.samples[2].labels["error"], "Cannot find:\n\"it\" \\d");
    assert_eq!(found.samples[3], sample("plain", &[], 12.47));
    assert_eq!(found.samples[4].value.to_string(), "inf");
    assert!(found.samples[5].value.is_nan());
    assert_eq!(found.types["http_requests_total"], MetricType::Counter);
    assert!(!found.openmetrics);
}

#[test]
fn openmetrics() {
    let found = read(concat!(
        "# TYPE rpc counter\n# UNIT rpc seconds\n",
        "rpc_total{code=\"200\"} 17.0 1520879607.789 # {trace_id=\"KOO5S4vxi0o\"} 0.67\n",
        "rpc_created{code=\"200\"} 1520430000.123\n",
        "# TYPE lat histogram\n",
        "lat_bucket{le=\"0.1\"} 8 # {} 0.054\nlat_bucket{le=\"+Inf\"} 17\nlat_count 17\nlat_sum 3.2\nlat_created 1\n",
        "# TYPE was_created gauge\nwas_created 5\n",
        "# EOF\n",
    ));
    let names: Vec<&str> = found
        .samples
        .iter()
        .map(|sample| sample.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "rpc_total",
            "lat_bucket",
            "lat_bucket",
            "lat_count",
            "lat_sum",
            "was_created"
        ]
    );
    assert_eq!(
        found.samples[0].at.unwrap().as_millisecond(),
        1_520_879_607_789
    );
    assert_eq!(found.samples[1].value.to_string(), "8");
    assert!(found.openmetrics);
    assert_eq!(found.type_of("lat_bucket"), Some(MetricType::Histogram));
    assert_eq!(found.type_of("rpc_total"), Some(MetricType::Counter));
    assert_eq!(found.type_of("other"), None);
    // The Python client writes the older format with the same habit.
    let python = read("# TYPE a_total counter\na_total 1\n# TYPE a_created gauge\na_created 99\n");
    assert_eq!(python.samples, [sample("a_total", &[], 1.0)]);
}

#[test]
fn names_in_quotes() {
    let found = read("{\"http.requests\",\"status.code\"=\"200\", a=\"b\"} 3\n");
    assert_eq!(
        found.samples,
        [sample(
            "http.requests",
            &[("a", "b"), ("status.code", "200")],
            3.0
        )]
    );
}

#[test]
fn repetitions_are_reported_and_the_first_kept() {
    let found = read("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\na{x=\"1\"} 3\n");
    assert_eq!(found.samples.len(), 2);
    assert_eq!(found.samples[0].value.to_string(), "1");
    assert_eq!(
        found.duplicates,
        [Duplicate {
            line: 2,
            series: "a{x=\"1\",y=\"2\"}".to_owned()
        }]
    );
    // A value that looks like the end of another series is not one.
    assert_eq!(
        read("a{x=\"1\\\",y=\\\"2\"} 1\na{x=\"1\",y=\"2\"} 2\n")
            .samples
            .len(),
        2
    );
}

#[test]
fn mistakes_are_named_with_their_line() {
    let rows = [
        ("ok 1\nbad\n", "line 2: bad: a value is missing"),
        (
            "a one",
            "line 1: a: expected a value (a number, NaN, +Inf or -Inf), found \"one\"",
        ),
        (
            "a 1 soon",
            "line 1: a: expected a timestamp in milliseconds or the end of the line, found \"soon\"",
        ),
        (
            "a 1 soon\n# EOF",
            "line 1: a: expected a timestamp in seconds or the end of the line, found \"soon\"",
        ),
        (
            "a 1 2 3",
            "line 1: a: expected the end of the line, found \"3\"",
        ),
        (
            "a{b=1} 1",
            "line 1: label b: expected a value in double quotes, found \"1} 1\"",
        ),
        (
            "a{b=\"1} 1",
            "line 1: a string without its closing quote: \"\\\"1} 1\"",
        ),
        (
            "a{b=\"1\" c=\"2\"} 1",
            "line 1: expected , or } after a label, found \"c=\\\"2\\\"} 1\"",
        ),
        (
            "a{b=\"1\",b=\"2\"} 1",
            "line 1: label b comes twice in one series",
        ),
        (
            "a{1=\"1\"} 1",
            "line 1: expected a label name or }, found \"1=\\\"1\\\"} 1\"",
        ),
        (
            "a{b} 1",
            "line 1: label b: expected = and a value in double quotes",
        ),
        (
            "{b=\"1\"} 1",
            "line 1: expected a metric name, found \"{b=\\\"1\\\"} 1\"",
        ),
        ("9a 1", "line 1: expected a metric name, found \"9a 1\""),
        ("# TYPE a", "line 1: # TYPE needs a metric name and a type"),
        (
            "# TYPE a cuonter",
            "line 1: unknown type \"cuonter\"; expected counter, gauge, histogram, summary, untyped or an OpenMetrics type",
        ),
        ("# EOF\na 1\n# EOF", "line 2: text after # EOF"),
        (
            "  <!DOCTYPE html><html>",
            "an HTML or XML page, not metrics; check the path (often /metrics)",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(error(text), expected);
    }
    let bytes = parse(b"a 1\nb\xff 2\n", Limits::default()).unwrap_err();
    assert_eq!(
        bytes,
        ParseError {
            line: 2,
            message: "not UTF-8; metrics are text in UTF-8".to_owned()
        }
    );
}

#[test]
fn every_bound_holds() {
    let small = Limits {
        bytes: 100,
        lines: 4,
        line_bytes: 40,
        series: 2,
        labels: 2,
        label_bytes: 5,
    };
    let rows: &[(&str, &str)] = &[
        (
            &"a 1\n".repeat(26),
            "104 bytes of metrics; at most 100 are read",
        ),
        ("\n\n\n\na 1\n", "line 5: more than 4 lines of metrics"),
        (
            &format!("# {}", "x".repeat(40)),
            "line 1: 42 bytes in one line; at most 40 are read",
        ),
        ("a 1\nb 1\nc 1\n", "line 3: more than 2 series"),
        (
            "a{a=\"\",b=\"\",c=\"\"} 1\n",
            "line 1: more than 2 labels in one series",
        ),
        (
            "a{a=\"123456\"} 1\n",
            "line 1: a label value of more than 5 bytes",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(
            parse(text.as_bytes(), small).unwrap_err().to_string(),
            *expected
        );
    }
}

#[test]
fn the_fuzz_corpus_is_read_without_panic() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/metrics_text");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        drop(parse(&bytes, Limits::default()));
        files += 1;
    }
    assert!(files >= 5, "{corpus} holds {files} files");
}

fn written(sample: &Sample) -> String {
    let labels: Vec<String> = sample
        .labels
        .iter()
        .map(|(name, value)| {
            format!(
                "{name}=\"{}\"",
                value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n")
            )
        })
        .collect();
    format!("{}{{{}}} {}\n", sample.name, labels.join(","), sample.value)
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        series in prop::collection::btree_map(
            ("[a-z_:][a-z0-9_:]{0,8}", prop::collection::btree_map("[a-z_][a-z0-9_]{0,4}", "(\\PC|[\"\\\\\n{}=, #]){0,8}", 0..4)),
            any::<f64>().prop_filter("NaN is not equal to itself", |value| !value.is_nan()),
            0..8,
        ),
    ) {
        let samples: Vec<Sample> = series.into_iter()
            // A line break of its own kind inside a value is the end of the line to every reader of lines.
            .filter(|((_, labels), _)| !labels.values().any(|value| value.contains('\r')))
            .map(|((name, labels), value)| Sample { name, labels, value, at: None })
            .collect();
        let text: String = samples.iter().map(written).collect();
        prop_assert_eq!(read(&text).samples, samples);
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(parse(&bytes, Limits::default()));
    }

    #[test]
    fn any_near_miss_is_an_answer_or_an_error(text in "([a{}=\"\\\\, #\n\t0-9eE+.-]|# EOF|# TYPE ){0,60}") {
        drop(parse(text.as_bytes(), Limits::default()));
    }
}
