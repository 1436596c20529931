//! Real shells run what the scanner wrote.

use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use crate::plan::template::{Lookup, Reference, Script};

struct Fixed(Vec<(&'static str, String)>);

impl Lookup for Fixed {
    fn get(&self, reference: &Reference) -> Option<Value> {
        let name = reference.to_string();
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| Value::String(value.clone()))
    }
}

fn run(shell: &str, script: &Script, value: &str) -> String {
    let lookup = Fixed(vec![
        ("x", value.to_owned()),
        ("outputs.n.y", value.to_owned()),
    ]);
    let output = Command::new(shell)
        .args(["-eu", "-c", script.text()])
        .envs(script.environment(&lookup).unwrap())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{shell}: {}\n{}",
        script.text(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A command, and what its program must print for the value `@`. Substitutions drop newlines at the end of a value.
const CONTEXTS: &[(&str, &str)] = &[
    ("/usr/bin/printf '<%s>' {{x}} end", "<@><end>"),
    ("/usr/bin/printf '<%s>' a{{x}}b{{ x }}", "<a@b@>"),
    (
        "/usr/bin/printf '<%s>' \"a {{x}} b\" \"{{x}}c\"",
        "<a @ b><@c>",
    ),
    ("/usr/bin/printf '<%s>' 'a \"{{x}}\" $b'", "<a \"@\" $b>"),
    (
        "/usr/bin/printf '<%s>' ${outputs.n.y} '${outputs.n.y}' \"${outputs.n.y}\"",
        "<@><@><@>",
    ),
    ("/usr/bin/printf '<%s>' ${{ x }}", "<@>"),
    ("/usr/bin/printf '<%s>' \\${{x}} \"\\${{x}}\"", "<$@><$@>"),
    (
        "# {{x}} isn't used\n/usr/bin/printf '<%s>' {{x}} # nor 'here {{x}}\n",
        "<@>",
    ),
    ("/usr/bin/printf '<%s>' a#{{x}}", "<a#@>"),
    ("v={{x}}\n/usr/bin/printf '<%s>' \"$v\"", "<@>"),
    ("v={{x}} sh -c '/usr/bin/printf \"<%s>\" \"$v\"'", "<@>"),
    ("/usr/bin/printf '<%s>' --label=v={{x}}", "<--label=v=@>"),
    ("sh -c '/usr/bin/printf \"<%s>\" \"$1\"' sh {{x}}", "<@>"),
    (
        "/usr/bin/printf '<%s>' \"$(/usr/bin/printf '%s.' {{x}})\"",
        "<@.>",
    ),
    (
        "/usr/bin/printf '<%s>' \"$(/usr/bin/printf '%s.' \"{{x}}\" | cat)\"",
        "<@.>",
    ),
    ("/usr/bin/printf '<%s>' \"${unset:-{{x}}}\"", "<@>"),
    ("/usr/bin/printf '<%s>' ${unset:-{{x}}}", "<@>"),
    (
        "cat <<EOF\na \"{{x}}\" '\nEOF\n/usr/bin/printf '<%s>' {{x}}",
        "a \"@\" '\n<@>",
    ),
    ("cat <<-EOF\n\ta {{x}}\n\tEOF\n", "a @\n"),
    (
        "cat <<EOF | cat; /usr/bin/printf '<%s>' \"{{x}}\"\n$(/usr/bin/printf '%s.' {{x}})\nEOF\n",
        "@.\n<@>",
    ),
    ("cat <<'A B' && cat <<C\n$(\nA B\n{{x}}\nC\n", "$(\n@\n"),
    (
        "case {{x}} in \"nothing)\") ;; {{x}}) /usr/bin/printf '<%s>' {{x}};; *) echo no;; esac",
        "<@>",
    ),
    (
        "r=$(case a in a) /usr/bin/printf '%s.' {{x}};; esac); /usr/bin/printf '<%s>' \"$r\"",
        "<@.>",
    ),
    (
        "for i in 1 {{x}}; do /usr/bin/printf '<%s>' \"$i\" {{x}}; done",
        "<1><@><@><@>",
    ),
    (
        "if [ {{x}} = {{x}} ]; then /usr/bin/printf '<%s>' {{x}}; fi",
        "<@>",
    ),
    ("f() { /usr/bin/printf '<%s>' \"$1\"; }; f {{x}}", "<@>"),
    (
        "( /usr/bin/printf '<%s>' {{x}} ); { /usr/bin/printf '<%s>' {{x}}; }",
        "<@><@>",
    ),
    (
        "awk 'BEGIN { printf \"<%s>\", ENVIRON[\"V\"] }' V=1; V={{x}}; export V; awk 'BEGIN { printf \"<%s>\", ENVIRON[\"V\"] }'",
        "<><@>",
    ),
    (
        "/usr/bin/printf '<%s>' \"it's\" '\"' {{x}} \\' \\\" {{x}}",
        "<it's><\"><@><'><\"><@>",
    ),
    (
        "/usr/bin/printf '<%s>' $((1 + 2)) {{x}} $(( (3) ))",
        "<3><@><3>",
    ),
    (
        "/usr/bin/printf '<%s>' \\{{x}} '\\{{x}}' \"\\{{x}}\" {{x}}",
        "<{{x}}><{{x}}><{{x}}><@>",
    ),
    ("/usr/bin/printf '<%s>' {{x}}\\\n{{x}}", "<@@>"),
    (
        "! false && /usr/bin/printf '<%s>' {{x}} 2>/dev/null >&1",
        "<@>",
    ),
];

#[test]
fn every_context_hands_over_hostile_values() {
    for value in [
        "'; echo pwned; '",
        "$(echo pwned)`echo pwned`",
        "a\"b\\",
        "a  b\tc*?[x]~",
        "-n",
        "$X ${Y} \\n",
        "é\n\n#x",
        "EOF\nC\nA B",
    ] {
        for (source, expected) in CONTEXTS {
            let script = Script::parse(source, false).unwrap_or_else(|e| panic!("{source}: {e:?}"));
            assert_eq!(
                run("sh", &script, value),
                expected.replace('@', value),
                "{}",
                script.text()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_value_in_any_context(value in "[^\0]{0,40}|[ -/:-@\\[-`{-~\n]{1,30}", n in 0..CONTEXTS.len()) {
        let (source, expected) = CONTEXTS[n];
        for (shell, bash) in [("sh", false), ("bash", true)] {
            let script = Script::parse(source, bash).unwrap();
            prop_assert_eq!(run(shell, &script, &value), expected.replace('@', &value));
        }
    }

    /// Pieces of scripts in any order: with a harmless value, what was rewritten prints what plain splicing prints.
    #[test]
    fn quoting_is_tracked_through_any_script(pieces in proptest::collection::vec(0..PIECES.len(), 1..8)) {
        let source: String = pieces.iter().map(|n| PIECES[*n]).collect();
        let script = Script::parse(&source, false).unwrap();
        let spliced = Script::parse(&source.replace("{{x}}", "harmless"), false).unwrap();
        let expected = run("sh", &spliced, "");
        prop_assert_eq!(run("sh", &script, "harmless"), expected.clone());
        let hostile = "'\"$(echo x)\\ ;";
        prop_assert_eq!(run("sh", &script, hostile), expected.replace("harmless", hostile));
    }

    #[test]
    fn nothing_panics_and_nothing_else_changes(source in "([ -~\n]|\\{\\{x\\}\\}|\\$\\(|<<A|é){0,60}") {
        for bash in [false, true] {
            if let Ok(script) = Script::parse(&source, bash) && script.exports().is_empty() && !source.contains("\\{{") {
                prop_assert_eq!(script.text(), source.as_str());
            }
        }
    }
}

const PIECES: &[&str] = &[
    "/usr/bin/printf '<%s>' {{x}};\n",
    "/usr/bin/printf '<%s>' 'q {{x}}' \"it's {{x}}\" # don't {{x}}\n",
    "cat <<E1; /usr/bin/printf '<%s>' {{x}}\nit's {{x}} \\$(no \"\nE1\n",
    "cat <<'E2'\nit's $( ` \"\nE2\n",
    "/usr/bin/printf '<%s>' \"$( /usr/bin/printf '%s' \"$(echo ')' {{x}})\" ')' )\";\n",
    "case {{x}} in a|b) echo no;; (*) /usr/bin/printf '<%s>' \"{{x}}\" ;; esac\n",
    "r=\"$(case x in x) /usr/bin/printf '%s' {{x}};; esac)\"; /usr/bin/printf '<%s>' \"$r\"\n",
    "/usr/bin/printf '<%s>' \"${u:-{{x}} }\" ${u:-'q)'} \"`echo \\\"q\\\"`\";\n",
    "for i in {{x}} 'a b'; do /usr/bin/printf '<%s>' \"${i}{{x}}\"; done\n",
    "echo $((1<<2)) $(( (1) + 2 )) | cat\n",
    "f() { /usr/bin/printf '<%s>' \"$1\" '#' \\# a#b; }; f {{x}}\n",
    "if true; then ( /usr/bin/printf '<%s>' {{x}}{{x}} ) 2>&1; fi\n",
    "u2=a; /usr/bin/printf '<%s>' ${#u2} ${u2%\"a'\"} \"${u2#\"'\"}\" {{x}};\n",
];

#[test]
fn what_cannot_be_quoted_is_refused() {
    for (source, why) in [
        ("echo $(( {{x}} + 1 ))", "arithmetic"),
        ("echo $(({{x}}))", "arithmetic"),
        ("(( {{x}} > 1 ))", "arithmetic"),
        ("echo `echo {{x}}`", "backticks"),
        ("eval {{x}}", "`eval` evaluates"),
        ("eval \"$(tool {{x}})\"", "`eval` evaluates"),
        ("sh -c \"echo {{x}}\"", "`sh -c` would run"),
        ("sudo bash -euc 'echo {{x}}'", "`bash -c` would run"),
        (
            "docker run image /bin/sh -c 'echo {{x}}'",
            "`sh -c` would run",
        ),
        ("kubectl exec pod -- awk '/{{x}}/'", "`awk` would read"),
        ("ssh host deploy {{x}}", "other end of ssh"),
        ("python3 -c 'print(\"{{x}}\")'", "`python3` would run"),
        ("awk -F, '{print \"{{x}}\"}' f", "`awk` would read"),
        ("sed -i 's/a/{{x}}/' f", "`sed` would read"),
        ("sed -n -e 's/a/{{x}}/' f", "`sed` would"),
        ("jq '.a == \"{{x}}\"' f", "`jq` would read"),
        ("yq -i \".image = \\\"{{x}}\\\"\" f", "`yq` would read"),
        ("psql -c 'select {{x}}'", "`psql` would run"),
        ("cat <<'EOF'\n{{x}}\nEOF\n", "delimiter is quoted"),
        ("bash <<EOF\necho {{x}}\nEOF\n", "`bash` would run"),
        ("cat <<EOF | sh\necho {{x}}\nEOF\n", "`sh` would run"),
        ("cat <<EOF |\necho {{x}}\nEOF\nsh\n", "`sh` would run"),
        ("ssh host <<EOF\necho {{x}}\nEOF\n", "`ssh` would run"),
        ("echo {{x}} | sh", "`sh` would run"),
        ("{ echo a; echo {{x}}; } | bash -s", "`bash` would run"),
        ("( echo {{x}} ) | sudo sh -eu", "`sh` would run"),
        ("for i in a; do echo {{x}}; done | sh", "`sh` would run"),
        ("{{x}} arg", "choose the program"),
        ("export {{x}}", "as a name"),
        ("declare -i n={{x}}", "as a name or a number"),
        ("read {{x}}", "`read` evaluates"),
        ("trap 'rm {{x}}' EXIT", "`trap` evaluates"),
        ("[[ {{x}} -eq 1 ]]", "`[[` evaluates"),
        ("a[{{x}}]=1", "subscript"),
        ("printf -v {{x}} a", "name of a variable"),
        ("echo ${v#{{x}}}", "`${...}`"),
        ("echo ${v:-\"{{x}}\"}", "`${...}`"),
        ("echo $'a{{x}}'", "`$'...'`"),
        ("echo \"{{x}}", "not closed"),
        ("echo {{x}} $(echo", "not closed"),
        ("cat <<EOF\n{{x}}\n", "not ended"),
        ("echo {{x}} <<\"a$b\"\n", "here-document"),
        ("echo {{a b}}", "is not a reference"),
    ] {
        let errors =
            Script::parse(source, source.contains("((") || source.contains('[')).expect_err(source);
        assert!(errors[0].message.contains(why), "{source}: {errors:?}");
        assert!(!errors[0].help.is_empty(), "{source}");
        assert!(
            source.get(errors[0].start..errors[0].end).is_some(),
            "{source}"
        );
    }
}

#[test]
fn what_belongs_to_the_shell_stays() {
    let source = "kubectl patch rollout app -n ${NAMESPACE} \\\n  --type merge -p '{\"spec\":{\"a\":[{\"b\":10}]}}' && echo \"${A:-x}$B$(id)\" '$C' `echo $D`";
    let script = Script::parse(source, false).unwrap();
    assert_eq!(script.text(), source);
    assert!(script.exports().is_empty());
    let names: Vec<_> = script
        .uses()
        .iter()
        .map(|u| (u.name.as_str(), u.has_default))
        .collect();
    assert_eq!(
        names,
        [
            ("NAMESPACE", false),
            ("A", true),
            ("B", false),
            ("D", false)
        ]
    );
    let place = &script.uses()[0];
    assert_eq!(&source[place.start..place.end], "${NAMESPACE}");

    let script = Script::parse(
        "a=1 b=2; export c=3 d; for e in $a; do read -r f; done; : ${g:=1}; local h",
        false,
    )
    .unwrap();
    for (name, set) in [
        ("a", true),
        ("b", true),
        ("c", true),
        ("d", false),
        ("e", true),
        ("f", true),
        ("g", true),
        ("h", false),
    ] {
        assert_eq!(script.may_set(name), set, "{name}");
    }
    assert!(
        Script::parse(". ./env; echo $x", false)
            .unwrap()
            .may_set("x")
    );
}

#[test]
fn variables_are_named_after_references() {
    let script = Script::parse("echo {{a.b}} {{a.b}} {{a_b}} REF_c {{c}}", false).unwrap();
    assert_eq!(
        script.text(),
        "echo \"${REF_a_b}\" \"${REF_a_b}\" \"${REF_a_b_2}\" REF_c \"${REF_c_2}\""
    );
    assert_eq!(script.exports().len(), 3);
}

#[test]
fn go_templates_are_left_alone() {
    let source = "docker inspect --format '{{.Id}} {{range .X}}{{end}}' app | jq '{a: {b: 1}}' | xargs -I{} echo {}";
    assert_eq!(Script::parse(source, false).unwrap().text(), source);
}

#[test]
fn long_and_deep_scripts_end() {
    let deep = "$(".repeat(10_000) + "{{x}}";
    assert!(Script::parse(&deep, false).is_err());
    let deep = "\"${x:-".repeat(10_000);
    assert!(Script::parse(&deep, false).is_err());
    let long = "echo {{x}} 'a' \"b\"; ".repeat(20_000);
    assert!(Script::parse(&long, false).is_ok());
    let ticks = "\\`".repeat(5_000);
    assert!(Script::parse(&format!("echo `{ticks}` {{{{x}}}}"), false).is_ok());
}
