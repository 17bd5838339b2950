"""A host that is gone without a word: its power is cut (machine.py), or it is stopped. No packet tells of it; the
gateway's own checks have to. Nobody who waits for a whole answer may notice more than a pause.

The figure, first redirected token at most 5 s after it, is measured by bench/gateway.py --only powercut.
"""
import concurrent.futures
import signal
import time

import procs
import pytest
from gatewaykit import Fake, Gateway
from machine import Machine

# What the host that goes would do for ever if it stayed: the gateway waits 5 min for a first byte, 60 s in mid-answer.
WAITING = {"before the first byte": "hang", "in mid-answer": "hang-middle", "while it speaks": "forever"}
CALLERS = 4


@pytest.fixture
def machine():
    m = Machine()
    try:
        missing = m.make()
        if missing:
            pytest.skip("skipped: " + missing)
        yield m
    finally:
        m.close()


def cut(a, machine):
    machine.cut()


def stop(a, machine):
    a.p.signal(signal.SIGSTOP)


@pytest.mark.parametrize("how", [cut, stop], ids=["power", "stopped"])
@pytest.mark.parametrize("two_addresses", [False, True], ids=["one-address", "two-addresses"])
def test_silence(holdfast, running, tmp_path, machine, how, two_addresses):
    a, b = Fake(running, machine=machine), Fake(running)
    hosts = [{"name": "a", "url": a.url(), "parallel": 64}, {"name": "b", "url": b.url(), "parallel": 64}]
    if two_addresses:  # of the same machine, as Tailscale's is
        hosts[0]["tailscale-url"] = a.url().replace(machine.address, machine.second)
    routes = [{"name": n, "to": ["a/" + n, "b/ok"]} for n in [*WAITING.values(), "ok"]]
    g = Gateway(holdfast, tmp_path, hosts, routes, **{"probe-interval": "5s"})
    g.wait_hosts(a="up", b="up")
    took = {}
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        def ask(model, front):
            answer = g.ask(front, model, False, timeout=90)
            return time.monotonic(), answer

        calls = {k: [pool.submit(ask, m, ("ollama", "openai", "anthropic")[n % 3]) for n in range(CALLERS)]
                 for k, m in WAITING.items()}
        procs.wait_until(lambda: len([e for e in a.log() if e["path"] != "/api/show"]) == len(calls) * CALLERS)
        for c in [pool.submit(g.ask, "openai", "ok", False) for _ in range(CALLERS)]:
            c.result().whole("a")
        time.sleep(1.2)  # else the first check comes at once
        assert not any(c.done() for cs in calls.values() for c in cs)
        start = time.monotonic()
        how(a, machine)
        calls["on a kept connection"] = [pool.submit(ask, "ok", "openai") for _ in range(CALLERS)]
        for k, cs in calls.items():
            for c in cs:
                end, answer = c.result()
                answer.whole("b")
                took[k] = max(took.get(k, 0), end - start)
    # Far below what the gateway's timeouts would have taken, on a busy machine, too.
    assert max(took.values()) < 20, took
    print("silent for", {k: round(v, 2) for k, v in took.items()})
