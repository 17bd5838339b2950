#!/usr/bin/env python3
"""The gateway beside nginx, HAProxy and LiteLLM: one run on one machine, against a model server that costs nothing.

  gateway.py [--quick] [--only ROW,...] [--seconds S] [--rounds N] [--litellm PYTHON] [--save FILE] [--write FILE.md]
  gateway.py --from FILE            the table again

Rows: one, cpu, chunks, streams, bodies, lists, kill, powercut (needs root: a network namespace). Needs cc, and nginx and haproxy of Debian (what is missing is left
out and said). HOLDFAST_BIN names the program (build/holdfast). CPU is what /proc/PID/stat says of all processes of a
proxy; figures are medians over rounds in which the proxies take turns.
"""
import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
import machine  # noqa: E402
TICK = os.sysconf("SC_CLK_TCK")
CHAT, EMBED = "/v1/chat/completions", "/v1/embeddings"
NGINX = """
worker_processes 1; daemon off; pid %(dir)s/nginx.pid; error_log %(dir)s/nginx.err;
events { worker_connections 8192; }
http { access_log %(dir)s/nginx.log; client_max_body_size 32m; client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  keepalive_requests 1000000000;
  upstream up { server 127.0.0.1:%(up)d; keepalive 1024; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%(port)d; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_request_buffering on; client_body_buffer_size 256k; } } }
"""
HAPROXY = """
global
  maxconn 8192
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
  option http-no-delay
  option httplog
  log stdout format raw local0
frontend f
  bind 127.0.0.1:%(port)d
  default_backend b
backend b
  server s 127.0.0.1:%(up)d maxconn 8192
"""
LITELLM = """
model_list:
%s
litellm_settings: {num_retries: 0, telemetry: false}
"""
MODELS = ("c3i0d0", "c100i20d5", "c50i100d20", "c1i0d1500", "c1i0d20")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def log(*a):
    print("gateway.py:", *a, file=sys.stderr, flush=True)


def until(fn, seconds=20, what="it"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if fn():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("gateway.py: %s did not come up" % what)


def get(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request("GET", path)
    r = c.getresponse()
    return r.status, r.read()


def rest_of_stat(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()


class Proxy:
    """Something between client and model server, or the server itself (direct)."""

    def __init__(self, name, port, process=None):
        self.name, self.port, self.p = name, port, process

    def pids(self):
        """The process and its children: nginx and haproxy work in one."""
        if not self.p:
            return []
        out = [self.p.pid]
        for d in os.listdir("/proc"):
            try:
                if d.isdigit() and int(rest_of_stat(int(d))[1]) in out:
                    out.append(int(d))
            except OSError:
                pass
        return out

    def cpu(self):
        total = 0
        for pid in self.pids():
            f = rest_of_stat(pid)
            total += int(f[11]) + int(f[12])
        return total / TICK

    def rss_mb(self):
        kb = 0
        for pid in self.pids():
            with open("/proc/%d/status" % pid) as f:
                kb += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        return kb / 1024

    def stop(self):
        if self.p:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()


class Bench:
    def __init__(self, a):
        self.a, self.all = a, []
        self.dir = tempfile.mkdtemp(prefix="hf-gwbench-")
        self.tool = os.path.join(self.dir, "gwtool")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", self.tool, os.path.join(HERE, "gwtool.c")], check=True)

    def start(self, name, argv, port, ready="/v1/models", env=None):
        with open(os.path.join(self.dir, name + ".out"), "wb") as out:
            p = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, cwd=self.dir, env=env)
        x = Proxy(name, port, p)
        self.all.append(x)
        until(lambda: p.poll() is None and get(port, ready)[0] == 200, 60, name)
        return x

    def server(self, where=None):
        argv = [*where.run, self.tool, "serve", where.address] if where else [self.tool, "serve"]
        p = subprocess.Popen(argv, stdout=subprocess.PIPE)
        x = Proxy("direct", int(p.stdout.readline().split()[1]), p)
        x.url = "http://%s:%d/v1" % (where.address if where else "127.0.0.1", x.port)
        self.all.append(x)
        return x

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def holdfast(self, ups, name="holdfast", **keys):
        port = free_port()
        hosts = [{"name": "h%d" % i, "kind": "openai", "local": True, "parallel": self.a.parallel,
                  "url": u if isinstance(u, str) else "http://127.0.0.1:%d/v1" % u} for i, u in enumerate(ups)]
        routes = [{"name": m, "to": ["%s/%s" % (h["name"], m) for h in hosts]} for m in MODELS]
        conf = {"gateway": {"listen": "127.0.0.1:%d" % port, "hosts": hosts, "routes": routes, **keys}}
        path = self.file(name + ".yml", json.dumps(conf))
        program = os.environ.get("HOLDFAST_BIN", os.path.join(HERE, "..", "build", "holdfast"))
        x = self.start(name, [os.path.abspath(program), "gateway", "-config", path], port, "/readyz")
        return x

    def peers(self, up):
        for name, program, text in (("nginx", "nginx", NGINX), ("haproxy", "haproxy", HAPROXY)):
            path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
            if not path:
                log("%s is not installed: left out (apt-get install %s)" % (program, program))
                continue
            port = free_port()
            conf = self.file(name + ".conf", text % {"dir": self.dir, "up": up, "port": port})
            argv = [path, "-p", self.dir, "-c", conf] if name == "nginx" else [path, "-f", conf]
            yield self.start(name, argv, port)
        if self.a.litellm:
            port = free_port()
            models = "".join("- {model_name: %s, litellm_params: {model: openai/%s, api_key: x, api_base: 'http://127.0.0.1:%d/v1'}}\n"
                             % (m, m, up) for m in MODELS)
            conf = self.file("litellm.yml", LITELLM % models)
            argv = [os.path.join(os.path.dirname(self.a.litellm), "litellm"), "--config", conf, "--port", str(port), "--host", "127.0.0.1"]
            # no price list from the network, no keys: the other proxies have none either
            env = dict(os.environ, LITELLM_LOCAL_MODEL_COST_MAP="True",
                       LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY="true")
            yield self.start("litellm", argv, port, "/health/liveliness", env=env)

    def load(self, x, *flags):
        r = subprocess.run([self.tool, "load", "127.0.0.1:%d" % x.port, *map(str, flags)], stdout=subprocess.PIPE, check=True)
        return json.loads(r.stdout)

    def measured(self, x, *flags):
        cpu = x.cpu()
        r = self.load(x, *flags)
        r["cpu_s"] = x.cpu() - cpu
        if r["errors"]:
            log("%s: %d errors: %s" % (x.name, r["errors"], r["why"]))
        return r

    def rounds(self, xs, *flags, rounds=None):
        got = {x.name: [] for x in xs}
        for _ in range(rounds or self.a.rounds):
            for x in xs:
                got[x.name].append(self.measured(x, *flags))
        return got

    def close(self):
        for x in self.all:
            x.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Watch(threading.Thread):
    """Peak of a proxy's resident memory."""

    def __init__(self, x):
        super().__init__(daemon=True)
        self.x, self.peak, self.on = x, 0, True
        self.start()

    def run(self):
        while self.on:
            self.peak = max(self.peak, self.x.rss_mb())
            time.sleep(0.05)

    def done(self):
        self.on = False
        self.join()
        return round(self.peak, 1)


def mid(rs, fn):
    return statistics.median(fn(r) for r in rs)


def errors(rs):
    return sum(r["errors"] for r in rs)


def row_one(b, xs):
    """One client, one request after the other."""
    out = {}
    for kind, flags in (("whole", ()), ("stream", ("-s",))):
        got = b.rounds(xs, "-d", b.a.seconds, *flags)
        base = {q: mid(got["direct"], lambda r, q=q: r["whole_us"][q]) for q in ("p50", "p99")}
        for n, rs in got.items():
            out.setdefault(n, {})[kind] = {
                **{q: round(mid(rs, lambda r, q=q: r["whole_us"][q]), 1) for q in base}, "errors": errors(rs),
                **{"added_" + q: round(mid(rs, lambda r, q=q: r["whole_us"][q]) - base[q], 1) for q in base}}
    return out


def row_cpu(b, xs):
    """Eight clients: CPU of the proxy for one small request."""
    out = {}
    for kind, flags in (("whole", ()), ("stream", ("-s",)), ("embed", ("-p", EMBED))):
        for n, rs in b.rounds([x for x in xs if x.name != "direct"], "-c", 8, "-d", b.a.seconds, *flags).items():
            out.setdefault(n, {})[kind] = {"cpu_us": round(mid(rs, lambda r: r["cpu_s"] / max(r["ok"], 1) * 1e6), 1), "errors": errors(rs),
                                           "per_s": mid(rs, lambda r: r["per_s"])}
    return out


def row_chunks(b, xs):
    """Twenty streams of a piece each 20 ms."""
    out = {}
    got = b.rounds(xs, "-s", "-c", 20, "-m", "c100i20d5", "-n", 40, "-d", 60, "-w", 20)
    base = mid(got["direct"], lambda r: r["piece_us"]["p50"])
    for n, rs in got.items():
        p50 = mid(rs, lambda r: r["piece_us"]["p50"])
        out[n] = {"p50": round(p50, 1), "added_p50": round(p50 - base, 1), "p99": round(mid(rs, lambda r: r["piece_us"]["p99"]), 1), "errors": errors(rs),
                  "cpu_us_per_chunk": round(mid(rs, lambda r: r["cpu_s"] / max(r["piece_us"]["n"], 1) * 1e6), 1)}
    return out


def row_streams(b, xs):
    """A thousand streams at ten pieces a second."""
    out = {}
    for x in xs:
        if x.name == "litellm":
            continue
        w = Watch(x)
        r = b.measured(x, "-s", "-c", 1000, "-m", "c50i100d20", "-n", 2000, "-d", 60, "-w", 1000)
        out[x.name] = {"errors": r["errors"], "streams": r["ok"], "pieces": r["piece_us"]["n"], "rss_mb": w.done(),
                       "piece_p50": r["piece_us"]["p50"], "piece_p99": r["piece_us"]["p99"],
                       "cpu_us_per_chunk": round(r["cpu_s"] / max(r["piece_us"]["n"], 1) * 1e6, 1)}
    return out


def row_bodies(b, xs):
    """1,500 requests of 150 KB at a time, each answered after 1.5 s."""
    out = {}
    for x in xs:
        if x.name in ("direct", "litellm"):
            continue
        idle = x.rss_mb()
        w = Watch(x)
        r = b.measured(x, "-c", 1500, "-b", 150000, "-m", "c1i0d1500", "-n", 3000, "-d", 60)
        peak = w.done()
        time.sleep(3)
        out[x.name] = {"errors": r["errors"], "ok": r["ok"], "idle_mb": round(idle, 1), "peak_mb": peak, "after_mb": round(x.rss_mb(), 1),
                       "why": r["why"]}
    return out


def row_lists(b, _):
    """Merged lists of models when no host is there any more."""
    up = b.server()
    x = b.holdfast([up.port, free_port()], "holdfast-lists", **{"probe-interval": "1s"})
    until(lambda: b"\"m\"" in get(x.port, "/v1/models")[1], what="list of models")
    up.stop()
    time.sleep(2)
    out = {}
    for path in ("/v1/models", "/api/tags"):
        took = []
        for _ in range(50):
            t = time.monotonic()
            status, _body = get(x.port, path)
            took.append((time.monotonic() - t) * 1000)
        out[path] = {"status": status, "max_ms": round(max(took), 2), "p50_ms": round(statistics.median(took), 2)}
    x.stop()
    return {"holdfast": out}


def row_kill(b, _):
    """kill -9 of the host that serves, under load of 16 clients; another one is there."""
    out = []
    for _ in range(b.a.rounds):
        one, two = b.server(), b.server()
        x = b.holdfast([one.port, two.port], "holdfast-kill")
        t = threading.Timer(1.0, one.p.kill)
        t.start()
        whole = b.load(x, "-c", 16, "-d", 3, "-m", "c1i0d20")
        t.join()
        out.append({"ok": whole["ok"], "failed": whole["errors"], "slowest_ms": round(whole["whole_us"]["max"] / 1000, 1), "why": whole["why"]})
        for p in (x, two):
            p.stop()
        one.p.wait()
    return {"holdfast": {"failed": sum(r["failed"] for r in out), "ok": sum(r["ok"] for r in out),
                         "slowest_ms": max(r["slowest_ms"] for r in out), "why": "; ".join(r["why"] for r in out if r["why"])}}


def silent_end(b, m, model, how):
    """When calls moved, in s after the end of the host, and how many failed."""
    one, two = b.server(m), b.server()
    x = b.holdfast([one.url, two.url], "holdfast-silent")
    ended = []

    def end():
        ended.append(time.monotonic_ns())
        m.cut() if how == "cut" else one.p.send_signal(signal.SIGSTOP)

    t = threading.Timer(random.uniform(1.5, 6.5), end)  # at any moment between two health checks
    t.start()
    r = b.load(x, "-c", 16, "-d", 7, "-m", model)
    t.join()
    moved = [(ns - ended[0]) / 1e9 for ns in json.loads(get(two.port, "/asks")[1])]
    for p in (x, two):
        p.stop()
    one.p.kill()
    one.p.wait()
    if how == "cut":
        m.back()
    return {"model": model, "how": how, "first_s": round(moved[0], 2), "16th_s": round(moved[15], 2),
            "ok": r["ok"], "failed": r["errors"], "why": r["why"]}


def row_powercut(b, _):
    """The host that serves 16 clients is gone without a word, or stopped: on connections that are kept, before the first
    byte, in mid-answer. None of the clients asks for a stream, so none may fail."""
    m = machine.Machine()
    try:
        missing = m.make()
        if missing:
            log("powercut is skipped: " + missing)
            return {}
        all = [silent_end(b, m, model, how) for how in ("cut", "stop") for model in ("c1i0d20", "c1i0d1500", "c50i100d20")
               for _ in range(b.a.rounds)]
    finally:
        m.close()
    return {"holdfast": {how: {"failed": sum(r["failed"] for r in all if r["how"] == how), "ok": sum(r["ok"] for r in all if r["how"] == how),
                               "first_s": max(r["first_s"] for r in all if r["how"] == how),
                               "16th_s": max(r["16th_s"] for r in all if r["how"] == how)} for how in ("cut", "stop")} | {"rounds": all}}


ROWS = {"one": row_one, "cpu": row_cpu, "chunks": row_chunks, "streams": row_streams, "bodies": row_bodies, "lists": row_lists, "kill": row_kill, "powercut": row_powercut}


def pick(res, *path):
    for p in path:
        if not isinstance(res, dict) or p not in res:
            return None
        res = res[p]
    return res


def ratio(res, row, *path):
    a, n = pick(res, row, "holdfast", *path), pick(res, row, "nginx", *path)
    return None if not n or a is None else round(a / n, 2)


def promises(res):
    """(what, limit, ours, the peers' figures): the limit is on ours unless it says times nginx."""
    def row(text, limit, value, *path, unit=""):
        peers = ["%s %s" % (n, pick(res, path[0], n, *path[1:])) for n in ("nginx", "haproxy", "litellm") if path and pick(res, path[0], n, *path[1:]) is not None]
        return text, limit, value, unit, ", ".join(peers)
    h = lambda *p: pick(res, p[0], "holdfast", *p[1:])
    idle, after = h("bodies", "idle_mb"), h("bodies", "after_mb")
    return [
        row("one client, whole answer: added p50", 150, h("one", "whole", "added_p50"), "one", "whole", "added_p50", unit="µs"),
        row("one client, whole answer: added p99", 400, h("one", "whole", "added_p99"), "one", "whole", "added_p99", unit="µs"),
        row("one client, stream passed through: added p50", 150, h("one", "stream", "added_p50"), "one", "stream", "added_p50", unit="µs"),
        row("one client, stream passed through: added p99", 400, h("one", "stream", "added_p99"), "one", "stream", "added_p99", unit="µs"),
        row("CPU a small request, whole answer", 3, ratio(res, "cpu", "whole", "cpu_us"), "cpu", "whole", "cpu_us", unit="× nginx"),
        row("CPU a small request, stream passed through", 3, ratio(res, "cpu", "stream", "cpu_us"), "cpu", "stream", "cpu_us", unit="× nginx"),
        row("CPU a small request, embedding passed through", 3, ratio(res, "cpu", "embed", "cpu_us"), "cpu", "embed", "cpu_us", unit="× nginx"),
        row("20 streams: added p50 a chunk", 1.3, ratio(res, "chunks", "added_p50"), "chunks", "added_p50", unit="× nginx"),
        row("1,000 streams: errors", 0, h("streams", "errors"), "streams", "errors"),
        row("1,000 streams: RSS", 96, h("streams", "rss_mb"), "streams", "rss_mb", unit="MB"),
        row("1,000 streams: CPU a chunk", 25, h("streams", "cpu_us_per_chunk"), "streams", "cpu_us_per_chunk", unit="µs"),
        row("1,500 × 150 KB: errors", 0, h("bodies", "errors"), "bodies", "errors"),
        row("1,500 × 150 KB: RSS at the peak", 300, h("bodies", "peak_mb"), "bodies", "peak_mb", unit="MB"),
        row("1,500 × 150 KB: RSS afterwards over before", 20, None if idle is None else round(after - idle, 1), unit="MB"),
        row("lists of models, every host dead: slowest", 5, None if not h("lists") else max(v["max_ms"] for v in h("lists").values()), unit="ms"),
        row("kill -9 of the serving host: failed calls", 0, h("kill", "failed"), unit=""),
        row("kill -9 of the serving host: slowest call", 1000, h("kill", "slowest_ms"), unit="ms"),
        row("silent power cut of the serving host: failed calls", 0, h("powercut", "cut", "failed"), unit=""),
        row("silent power cut: the last of 16 calls goes elsewhere after", 5, h("powercut", "cut", "16th_s"), unit="s"),
        row("SIGSTOP of the serving host: failed calls", 0, h("powercut", "stop", "failed"), unit=""),
        row("SIGSTOP: the last of 16 calls goes elsewhere after", 5, h("powercut", "stop", "16th_s"), unit="s"),
    ]


def table(res):
    lines = ["| figure | at most | holdfast | | the same of others |", "|---|---|---|---|---|"]
    missed = 0
    for text, limit, value, unit, peers in promises(res):
        if value is None:
            continue
        missed += value > limit
        lines.append("| %s | %s %s | %s | %s | %s |" % (text, limit, unit, value, "kept" if value <= limit else "**missed**", peers))
    cpu = pick(res, "cpu", "holdfast")
    if cpu:
        lines += ["", "CPU of holdfast: " + ", ".join("%s %s µs" % (k, v["cpu_us"]) for k, v in cpu.items()) + " a request."]
    return "\n".join(lines) + "\n", missed


def run(a):
    b, res = Bench(a), {"machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}
    try:
        up = b.server()
        xs = [up, *b.peers(up.port),
              b.holdfast([up.port], **{"queue-per-model": 4096, "queue-all": 4096, "max-bodies": "512MB"})]
        for name in a.only.split(","):
            log(name)
            res[name] = ROWS[name](b, xs)
    finally:
        b.close()
    return res


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="one short round: a direction")
    p.add_argument("--only", default=",".join(ROWS))
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--parallel", type=int, default=1024, help="requests at a time that holdfast hands to the model server")
    p.add_argument("--litellm", metavar="PYTHON", help="python of a virtual environment that has litellm[proxy]")
    p.add_argument("--save", metavar="FILE")
    p.add_argument("--write", metavar="FILE.md")
    p.add_argument("--from", dest="load", metavar="FILE")
    a = p.parse_args()
    if a.quick:
        a.rounds, a.seconds = 1, 1.5
    if a.load:
        with open(a.load) as f:
            res = json.load(f)
    else:
        res = run(a)
    text, missed = table(res)
    if a.save:
        with open(a.save, "w") as f:
            json.dump(res, f, indent=1)
    if a.write:
        with open(a.write, "w") as f:
            f.write(text)
    print(json.dumps(res) + "\n" + text)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
