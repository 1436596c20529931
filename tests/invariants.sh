#!/usr/bin/env bash
# Invariants of ARCHITECTURE.md that no compiler lint holds, checked on the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
complain() { printf 'invariant %s broken:\n%s\n' "$1" "$2" >&2; failed=1; }

# 1. Pure modules import no runtime, network, clock, environment or random source.
pure=(analyzer/src/{evidence,expr,exposition,gate,metric} analyzer/src/{unit,duration}.rs traffic/src/weight.rs traffic/src/kubernetes/{fields,object,patch,weighted,gateway,istio,alb}.rs
      orchestrator/src/{diagnostic,machine,osop,plan,scenario})
for path in "${pure[@]}"; do
  [ -e "$path" ] || complain 1 "$path is listed as pure and does not exist"
done
found=$(grep -rnE '\b(tokio|reqwest|hyper|fastrand|rustix|prometheus_http_query)::|std::(net|process|env|fs|thread)\b|Timestamp::now|Instant::now|SystemTime' \
  --include='*.rs' "${pure[@]}" | grep -vE '^[^:]*(/tests?/|/tests?[a-z_]*\.rs:)' | grep -vE '^\S+:[0-9]+:\s*//' || true)
[ -z "$found" ] || complain 1 "$found"

# 2. Only cli prints (clippy's print_stdout and print_stderr hold the macros; this holds the handles).
found=$(grep -rnE '\bstd(out|err)\(\)' --include='*.rs' analyzer/src traffic/src orchestrator/src | grep -vE '^\S+:[0-9]+:\s*//' || true)
[ -z "$found" ] || complain 2 "$found"

# Dependencies point one way: cli -> orchestrator -> {analyzer, traffic}.
for crate in analyzer traffic; do
  found=$(grep -nE '^canary-' $crate/Cargo.toml || true)
  [ -z "$found" ] || complain "of the one way" "$crate depends on $found"
done
found=$(grep -nE '^canary(-cli)?\b.*workspace' orchestrator/Cargo.toml | grep -vE 'canary-(analyzer|traffic)' || true)
[ -z "$found" ] || complain "of the one way" "orchestrator depends on $found"

[ $failed = 0 ] && echo "invariants hold"
exit $failed
