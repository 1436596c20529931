#!/usr/bin/env python3
"""Prints the speed and memory table of docs/benchmarks.md, beside the budgets.

usage: benches/table.py [--no-splitter]

Builds the release binary and the microbenchmarks, then measures on this machine. Needs Rust and Python 3; the row of
the splitter also needs nginx and wrk (see benches/splitter.sh), and is left out, with a word, where they are missing.
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "release" / "canary"
ROWS = []


def row(what, budget, got):
    ROWS.append((what, budget, got))
    print(f"  {what}: {got} (budget {budget})", file=sys.stderr)


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "--package", "canary"], cwd=ROOT, check=True)


def microbenchmarks():
    """Runs `cargo bench`, whose output is one JSON object per line."""
    done = subprocess.run(
        ["cargo", "bench", "--locked", "--package", "canary-orchestrator", "--bench", "core"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            one = json.loads(line)
            row(one["what"], one["budget"], one["got"])


def start_to_first_byte():
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        child = subprocess.Popen([BINARY, "--version"], stdout=subprocess.PIPE)
        child.stdout.read(1)
        times.append((time.perf_counter() - begin) * 1000)
        child.wait()
        child.stdout.close()
    row("start to first byte (median of 200, with the fork of Python)", "< 10 ms", f"{statistics.median(times):.1f} ms")


def binary_size():
    row("binary, stripped", "< 20 MB", f"{BINARY.stat().st_size / 1e6:.1f} MB")


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *args):
        pass


def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


WORKFLOW = """
osop_version: "2.0"
id: bench
name: Three gates
nodes:
  - {id: canary_10, type: infra, purpose: 10 percent, runtime: {tool: canary, action: set-weight, weight: 10}}
  - {id: check, type: infra, purpose: judge, runtime: {tool: canary, action: analyze, gates: [errors, p99, p50], for: 10m}}
  - {id: promote, type: infra, purpose: promote, runtime: {tool: canary, action: promote}}
  - {id: rollback, type: infra, purpose: back, runtime: {tool: canary, action: rollback}}
edges:
  - {from: canary_10, to: check, mode: sequential}
  - {from: check, to: promote, mode: sequential}
  - {from: check, to: rollback, mode: fallback}
x-canary:
  service: bench
  traffic: {router: local, proxy: bench}
  sources: {scrape: {canary: ["http://127.0.0.1:METRICS/metrics"], interval: 1s}}
  metrics: {preset: canary-proxy}
  gates:
    - {name: errors, metric: error_rate, success_condition: "value < 5%", interval: 1s, window: 30s}
    - {name: p99, metric: p99_latency, success_condition: "value < 5s", interval: 1s, window: 30s}
    - {name: p50, metric: p50_latency, success_condition: "value < 5s", interval: 1s, window: 30s}
"""


def unix_get(path, what):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"GET {what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.split(b"\r\n\r\n", 1)[1]


def weight_of(admin):
    return json.loads(unix_get(admin, "/v1/state"))["weight"]


def wait_for_weight(admin, wanted, run, output, pause):
    """Waits until the splitter has that weight. Ends the benchmark, with what `canary run` said, if that will not happen."""
    deadline = time.monotonic() + 30
    while weight_of(admin) != wanted:
        if run.poll() not in (None, 1) or time.monotonic() > deadline:
            run.kill()
            sys.exit(f"the weight did not become {wanted}; `canary run` said:\n{pathlib.Path(output).read_text()}")
        time.sleep(pause)


def release(directory):
    """A release with three gates: its memory, and the time from the abort command to weight 0."""
    admin = f"{directory}/a.sock"
    metrics = free_port()
    environment = dict(os.environ, CANARY_STATE_DIR=f"{directory}/state", XDG_RUNTIME_DIR=directory, NO_COLOR="1")
    proxy = subprocess.Popen(
        [BINARY, "proxy", "--name", "bench", "--listen", "127.0.0.1:0", "--admin", admin, "--metrics", f"127.0.0.1:{metrics}",
         "--stable", f"http://127.0.0.1:{upstream()}", "--canary", f"http://127.0.0.1:{upstream()}"],
        env=environment, stderr=subprocess.PIPE, text=True,
    )
    line = proxy.stderr.readline()
    address = re.search(r"http://[0-9.:]+", line).group(0).rstrip(":")
    workflow = pathlib.Path(directory) / "bench.osop.yaml"
    workflow.write_text(WORKFLOW.replace("METRICS", str(metrics)).replace("proxy: bench", f"proxy: {admin}"))
    stop = threading.Event()

    def load():
        while not stop.wait(0.005):
            urllib.request.urlopen(address, timeout=5).read()

    user = threading.Thread(target=load, daemon=True)
    user.start()
    times, memory = [], 0
    try:
        for _ in range(10):
            output = f"{directory}/run.log"
            with open(output, "wb") as log:
                run = subprocess.Popen([BINARY, "run", "--plain", workflow], env=environment, stdout=log, stderr=log)
            wait_for_weight(admin, 10, run, output, pause=0.01)
            time.sleep(2)
            status = pathlib.Path(f"/proc/{run.pid}/status").read_text()
            memory = max(memory, int(re.search(r"VmHWM:\s+(\d+)", status).group(1)))
            begin = time.perf_counter()
            abort = subprocess.Popen([BINARY, "abort", "--no-wait"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for_weight(admin, 0, run, output, pause=0)
            times.append((time.perf_counter() - begin) * 1000)
            abort.wait()
            run.wait(timeout=60)
    finally:
        stop.set()
        user.join(timeout=6)
        proxy.terminate()
        proxy.wait(timeout=60)
    row("memory of `canary run`, three gates (peak)", "< 20 MiB", f"{memory / 1024:.1f} MiB")
    row("`canary abort` started to weight 0 in the splitter (median, max of 10)", "< 50 ms", f"{statistics.median(times):.1f} ms, {max(times):.1f} ms")


def splitter():
    if "--no-splitter" in sys.argv or not (shutil.which("wrk") and (shutil.which("nginx") or os.path.exists("/usr/sbin/nginx"))):
        print("  LEFT OUT: the splitter beside nginx (needs nginx and wrk)", file=sys.stderr)
        return
    done = subprocess.run([ROOT / "benches" / "splitter.sh"], capture_output=True, text=True, check=True)
    print(done.stdout, file=sys.stderr)
    row("splitter beside nginx as a plain reverse proxy, one core each", ">= 0.7 of its requests/s", done.stdout.strip().splitlines()[-1])


def main():
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
        return
    build()
    microbenchmarks()
    start_to_first_byte()
    binary_size()
    with tempfile.TemporaryDirectory(prefix="cb", dir="/tmp") as directory:
        release(directory)
    splitter()
    print("| what | budget | measured |\n|---|---|---|")
    for what, budget, got in ROWS:
        print(f"| {what} | {budget} | {got} |")


if __name__ == "__main__":
    main()
