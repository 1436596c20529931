# shellcheck shell=bash
# Names and places that every script of this folder shares; sourced, never run.
# CANARY_CLUSTER_DIR  state, logs, process ids of one running cluster (default: one for each checkout, below $TMPDIR)
# CANARY_CLUSTER_BIN  what ./build made (default: ~/.cache/canary-cluster/KEY; KEY changes with the modules and the build script)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
modules=(control-plane gateway istio argo app)
folder() { if [[ $1 == control-plane ]]; then echo "$here"; else echo "$here/$1"; fi; }

key() { (cd "$here" && cat {.,gateway,istio,argo,app}/go.mod {.,gateway,istio,argo}/go.sum app/main.go envoy.txt build | sha256sum | cut -c1-16); }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/canary-cluster
built=${CANARY_CLUSTER_BIN:-$cache/$(key)}
state=${CANARY_CLUSTER_DIR:-${TMPDIR:-/tmp}/canary-cluster-$(cksum <<<"$here" | cut -d' ' -f1)}
cgroup=canary-cluster-$(cksum <<<"$state" | cut -d' ' -f1)
manifests=$built/manifests
plugins=/usr/lib/cni; [[ -d $plugins ]] || plugins=/opt/cni/bin # CNI: Debian's place, or everybody else's
export KUBECONFIG=$state/admin.kubeconfig KUBECACHEDIR=$state/kubectl PATH=$built:$PATH

fail() { echo "${0##*/}: $*" >&2; exit 1; }

# The process that holds the cluster's namespaces (1 as seen from inside); nothing where no cluster runs.
machine() { pgrep -f "^bash $here/init $state\$"; }

# until_ok SECONDS WHAT COMMAND...: tries until it succeeds.
until_ok() {
  local deadline=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "$what did not come up in time; the end of each log:"$'\n'"$(tail -n 3 "$state"/log/*.log)"
    sleep 0.1
  done
}

# start NAME COMMAND...: as a daemon of the cluster. Its command is kept as run/NAME, so that ./process can start it again.
start() {
  local name=$1; shift
  { echo '#!/usr/bin/env bash'; printf 'cd %q && echo $$ >%q && exec' "$state" "pid/$name"; printf ' %q' "$@"; echo; } >"$state/run/$name"
  chmod +x "$state/run/$name"
  launch "$name"
}
launch() { (setsid "$state/run/$1" >>"$state/log/$1.log" 2>&1 </dev/null &); }
