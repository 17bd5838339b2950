"""What users of other gateways complain about, each as a test with a name.

A host that fails at once swallows the traffic, its breaker says nothing: test_gateway
    test_500_host_does_not_swallow_the_traffic (the page is looked at, too)
Cold loads are killed, time-outs do not fire before headers, 409/429/503 do not move on, an error after the
first chunk has no fallback, an end without a marker passes for success, a cut is a clean 200, in-band
errors are dropped: test_gateway_faults, rows cold, hang, 409, 429, 503, error-first, no-end, cut-*, error-*
The client leaves and the host goes on: test_gateway test_client_that_leaves_ends_the_work_upstream
Memory grows: test_gateway test_slow_reader_holds_the_host_back_and_memory_stays_small; test_gateway_soak
A second failure does not lengthen the cooldown: src/gateway/breaker_test.c
Streamed tool calls end with "stop": test_gateway_dialects test_openai_tools_there_and_back
No status of the queue: test_gateway test_queue_is_bounded_and_says_when_to_come_back
One dead host stalls the list of models: test_gateway test_lists_and_pages_while_every_host_is_dead
"""
import concurrent.futures
import json
import os
import signal
import socket
import time

import procs
import pytest
from gatewaykit import KINDS, TEXT, Answer, Fake, Gateway, body_of
from test_gateway import seen

__all__ = ["two"]


@pytest.fixture
def two(holdfast, running, tmp_path):
    """two(routes, **keys): a gateway over hosts a and b with these routes."""
    def make(routes=(), **keys):
        a, b = Fake(running), Fake(running)
        hosts = [{"name": n, "url": f.url(), "parallel": 50} for n, f in (("a", a), ("b", b))]
        g = Gateway(holdfast, tmp_path, hosts, list(routes), **keys)
        g.a, g.b = a, b
        g.wait_hosts(a="up", b="up")
        return g
    return make


def test_the_host_that_has_the_model_loaded_is_preferred(two):
    g = two()
    for fake, name in ((g.b, "b"), (g.a, "a")):
        other = g.a if fake is g.b else g.b
        fake.set(loaded={"ok:latest": 1})
        other.set(loaded={})
        procs.wait_until(lambda n=name: [h["name"] for h in g.status()["hosts"] if h["loaded"]] == [n])
        for front in KINDS:
            g.ask(front, "ok", False).whole(name)


def test_a_cooldown_is_waited_for_when_nobody_else_can(two):
    """429 with a time: it goes out at once, and who comes before that time waits instead of failing."""
    g = two([{"name": "m", "to": ["a/busy-once"]}])
    first = g.ask("openai", "m", False)
    assert first.status == 429 and "retry-after" in first.headers
    start = time.monotonic()
    second = g.ask("openai", "m", False).whole("a")
    assert time.monotonic() - start > 0.3 and int(second.headers["x-holdfast-queue-ms"]) > 0


def test_a_host_that_is_busy_at_each_try_is_tried_again_each_time(two):
    """In half-open a busy answer says nothing; it must not leave the breaker waiting for ever."""
    g = two([{"name": "m", "to": ["a/429-ms"]}])
    for n in range(1, 4):
        assert g.ask("ollama", "m", False).status == 429
        assert len(seen(g.a, "429-ms")) == n
        time.sleep(0.1)


def test_text_of_another_model_is_never_spliced_on(two):
    g = two([{"name": "m", "to": ["a/error-later", "b/ok"]}])
    for front in KINDS:
        g.ask(front, "m", True).broken_off()
    assert seen(g.b, "ok") == []


def test_a_large_body_moves_on_as_a_small_one_does(two):
    g = two([{"name": "m", "to": ["a/reset", "b/ok"]}])
    text = "x" * (10 << 20)
    a = g.ask("openai", "m", True, messages=[{"role": "user", "content": text}]).whole("b")
    assert a.headers["x-holdfast-tried"] in ("a:reset", "a:stale-connection")
    assert [len(e["ask"]["messages"][0]["content"]) for e in seen(g.b, "ok")] == [10 << 20]


def test_a_body_too_large_is_refused_in_the_clients_dialect(two):
    g = two([{"name": "m", "to": ["a/ok"]}], **{"max-body": "64KB"})
    for front in KINDS:
        a = g.ask(front, "m", False, messages=[{"role": "user", "content": "x" * 100000}])
        assert a.status == 413 and "max-body" in a.error
    assert seen(g.a, "ok") == []


def test_hundreds_that_hang_and_leave_leave_nothing_behind(two):
    g = two([{"name": "m", "to": ["a/hang"]}], **{"queue-per-model": 400, "queue-all": 400})
    fds = len(os.listdir("/proc/%d/fd" % g.p.pid))
    request = json.dumps(body_of("ollama", "m", True)).encode()
    raw = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(request), request)
    clients = [socket.create_connection(("127.0.0.1", g.port)) for _ in range(150)]
    for c in clients:
        c.sendall(raw)
    procs.wait_until(lambda: g.status()["requests"] == 150 and g.status()["queued"] > 50)
    for c in clients:
        c.close()
    procs.wait_until(lambda: g.status()["requests"] == 0 and g.status()["queued"] == 0)
    procs.wait_until(lambda: all(s["active"] == 0 for h in g.status()["hosts"] for s in h["slots"]))
    procs.wait_until(lambda: len(os.listdir("/proc/%d/fd" % g.p.pid)) <= fds + 10)


def test_health_that_says_yes_and_no_in_turn_fails_nobody(two):
    g = two([{"name": "m", "to": ["a/ok", "b/ok"]}], **{"probe-interval": "100ms"})
    g.a.set(flap=True)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        for front in KINDS:
            g.ask(front, "m", True).whole()


# ---- hosts that stop in the middle

@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_host_that_stops_in_mid_answer(two, how):
    """A stream that was heard ends with an error and a cut; one answer, or one not begun, moves on."""
    g = two([{"name": "heard", "to": ["a/forever", "b/ok"]}, {"name": "load", "to": ["a/hang", "b/ok"]},
             {"name": "one", "to": ["a/hang-middle", "b/ok"]}], **{"probe-timeout": "1s"})
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        heard = [pool.submit(Answer, g.port, f, "heard", True) for f in KINDS]
        moved = [pool.submit(g.ask, f, "load", True) for f in KINDS] + \
                [pool.submit(g.ask, f, "one", False) for f in KINDS]
        procs.wait_until(lambda: [len(seen(g.a, m)) for m in ("forever", "hang", "hang-middle")] == [3, 3, 3])
        procs.wait_until(lambda: all(s["active"] == 3 for h in g.status()["hosts"] for s in h["slots"]
                                     if h["name"] == "a"))
        time.sleep(0.5)  # something was heard
        g.a.p.signal(how)
        for m in moved:
            m.result(timeout=60).whole("b")
        for m in heard:
            a = m.result(timeout=60)
            assert a.status == 200 and a.is_cut and a.error and not a.is_done and "tick" in a.text, vars(a)
        if how == signal.SIGSTOP:
            g.a.p.signal(signal.SIGCONT)


def test_a_client_that_leaves_a_host_which_ignores_it(two):
    """The host is stopped and does not see the connection close: the slot is free all the same."""
    g = two([{"name": "m", "to": ["a/hang"]}], **{"probe-interval": "60s"})
    c = socket.create_connection(("127.0.0.1", g.port))
    request = json.dumps(body_of("openai", "m", True)).encode()
    c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
              % (len(request), request))
    procs.wait_until(lambda: seen(g.a, "hang"))
    g.a.p.signal(signal.SIGSTOP)
    c.close()
    procs.wait_until(lambda: g.status()["requests"] == 0)
    assert [s["active"] for h in g.status()["hosts"] for s in h["slots"]] == [0]
    g.a.p.signal(signal.SIGCONT)


def test_a_client_that_closes_its_sending_side_counts_as_gone(two):
    """As nginx reads it; a client that wants its answer keeps its side open."""
    g = two([{"name": "m", "to": ["a/hang"]}])
    c = socket.create_connection(("127.0.0.1", g.port))
    request = json.dumps(body_of("ollama", "m", True)).encode()
    c.sendall(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(request), request))
    procs.wait_until(lambda: seen(g.a, "hang"))
    c.shutdown(socket.SHUT_WR)
    procs.wait_until(lambda: g.status()["requests"] == 0 and seen(g.a, "hang")[0]["gone"])
    c.close()


def test_text_that_is_no_utf8_is_not_passed_on_as_if_it_were(two):
    g = two([{"name": "m", "to": ["a/utf8", "b/ok"]}])
    for front in KINDS:
        for stream in (True, False):
            a = g.ask(front, "m", stream)
            assert a.status == 200 and a.text in (TEXT, "Hold\ufffd\ufffd"), vars(a)
            a.raw.decode()
