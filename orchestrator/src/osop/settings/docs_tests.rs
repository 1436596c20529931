//! `docs/settings.md` says what the reference says: every key, in its order, word for word.

use super::reference::{KEYS, KeyDoc};

const PAGE: &str = include_str!("../../../../docs/settings.md");
const HEAD: &str = "| key | value | default | what it means |";

fn row(key: &KeyDoc) -> (String, String) {
    let section = if key.section.is_empty() {
        "top level"
    } else {
        key.section
    };
    let row = format!(
        "| `{}` | {} | {} | {} |",
        key.key, key.kind, key.default, key.text
    );
    (section.to_owned(), row)
}

/// Section and row of everything that stands in a table of keys.
fn written() -> Vec<(String, String)> {
    let mut section = String::new();
    let mut rows = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            section = heading.trim_matches('`').to_owned();
        }
        inside = line == HEAD || (inside && line.starts_with('|'));
        if inside && line.starts_with("| `") {
            rows.push((section.clone(), line.to_owned()));
        }
    }
    rows
}

#[test]
fn the_page_of_settings_is_the_reference() {
    let expected: Vec<_> = KEYS.iter().map(row).collect();
    let written = written();
    for pair in &expected {
        assert!(
            written.contains(pair),
            "docs/settings.md lacks, under `{}`:\n{}",
            pair.0,
            pair.1
        );
    }
    for pair in &written {
        assert!(
            expected.contains(pair),
            "docs/settings.md has, under `{}`, what the reference has not:\n{}",
            pair.0,
            pair.1
        );
    }
    assert_eq!(written, expected, "the order");
}
