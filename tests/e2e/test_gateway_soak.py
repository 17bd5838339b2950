"""Load with random faults: nothing leaks, nothing is stuck, everything is counted once.

Two hosts that misbehave by chance, each now and then killed or stopped; clients of all dialects, some of
which leave. Two hours with ./dev test --long, seconds otherwise.
"""
import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import threading
import time

import procs
from gatewaykit import KINDS, PATHS, TEXT, Fake, Gateway, body_of

SOUND = ["ok", "bytes", "slow", "crlf", "cut-after-end", "finish-twice", "usage-none"]
FAULTS = ["500", "503", "429-ms", "reset", "error-first", "error-later", "cut-first", "cut-later", "no-end", "empty",
          "nonsense", "hang-middle", "404", "reset-later", "400", "utf8", "length-short"]
NAMES = SOUND * 3 + FAULTS


class Client(threading.Thread):
    """Asks until told to stop; every answer is whole, or says aloud that it is not."""

    def __init__(self, g, seed, counts, stop):
        super().__init__(daemon=True)
        self.g, self.random, self.counts, self.stop, self.wrong = g, random.Random(seed), counts, stop, []

    def run(self):
        while not self.stop.is_set():
            try:
                self.one()
            except Exception as e:  # noqa: BLE001 whatever it is, it belongs into the report
                self.wrong.append(repr(e)[:600])

    def one(self):
        front, stream = self.random.choice(KINDS), self.random.random() < .6
        model = "r-" + self.random.choice(NAMES)
        if self.random.random() < .08:
            self.leave(front, model, stream)
            return
        a = self.g.ask(front, model, stream, timeout=90)
        kind = "whole" if a.status == 200 and a.is_done and not a.error else "cut" if a.status == 200 else "refused"
        if kind == "whole" and (a.is_cut or a.text not in (TEXT, "Hold\ufffd\ufffd")):
            self.wrong.append("not whole: %r" % vars(a))
        if kind == "cut" and not (a.error and (a.is_cut or not a.is_done)):
            self.wrong.append("a cut answer that does not say so: %r" % vars(a))
        if kind == "refused" and not a.error:
            self.wrong.append("no text: %r" % vars(a))
        self.counts[kind] += 1

    def leave(self, front, model, stream):
        c = http.client.HTTPConnection("127.0.0.1", self.g.port, timeout=20)
        c.request("POST", PATHS[front], json.dumps(body_of(front, model, stream)))
        time.sleep(self.random.random() * .2)
        c.close()
        self.counts["left"] += 1


def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def rss_mb(pid):
    with open("/proc/%d/status" % pid) as f:
        return [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0] / 1024


def outcomes(g):
    return {k: int(v) for k, v in re.findall(r'holdfast_gateway_requests_total\{outcome="([^"]+)"\} (\d+)',
                                             g.get("/metrics")[1].decode())}


def torment(fakes, chance, until):
    """Kills or stops one host at a time."""
    while time.monotonic() < until:
        time.sleep(min(chance.uniform(1, 4), max(until - time.monotonic(), 0)))
        f = chance.choice(fakes)
        how = chance.choice(["kill", "stop", "nothing"])
        if how == "kill":
            f.p.kill()
            time.sleep(chance.uniform(.2, 2))
            f.start()
        elif how == "stop":
            f.p.signal(signal.SIGSTOP)
            time.sleep(chance.uniform(.2, 4))
            f.p.signal(signal.SIGCONT)


def test_soak(holdfast, running, tmp_path, is_long, seed):
    seconds = 7200 if is_long else 12
    chance = random.Random(seed)
    a, b = Fake(running), Fake(running)
    hosts = [{"name": "a", "url": a.url(), "parallel": 6, "memory": "64GB", "prewarm": ["ok"]},
             {"name": "b", "url": b.url(), "parallel": 6}]
    routes = [{"name": "r-" + n, "to": ["a/" + n, "b/" + chance.choice(SOUND + [n])]} for n in sorted(set(NAMES))]
    g = Gateway(holdfast, tmp_path, hosts, routes, **{
        "idle-timeout": "1s", "load-timeout": "5s", "probe-timeout": "1s", "pause-timeout": "5s",
        "queue-timeout": "10s", "early-commit": "2s"})
    g.wait_hosts(a="up", b="up")
    counts, stop = {"whole": 0, "cut": 0, "refused": 0, "left": 0}, threading.Event()
    warm = {}
    clients = [Client(g, seed + n, counts, stop) for n in range(10)]
    for c in clients:
        c.start()
    end = time.monotonic() + seconds
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(torment, [a, b], chance, end)
        while time.monotonic() < end:
            time.sleep(min(seconds / 4, 60))
            warm.setdefault("rss", rss_mb(g.p.pid))  # after the first quarter
            assert g.p.alive, g.p.text()[-3000:]
        work.result(timeout=60)
    stop.set()
    for c in clients:
        c.join(timeout=100)
        assert not c.is_alive(), "a client got no answer: %s" % json.dumps(g.status(), indent=1)
    wrong = [w for c in clients for w in c.wrong]
    assert not wrong, "%d, e.g. %s" % (len(wrong), wrong[:3])
    # Nothing is stuck, nothing is held.
    procs.wait_until(lambda: g.status()["requests"] == 0 and g.status()["queued"] == g.status()["paused"] == 0,
                     why=lambda: json.dumps(g.status(), indent=1))
    assert all(h["active"] == 0 and all(s["active"] == 0 for s in h["slots"]) for h in g.status()["hosts"])
    assert g.status()["retries"] == 0
    # Everything is counted once; who left may have been gone before the gateway read the request.
    said, asked = sum(outcomes(g).values()), counts["whole"] + counts["cut"] + counts["refused"]
    assert asked <= said <= asked + counts["left"], (outcomes(g), counts)
    assert outcomes(g)["ok"] >= counts["whole"] > 20, (outcomes(g), counts)
    assert counts["cut"] > 0 and outcomes(g)["client-left"] > 0, counts
    assert open_files(g.p.pid) < 120
    if is_long:  # the sanitizer's quarantine is full by then
        assert rss_mb(g.p.pid) < warm["rss"] * 1.5 + 64, (warm, rss_mb(g.p.pid))
    g.wait_hosts(a="up", b="up")
    for front in KINDS:
        g.ask(front, "r-ok", True).whole()
    print("soak:", counts, "rss", warm["rss"], rss_mb(g.p.pid))


