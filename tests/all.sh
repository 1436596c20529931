#!/usr/bin/env bash
# All tests, from nothing: installs what they need (Debian's prometheus), builds, runs. `tests/all.sh --help` says more.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h|--help)
    cat <<'HELP'
usage: tests/all.sh [ARGUMENTS OF cargo test...]
Runs every test of the workspace. Needs Rust; installs Debian's `prometheus` package where it is missing and can be
installed (as root, or by sudo without a password). Without it the tests against a real Prometheus are left out, and
that is said in one line.
HELP
    exit 0 ;;
esac

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

# Installing starts the package's own server on its default port; the tests start their own, so that one is not wanted.
install_prometheus() {
  command -v apt-get >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null &&
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus >/dev/null
}

if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
  echo "installing prometheus for the tests against the real one ..." >&2
  if ! install_prometheus || ! command -v prometheus >/dev/null; then
    echo "LEFT OUT: tests against a real Prometheus (it is not installed and could not be)" >&2
    export CANARY_TEST_ALLOW_SKIP=1
  fi
fi

# The whole-program tests run the binary as it is built here. In one go with the tests, so that nothing is built twice.
cargo build --locked --workspace --bins --tests
cargo test --locked --workspace "$@"
