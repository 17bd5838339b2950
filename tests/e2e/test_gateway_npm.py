"""The vendors' JavaScript clients (npm: openai, @anthropic-ai/sdk, ollama) through the gateway to servers of each
dialect (the FAKES of tests/e2e/fakes)."""
import json
import os
import shutil

import procs
import pytest
from conftest import ROOT
from fakes import Fault, Reply
from gatewaykit import KINDS, Fake, Gateway
from test_fakes import PNG
from test_gateway_dialects import house  # noqa: F401 a fixture

HERE = os.path.dirname(os.path.abspath(__file__))
NODE_HOME = os.path.join(ROOT, ".cache", "node")
BACKS = ("ollama", "openai", "anthropic")
FOX = "The quick brown fox"
CALL = [["weather", {"city": "Bern"}]]
NATURAL = {"openai": "stop", "anthropic": "end_turn", "ollama": "stop"}
TOOLS = {"openai": "tool_calls", "anthropic": "tool_use", "ollama": "stop"}


@pytest.fixture
def client(running):
    """client(front, url, only, **more): what the checks of npm_clients.js brought."""
    if shutil.which("node") is None:
        pytest.skip("Node is not on this machine")
    missing = [p for p in ("openai", "@anthropic-ai/sdk", "ollama")
               if not os.path.isdir(os.path.join(NODE_HOME, "node_modules", p))]
    assert not missing, "node is here, but not %s: ./dev setup" % missing

    def ask(front, url, only, **more):
        job = {"front": front, "url": url, "only": only, "png": PNG, "missing": "no-such-model", **more}
        r = running.run(["node", os.path.join(HERE, "npm_clients.js"), json.dumps(job)], timeout=60,
                        env={"NODE_HOME": NODE_HOME})
        out = json.loads(r.ok().out)
        failed = {k: v for k, v in out.items() if isinstance(v, dict) and "failed" in v}
        assert not failed, json.dumps(failed, indent=1)
        return out
    return ask


@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", KINDS)
def test_what_goes_well(house, client, front, back):  # noqa: F811
    fake = house.fakes[back]
    fake.always, fake.replies = None, [Reply(), Reply(), *[Reply(text="I look.", calls=[(n, a) for n, a in CALL])] * 2]
    fake.reply = Reply()
    fake.calls.clear()
    out = client(front, house.url, ["text", "stream", "tools", "tools_stream", "image", "responses", "generate",
                                    "count", "models", "missing", "missing_stream"], model="via-" + back)
    assert out["text"] == {"text": FOX, "finish": NATURAL[front], "out": 4}
    assert out["stream"] == {"text": FOX, "finish": NATURAL[front]}
    for name in ("tools", "tools_stream"):
        assert out[name] == {"calls": CALL, "finish": TOOLS[front]}
    for name in ("image", "responses", "generate"):
        assert out.get(name, {"text": FOX}) == {"text": FOX}
    assert out.get("count", {"n": 1})["n"] > 0
    assert "via-" + back in out["models"]["ids"] and out["models"]["one"] == "via-" + back
    assert PNG in json.dumps([c.body for c in fake.calls])
    for name in ("missing", "missing_stream"):
        assert out[name]["status"] == 404 and "no-such-model" in out[name]["text"], out[name]


@pytest.mark.parametrize("front", KINDS)
def test_a_stream_that_breaks_raises(house, client, front):  # noqa: F811
    fake = house.fakes["ollama"]
    fake.replies = []
    fake.script(Fault(error_after=3))
    out = client(front, house.url, ["broken"], model="via-ollama")
    assert out["broken"] is not None, "a cut answer passed for a whole one"


def test_embeddings_and_aborts(holdfast, running, tmp_path, client):
    a = Fake(running)
    g = Gateway(holdfast, tmp_path, [{"name": "a", "url": a.url(), "parallel": 9}],
                [{"name": "long", "to": ["a/forever"]}, {"name": "vec", "to": ["a/ok"]}])
    g.wait_hosts(a="up")
    url = "http://127.0.0.1:%d" % g.port
    for front in ("openai", "ollama"):
        out = client(front, url, ["embeddings"], model="vec", embeds="vec")
        assert out["embeddings"]["numbers"] and out["embeddings"]["size"] == 2
    for n, front in enumerate(KINDS, 1):
        assert client(front, url, ["abort"], model="long")["abort"] is True
        procs.wait_until(lambda n=n: [e["gone"] for e in a.log() if e["model"] == "forever"] == [True] * n)
    procs.wait_until(lambda: g.status()["requests"] == 0)
