#!/usr/bin/env bash
# Runs each fuzz target for a short while, on the stable compiler: coverage by LLVM's own pass, no sanitizer (there is no
# unsafe code here). usage: fuzz/run.sh [SECONDS EACH]. What it finds is written to fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
passes="-Cpasses=sancov-module"
for option in coverage-level=4 coverage-inline-8bit-counters coverage-pc-table coverage-trace-compares; do
  passes="$passes -Cllvm-args=-sanitizer-$option"
done
# With --target the flags are for the targets only, not for build scripts and macros.
RUSTFLAGS="$passes --cfg fuzzing -Copt-level=1 -Cdebug-assertions -Coverflow-checks" \
  cargo build --quiet --locked --target "$host" --bins
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in metrics_text osop; do
  mkdir -p "$work/$target" "artifacts/$target"
  echo "fuzz $target for $seconds s" >&2
  "target/$host/debug/$target" "$work/$target" "corpus/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1 2>&1 | grep -E 'ERROR|panicked|number_of_executed_units|Test unit' >&2
done
