#!/usr/bin/env bash
# Compares the splitter with nginx as a plain reverse proxy: same machine, same backend, same load, one core each.
#
#   benches/splitter.sh            builds the example in release and runs it, about a minute after the build
#   SECONDS_PER_RUN=2 ROUNDS=1 benches/splitter.sh
#
# Needs nginx, wrk and taskset (Debian: nginx-light, wrk, util-linux) and two cores. The proxy under test has core 0 for
# itself; the load generator and the backend share core 1. The runs alternate, so that other work on the machine hits
# both; the middle round of each is printed. `req/cpu-s` is what one core would do if it did nothing else: requests
# divided by the processor time of the proxy, user and system. Where core 1 is the bottleneck or the machine is shared,
# it says more than requests/s.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_PER_RUN=${SECONDS_PER_RUN:-5}
ROUNDS=${ROUNDS:-3}
CONNECTIONS=${CONNECTIONS:-64}
PORT=${PORT:-18080} # and the two after it
export PATH="$PATH:/usr/sbin"

for tool in nginx wrk taskset; do
  command -v "$tool" >/dev/null || {
    echo "benches/splitter.sh needs $tool: apt-get install nginx-light wrk util-linux" >&2
    exit 2
  }
done

CARGO_PROFILE_RELEASE_LTO=${CARGO_PROFILE_RELEASE_LTO:-thin} \
  cargo build --quiet --release -p canary-traffic --example splitter
splitter=${CARGO_TARGET_DIR:-target}/release/examples/splitter

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

backend=$PORT plain=$((PORT + 1)) ours=$((PORT + 2))
mkdir -p "$work/backend" "$work/proxy"
common="worker_processes 1; daemon off; error_log stderr crit; events { worker_connections 4096; multi_accept on; }"
temp() { for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $work/$1/$kind;"; done; }
cat >"$work/backend.conf" <<CONF
$common
pid $work/backend/pid;
http {
  $(temp backend)
  access_log off; keepalive_requests 1000000000; tcp_nodelay on; default_type text/plain;
  server { listen 127.0.0.1:$backend backlog=4096; location / { return 200 "hello from a small service\n"; } }
}
CONF
cat >"$work/proxy.conf" <<CONF
$common
pid $work/proxy/pid;
http {
  $(temp proxy)
  access_log off; keepalive_requests 1000000000; tcp_nodelay on;
  upstream service { server 127.0.0.1:$backend; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$plain backlog=4096;
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host \$http_host;
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto \$scheme;
      proxy_set_header X-Forwarded-Host \$http_host;
    }
  }
}
CONF

start() {
  local core=$1
  shift
  taskset -c "$core" "$@" &
  started=$!
  pids+=("$started")
}
start 1 nginx -p "$work/backend" -c "$work/backend.conf"
start 0 nginx -p "$work/proxy" -c "$work/proxy.conf"
nginx_pid=$started
start 0 "$splitter" "127.0.0.1:$ours" "http://127.0.0.1:$backend" "http://127.0.0.1:$backend" 10 2>/dev/null
ours_pid=$started

for port in $backend $plain $ours; do
  for _ in $(seq 100); do
    (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
    sleep 0.05
  done
  echo "nothing answers on port $port; choose others with PORT=..." >&2
  exit 1
done

# Processor time of a process and its children, in clock ticks.
ticks() {
  local pid sum=0
  for pid in "$1" $(cat "/proc/$1/task/$1/children"); do
    sum=$((sum + $(awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat")))
  done
  echo "$sum"
}
hz=$(getconf CLK_TCK)

# One run: requests/s, p50 and p99 in ms, requests per second of processor time.
run() {
  local port=$1 pid=$2 before after
  before=$(ticks "$pid")
  taskset -c 1 wrk -t1 -c "$CONNECTIONS" -d "${SECONDS_PER_RUN}s" --latency "http://127.0.0.1:$port/" >"$work/out"
  after=$(ticks "$pid")
  awk -v cpu="$((after - before))" -v hz="$hz" '
    function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t * 1000 }
    /Non-2xx|Socket errors/ { print "errors under load: " $0 > "/dev/stderr"; bad = 1 }
    /^ +50%/ { p50 = ms($2) } /^ +99%/ { p99 = ms($2) }
    /requests in/ { n = $1 } /^Requests\/sec/ { rps = $2 }
    END { if (bad) exit 1; printf "%.0f %.2f %.2f %.0f\n", rps, p50, p99, cpu ? n * hz / cpu : 0 }' "$work/out"
}

SECONDS_PER_RUN=1 run "$plain" "$nginx_pid" >/dev/null
SECONDS_PER_RUN=1 run "$ours" "$ours_pid" >/dev/null
for _ in $(seq "$ROUNDS"); do
  run "$plain" "$nginx_pid" >>"$work/nginx.txt"
  run "$ours" "$ours_pid" >>"$work/splitter.txt"
done

middle() { sort -n -k4 "$1" | sed -n "$(((ROUNDS + 1) / 2))p"; }
read -r n_rps n_p50 n_p99 n_cpu < <(middle "$work/nginx.txt")
read -r s_rps s_p50 s_p99 s_cpu < <(middle "$work/splitter.txt")
printf '%-10s %10s %9s %9s %12s\n' "" "req/s" "p50 ms" "p99 ms" "req/cpu-s" \
  nginx "$n_rps" "$n_p50" "$n_p99" "$n_cpu" splitter "$s_rps" "$s_p50" "$s_p99" "$s_cpu"
awk -v a="$s_rps" -v b="$n_rps" -v c="$s_cpu" -v d="$n_cpu" \
  'BEGIN { printf "splitter / nginx: %.2f of its requests/s, %.2f of its requests per core (aim: 0.70)\n", a / b, c / d }'
