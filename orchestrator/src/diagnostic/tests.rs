use std::sync::Arc;

use super::*;

const TEXT: &str = "osop_version: '1.0'\nid: über uns\nnodes:\n  - id: a\n    timout_sec: 5\n";

fn span_of(file: &SourceFile, text: &str) -> Span {
    let at = file.text.find(text).expect("the text is there");
    file.span(Origin::Workflow, at, at + text.len())
}

fn sample() -> Diagnostics {
    let file = Arc::new(SourceFile::new("dir/a b.yaml", TEXT));
    let mut all = Diagnostics::new(Arc::clone(&file));
    all.warning(
        codes::UNKNOWN_KEY,
        span_of(&file, "timout_sec"),
        "node `a` has a key `timout_sec` that means nothing",
    )
    .label("nobody reads this")
    .help("did you mean `timeout_sec`?")
    .related(span_of(&file, "id: a"), "this node");
    all.error(
        codes::INVALID_NAME,
        span_of(&file, "uns"),
        "100 % wrong: a, b\nand more",
    );
    all.error(
        codes::INVALID_NAME,
        span_of(&file, "uns"),
        "100 % wrong: a, b\nand more",
    );
    all.error(codes::FILE_TOO_LARGE, Span::default(), "no place");
    all
}

#[test]
fn people_see_excerpts() {
    insta::assert_snapshot!(to_human(&sample(), HumanOptions::default()));
    assert_eq!(
        to_human(&Diagnostics::default(), HumanOptions::default()),
        ""
    );
    let colored = to_human(
        &sample(),
        HumanOptions {
            color: true,
            ..HumanOptions::default()
        },
    );
    assert!(colored.contains("\u{1b}["));
    let limited = to_human(
        &sample(),
        HumanOptions {
            limit: 1,
            ..HumanOptions::default()
        },
    );
    assert!(
        limited.contains("... and 2 more") && limited.contains("2 errors, 1 warning"),
        "{limited}"
    );
}

#[test]
fn machines_see_lines() {
    insta::assert_snapshot!(to_lines(&sample()));
    insta::assert_snapshot!(to_github(&sample()));
}

#[test]
fn machines_see_json() {
    insta::assert_json_snapshot!(to_json(&sample()));
    insta::assert_json_snapshot!(to_sarif(&sample(), "1.2.3"));
}

#[test]
fn order_is_that_of_the_file_and_each_comes_once() {
    let all = sample();
    let lines: Vec<u32> = all.sorted().iter().map(|d| d.span.line).collect();
    assert_eq!(lines, [0, 2, 5]);
    assert_eq!(all.counts(), (2, 1));
}

#[test]
fn what_is_beyond_the_limit_is_counted() {
    let mut all = Diagnostics::new(Arc::new(SourceFile::new("a", "x")));
    for n in 0..MAX_DIAGNOSTICS + 7 {
        all.error(codes::UNKNOWN_KEY, Span::default(), format!("{n}"))
            .help("h");
    }
    assert_eq!((all.len(), all.dropped()), (MAX_DIAGNOSTICS, 7));
    assert_eq!(all.counts().0, MAX_DIAGNOSTICS + 7);
    let mut other = Diagnostics::default();
    other.append(all);
    other.warning(codes::NO_PURPOSE, Span::default(), "w");
    assert_eq!(other.counts(), (MAX_DIAGNOSTICS + 7, 1));
}

#[test]
fn secrets_are_masked_in_excerpts() {
    let file = Arc::new(SourceFile::new("a.yaml", "{ü: geheim, k: v}\n"));
    let mut all = Diagnostics::new(Arc::clone(&file));
    all.redact(span_of(&file, "geheim"));
    all.error(codes::UNKNOWN_KEY, span_of(&file, "k"), "no");
    let mut outer = Diagnostics::default();
    outer.append(all);
    let text = to_human(&outer, HumanOptions::default());
    assert!(text.contains("{ü: ******, k: v}"), "{text}");
}

#[test]
fn places_in_other_files_are_found() {
    let mut all = Diagnostics::new(Arc::new(SourceFile::new("workflow.yaml", "a: 1\n")));
    let profile = Arc::new(SourceFile::new("profile.yaml", "b: 2\n"));
    all.add_file(Origin::Profile, Arc::clone(&profile));
    all.error(codes::UNKNOWN_KEY, profile.span(Origin::Profile, 0, 1), "b");
    assert!(to_lines(&all).starts_with("profile.yaml:1:1: error: b"));
}

#[test]
fn a_huge_line_is_cut_around_the_place() {
    let text = format!("{}HERE{}", "ä".repeat(300_000), "ö".repeat(300_000));
    let file = Arc::new(SourceFile::new("a.yaml", text));
    let mut all = Diagnostics::new(Arc::clone(&file));
    all.error(codes::UNKNOWN_KEY, span_of(&file, "HERE"), "long")
        .label("here");
    let out = to_human(&all, HumanOptions::default());
    assert!(out.contains("HERE") && out.len() < 5_000, "{}", out.len());
}

#[test]
fn spans_are_lines_and_columns() {
    let file = SourceFile::new("a", TEXT);
    let span = span_of(&file, "uns");
    assert_eq!((span.line, span.column), (2, 10));
    assert_eq!(file.span(Origin::Workflow, 9_999, 3).start, TEXT.len());
    let text = Spanned::new("über uns".to_owned(), span_of(&file, "über uns"));
    let inside = file.inside(&text, 6, 9);
    assert_eq!(&TEXT[inside.start..inside.end], "uns");
    assert_eq!(file.inside(&text, 6, 99), text.span);
    let folded = Spanned::new("something else".to_owned(), text.span);
    assert_eq!(file.inside(&folded, 0, 1), text.span);
}

#[test]
fn misspelt_words_are_recognised() {
    let known = ["timeout_sec", "failure_limit", "name", "a", "id"];
    for (word, expected) in [
        ("timout_sec", Some("timeout_sec")),
        ("failureLimit", Some("failure_limit")),
        ("failure-limt", Some("failure_limit")),
        ("nmae", Some("name")),
        ("b", None),
        ("xyz", None),
        ("timeout_sec", None),
    ] {
        assert_eq!(nearest(word, known), expected, "{word}");
    }
    assert_eq!(nearest(&"x".repeat(10_000), known), None);
    assert_eq!(
        did_you_mean("nmae", known).as_deref(),
        Some("did you mean `name`?")
    );
}

#[test]
fn quoted_text_is_short_and_harmless() {
    assert_eq!(quote("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
    assert_eq!(quote(&"x".repeat(1_000)).chars().count(), 63);
}

#[test]
fn codes_are_unique_and_explained() {
    let mut seen = std::collections::HashSet::new();
    for info in codes::ALL {
        assert!(seen.insert(info.code), "{} twice", info.code);
        assert!(
            info.code
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{}",
            info.code
        );
        assert!(
            info.explanation.ends_with('.') && info.explanation.len() > 20,
            "{}",
            info.code
        );
    }
}
