"""Every fault of a host at the moments it can happen, for each client's dialect and each host's.

Hosts are fakes (fake_host.py): real ones cannot be made to fail on command.
"""
import itertools

import procs
import pytest
from conftest import SANITIZER, find_holdfast
from gatewaykit import KINDS, Fake, Gateway

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
    "400": (400, 400),
}
# What harms the whole host's standing gets a host of its own.
OWN_HOST = {"reset", "401", "403"}
SLOW = {"hang", "hang-middle", "cold"}
ROWS = [(f, front, back, s) for f, front, back, s in itertools.product(FAULTS, KINDS, KINDS, (True, False))
        if f not in SLOW or front == back == "ollama"]


def name_of(fault, front, back, stream):
    return "%s-%s-%s-%s" % (fault, front, back, "stream" if stream else "whole")


def make_gateway(holdfast, directory, bad, good):
    hosts = [{"name": "good", "url": good.url(), "parallel": 100}]
    for kind in KINDS:
        for own in ["a", *sorted(OWN_HOST)]:
            hosts.append({"name": own + "-" + kind, "kind": kind, "url": bad.url(kind), "local": True,
                          "parallel": 100, "api-key": "k"})
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
    group = procs.Group(str(directory))
    try:
        bad, good = Fake(group, "--no-tags"), Fake(group)
        g = make_gateway(procs.Program(find_holdfast(), group), directory, bad, good)
        g.bad, g.good = bad, good
        g.wait_hosts(good="up")
        yield g
        assert g.p.stop() == 0
    finally:
        group.stop_all()
    bad = [line for _name, text in group.outputs() for line in text.splitlines() if SANITIZER.search(line)]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("fault,front,back,stream", ROWS, ids=[name_of(*r) for r in ROWS])
def test_fault(gateway, fault, front, back, stream):
    want = FAULTS[fault][0 if stream else 1]
    model = name_of(fault, front, back, stream)
    a = gateway.ask(front, model, stream)
    if want == "moves":
        a.whole("good")
    elif want == "stays":
        a.whole("a-" + back)
    elif want == "breaks":
        a.broken_off()
    else:
        assert a.status == want and "bad option" in a.error, vars(a)
        assert a.headers["x-holdfast-attempts"] == "1"
