"""Every fault of a host at the moments it can happen, for each client's dialect and each host's.

Hosts are fakes (fake_host.py): real ones cannot be made to fail on command.
"""
import concurrent.futures
import itertools
import socket

import procs
import pytest
from conftest import SANITIZER, find_holdfast
from gatewaykit import KINDS, Fake, Gateway, free_port

# Fault: (a stream, one answer). "moves": the client sees a whole answer of the other host. "breaks": the
# beginning was heard, so the failure is said and the connection cut. "stays": the answer comes from the
# failing host itself, late but whole. A number: that status, nobody else is asked.
FAULTS = {
    "500": ("moves", "moves"), "503": ("moves", "moves"), "529": ("moves", "moves"),
    "404": ("moves", "moves"), "429": ("moves", "moves"), "429-date": ("moves", "moves"),
    "reset": ("moves", "moves"), "401": ("moves", "moves"), "403": ("moves", "moves"),
    "error-first": ("moves", "moves"), "cut-first": ("moves", "moves"), "empty": ("moves", "moves"),
    "nonsense": ("moves", "moves"),
    "error-later": ("breaks", "moves"), "cut-later": ("breaks", "moves"), "no-end": ("breaks", "moves"),
    "hang-middle": ("breaks", "moves"), "hang": ("moves", "moves"),
    "cold": ("stays", "stays"), "bytes": ("stays", "stays"),
    "400": (400, 400), "413": (413, 413), "422": (422, 422),
    # Before the first byte.
    "refuse": ("moves", "moves"), "syn-dropped": ("moves", "moves"),
    "402": ("moves", "moves"), "409": ("moves", "moves"), "502": ("moves", "moves"), "504": ("moves", "moves"),
    "429-ms": ("moves", "moves"), "429-none": ("moves", "moves"), "429-long": ("moves", "moves"),
    # At the commit point: something came, nothing that means anything.
    "ping-error": ("moves", "moves"), "pings": ("moves", "moves"),
    # In mid-answer.
    "reset-later": ("breaks", "moves"), "nonsense-later": ("breaks", "moves"),
    # At the end: all words came, the end did not.
    "error-end": ("breaks", "moves"), "reset-end": ("breaks", "moves"), "cut-end": ("breaks", "moves"),
    "no-end-all": ("breaks", "moves"), "hang-end": ("breaks", "moves"), "length-short": ("breaks", "moves"),
    # Ugly, but whole.
    "cut-after-end": ("stays", "stays"), "reset-after-end": ("stays", "stays"),
    "hang-after-end": ("stays", "stays"), "length-long": ("stays", "stays"), "extra": ("stays", "stays"),
    "finish-twice": ("stays", "stays"), "usage-none": ("stays", "stays"), "usage-zero": ("stays", "stays"),
    "crlf": ("stays", "stays"), "pings-between": ("stays", "stays"), "drip": ("stays", "stays"),
    "long-line": ("stays", "stays"),
}
# What harms the whole host's standing gets a host of its own.
OWN_HOST = {"reset", "401", "402", "403", "refuse", "syn-dropped"}
SLOW = {"hang", "hang-middle", "hang-end", "hang-after-end", "cold", "pings", "syn-dropped", "drip"}
# What does not depend on the translation is asked in each dialect, not in each pair of them.
ONE_DIALECT = SLOW | OWN_HOST | {f for f in FAULTS if f[:3].isdigit()} - {"400", "404", "429", "500"}
ROWS = [(f, front, back, s) for f, front, back, s in itertools.product(FAULTS, KINDS, KINDS, (True, False))
        if f not in ONE_DIALECT or front == back]


def name_of(fault, front, back, stream):
    return "%s-%s-%s-%s" % (fault, front, back, "stream" if stream else "whole")


def deaf_port(sockets):
    """A port whose listener never takes a connection and has no room for more: SYNs are dropped."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    sockets.append(full)
    for _ in range(4):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(full.getsockname())
        sockets.append(c)
    return full.getsockname()[1]


def make_gateway(holdfast, directory, bad, good, sockets):
    hosts = [{"name": "good", "url": good.url(), "parallel": 300}]
    ports = {"refuse": free_port(), "syn-dropped": deaf_port(sockets)}
    for kind in KINDS:
        for own in ["a", *sorted(OWN_HOST)]:
            url = bad.url(kind).replace(str(bad.port), str(ports.get(own, bad.port)))
            hosts.append({"name": own + "-" + kind, "kind": kind, "url": url, "local": True,
                          "parallel": 300, "api-key": "k"})
    routes = []
    for i, (fault, front, back, stream) in enumerate(ROWS):
        host = (fault if fault in OWN_HOST else "a") + "-" + back
        # A model of its own for each row, so that no breaker of another row stands in the way.
        routes.append({"name": name_of(fault, front, back, stream),
                       "to": ["%s/%s:%d" % (host, fault, i), "good/ok"]})
    return Gateway(holdfast, directory, hosts, routes, **{"idle-timeout": "1s", "load-timeout": "3s"})


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    directory = tmp_path_factory.mktemp("faults")
    group, sockets = procs.Group(str(directory)), []
    pool = concurrent.futures.ThreadPoolExecutor(64)
    try:
        bad, good = Fake(group, "--no-tags"), Fake(group)
        g = make_gateway(procs.Program(find_holdfast(), group), directory, bad, good, sockets)
        g.bad, g.good = bad, good
        g.wait_hosts(good="up")
        # The slow ones all at once, so that nobody waits for their time-outs in turn.
        g.early = {name_of(*row): pool.submit(g.ask, row[1], name_of(*row), row[3])
                   for row in ROWS if row[0] in SLOW}
        yield g
        assert g.p.stop() == 0
    finally:
        pool.shutdown(cancel_futures=True)
        group.stop_all()
        for c in sockets:
            c.close()
    bad = [line for _name, text in group.outputs() for line in text.splitlines() if SANITIZER.search(line)]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("fault,front,back,stream", ROWS, ids=[name_of(*r) for r in ROWS])
def test_fault(gateway, fault, front, back, stream):
    want = FAULTS[fault][0 if stream else 1]
    model = name_of(fault, front, back, stream)
    early = gateway.early.get(model)
    a = early.result(timeout=60) if early else gateway.ask(front, model, stream)
    if want == "moves":
        a.whole("good")
    elif want == "stays":
        a.whole("a-" + back)
    elif want == "breaks":
        a.broken_off()
    else:
        assert a.status == want and "bad option" in a.error, vars(a)
        assert a.headers["x-holdfast-attempts"] == "1"
