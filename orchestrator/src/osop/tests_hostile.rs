//! Files that are made to cost time or memory.

use std::time::Duration;

use super::tests::{HEAD, nodes};
use super::*;
use crate::diagnostic::{HumanOptions, to_human, to_lines};

/// Time that this thread has had on a processor: unlike the time of day it does not depend on what else the machine does.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(
        stat.split(' ')
            .next()
            .expect("a number")
            .parse()
            .expect("a number"),
    )
}

fn timed(file: SourceFile) -> (Diagnostics, Duration) {
    let start = processor_time();
    let (_, diagnostics) = parse(file);
    drop(to_human(&diagnostics, HumanOptions::default()));
    (diagnostics, processor_time().saturating_sub(start))
}

/// With debug code, on one processor; optimised code is twenty times as fast.
const MOST: Duration = Duration::from_secs(1);
/// For files whose whole megabyte has to be read first.
const MOST_FOR_A_MEGABYTE: Duration = Duration::from_secs(3);

fn assert_refused(what: &str, text: String, code: &str, most: Duration) {
    let bytes = text.len();
    let (diagnostics, took) = timed(SourceFile::new("w.yaml", text));
    let lines = to_lines(&diagnostics);
    let start: String = lines.chars().take(500).collect();
    assert!(lines.contains(&format!("[{code}]")), "{what}: {start}");
    println!("{what}: {bytes} bytes took {took:?}");
    assert!(took < most, "{what}: {bytes} bytes took {took:?}");
}

#[test]
fn hostile_files_are_refused_fast() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let before = n - 1;
        bomb.push_str(&format!(
            "a{n}: &a{n} [{}]\n",
            vec![format!("*a{before}"); 9].join(", ")
        ));
    }
    assert_refused("an anchor bomb", bomb, "yaml-too-many-values", MOST);
    let mut texts = format!("t: &t {}\nall:\n", "x".repeat(100_000));
    texts.push_str(&"- *t\n".repeat(1_000));
    assert_refused("a bomb of text", texts, "yaml-too-many-values", MOST);
    let mut merges = String::from("m0: &m0 {a: 1, b: 2, c: 3}\n");
    for n in 1..40 {
        let before = n - 1;
        merges.push_str(&format!(
            "m{n}: &m{n} {{<<: [*m{before}, *m{before}, *m{before}], k{n}: 1}}\n"
        ));
    }
    let (_, took) = timed(SourceFile::new("w.yaml", merges));
    assert!(took < Duration::from_secs(1), "merges took {took:?}");
    assert_refused(
        "10 MB",
        "# 0123456789\n".repeat(10 << 20 >> 3),
        "file-too-large",
        MOST,
    );
    assert_refused("10,000 nodes", nodes(10_000), "too-many-nodes", MOST);
    assert_refused(
        "half a million values",
        format!("a: [{}]", "1,".repeat(500_000)),
        "yaml-too-many-values",
        MOST_FOR_A_MEGABYTE,
    );
    assert_refused("deep lists", "[".repeat(100_000), "yaml-depth", MOST);
    assert_refused(
        "deep mappings",
        (0..1_000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect(),
        "yaml-depth",
        MOST,
    );
    let edges: String = (0..11_000)
        .map(|n| format!("- {{from: node_0, to: node_{}}}\n", n % 2))
        .collect();
    assert_refused(
        "11,000 edges",
        format!("{}edges:\n{edges}", nodes(2)),
        "too-many-edges",
        MOST_FOR_A_MEGABYTE,
    );
    let edges: String = (0..9_000)
        .map(|n| format!("- {{from: nade_{n}, to: node_0}}\n"))
        .collect();
    assert_refused(
        "9,000 edges to nowhere",
        format!("{}edges:\n{edges}", nodes(2_000)),
        "unknown-node",
        MOST_FOR_A_MEGABYTE,
    );
    let unknown: String = (0..50_000).map(|n| format!("k{n}: 1\n")).collect();
    assert_refused(
        "50,000 unknown keys",
        format!("{HEAD}{unknown}"),
        "unknown-key",
        MOST_FOR_A_MEGABYTE,
    );
    assert_refused(
        "one long line",
        format!("id: {}", "x: ".repeat(300_000)),
        "yaml-syntax",
        MOST_FOR_A_MEGABYTE,
    );
    assert_refused(
        "one long quote",
        format!("id: \"{}", "x".repeat(900_000)),
        "yaml-syntax",
        MOST_FOR_A_MEGABYTE,
    );
    let duplicates = "k: 1\n".repeat(90_000);
    assert_refused(
        "90,000 duplicate keys",
        duplicates,
        "duplicate-key",
        MOST_FOR_A_MEGABYTE,
    );
}
