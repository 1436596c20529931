#!/usr/bin/env bash
# All tests, from nothing: installs what they need, builds, runs. `tests/all.sh --help` says more.
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=tests/cluster

case "${1:-}" in
  -h|--help)
    cat <<'HELP'
usage: tests/all.sh                             all tests
       tests/all.sh --no-cluster                all but those on a Kubernetes cluster
       tests/all.sh --cluster [NAME]          only those on a Kubernetes cluster, or only those with NAME in their names
       tests/all.sh ARGUMENTS OF cargo test...  a selection; none on a cluster

Needs Rust. Installs Debian packages that are missing where it can (as root, or by sudo without a password): prometheus;
and, as root and where Go is, what a Kubernetes cluster needs, which is built from source (10 minutes on 2 cores, once) and
runs in namespaces of its own. What cannot run here is left out, and that is said in one line each; a build that is not
done 30 minutes (CANARY_TEST_BUILD_MINUTES) after the other tests too.

A test cluster of your own is used instead of that one if you name it; your KUBECONFIG by itself is never touched:
  CANARY_TEST_KUBECONFIG=FILE, or KUBECONFIG with CANARY_TEST_USE_KUBECONFIG=1    and docs/testing.md for what it must have
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

if [ "${CANARY_TEST_USE_KUBECONFIG:-}" = 1 ] && [ -z "${CANARY_TEST_KUBECONFIG:-}" ]; then
  export CANARY_TEST_KUBECONFIG=${KUBECONFIG:?CANARY_TEST_USE_KUBECONFIG=1 needs KUBECONFIG}
fi

work=$(mktemp -d)
# In namespaces with a short path, for the sake of sockets; two of these can run side by side.
export CANARY_CLUSTER_DIR=$work/k
build= # process id
ended() {
  [ -z "$build" ] || kill -- "-$build" 2>/dev/null || true
  $cluster/down
  rm -rf "$work"
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Decides what cluster can run here, and builds it behind the Rust tests, which leave cores idle now and then.
prepare_cluster() {
  [ -z "${CANARY_TEST_KUBECONFIG:-}" ] || return 0
  parts=$($cluster/prepare node gateway istio argo)
  [ -n "$parts" ] || return 0
  # shellcheck disable=SC2086
  setsid nice -n 19 $cluster/build ${parts#control-plane} >"$work/build.log" 2>&1 &
  build=$!
}

# Waits for the build, but not for ever: on a machine with little to spare the other tests are worth more.
built() {
  local deadline=$((SECONDS + 60 * ${CANARY_TEST_BUILD_MINUTES:-30}))
  while kill -0 "$build" 2>/dev/null; do
    if ((SECONDS > deadline)); then
      echo "not done ${CANARY_TEST_BUILD_MINUTES:-30} minutes after the other tests" >>"$work/build.log"
      return 1
    fi
    sleep 1
  done
  wait "$build" || { build=; return 1; }
  build=
}

test_on_cluster() {
  # Of the whole workspace, so that features are the same and nothing is built twice.
  local command=(cargo test --locked --workspace --test cluster -- "$@")
  if [ -n "${CANARY_TEST_KUBECONFIG:-}" ]; then "${command[@]}"; return; fi
  [ -n "$parts" ] || return 0
  if ! built; then
    tail -n 5 "$work/build.log" >&2
    echo "LEFT OUT: tests on a Kubernetes cluster (it could not be built; above is what was said last)" >&2
    return
  fi
  grep -v '^go: downloading' "$work/build.log" >&2 || true
  # shellcheck disable=SC2086
  if ! $cluster/up $parts >"$work/up.log"; then
    echo "LEFT OUT: tests on a Kubernetes cluster (it could not be started; above is why)" >&2
    return
  fi
  $cluster/in "${command[@]}"
}

# The whole-program tests run the binary as it is built here. In one go with the tests, so that nothing is built twice.
parts=
case "${1:-}" in --cluster|"") prepare_cluster ;; esac
cargo build --locked --workspace --bins --tests
case "${1:-}" in
  --cluster) shift; test_on_cluster "$@" ;;
  --no-cluster) shift; cargo test --locked --workspace "$@" ;;
  "")
    # Those on a cluster follow; without this they would say that they are left out.
    env -u CANARY_TEST_KUBECONFIG CANARY_TEST_CLUSTER_FOLLOWS=1 cargo test --locked --workspace
    test_on_cluster ;;
  *) cargo test --locked --workspace "$@" ;;
esac
