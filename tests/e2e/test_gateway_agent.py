"""Claude Code, headless, with its base URL set to the gateway: an agent of one dialect on servers of others.

The servers are FAKES that play a model with one idea: read the file, then say what was in it.
"""
import json
import os
import shutil

import pytest
from conftest import ROOT
from fakes import FakeAnthropic, FakeOllama, FakeOpenAI, Reply
from gatewaykit import Gateway

WORD = "xyzzy-4711"


def claude():
    """The program, where ./dev setup puts it."""
    own = os.path.join(ROOT, ".cache", "node", "node_modules", ".bin", "claude")
    return os.environ.get("CLAUDE_BIN") or (own if os.path.exists(own) else None)


class OneIdea:
    """Mixed into a fake: what it says depends on what the conversation has come to."""

    note = None

    def next_reply(self):
        body = self.calls[-1].body
        said = json.dumps(body["messages"])
        if not body.get("tools"):
            return Reply(text="A title")
        if WORD in said:
            return Reply(text="It says " + WORD)
        return Reply(text="I look.", calls=[("Read", {"file_path": self.note})])


class Ollama(OneIdea, FakeOllama):
    pass


class OpenAI(OneIdea, FakeOpenAI):
    pass


class Anthropic(OneIdea, FakeAnthropic):
    pass


@pytest.mark.parametrize("kind,make,model", [("ollama", Ollama, "llama3.2"),
                                             ("openai", OpenAI, "gpt-fake"),
                                             ("anthropic", Anthropic, "claude-fake")])
def test_claude_code(kind, make, model, holdfast, running, tmp_path):
    """Its tools, long system texts, streams and side requests come through; the tool's result goes back."""
    if claude() is None:
        if shutil.which("npm"):
            pytest.fail("npm is here, but Claude Code is not: ./dev setup")
        pytest.skip("Claude Code needs npm, which is not on this machine")
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    (work / "note.txt").write_text("The word is %s.\n" % WORD)
    with make() as fake:
        fake.note = str(work / "note.txt")
        url = fake.url + ("/v1" if kind == "openai" else "")
        g = Gateway(holdfast, tmp_path, [{"name": "h", "kind": kind, "url": url, "local": True,
                                          "parallel": 8, "api-key": "k"}],
                    [{"name": "agent", "to": ["h/" + model]}])
        g.wait_hosts(h="up")
        r = running.run([claude(), "-p", "What is the word in note.txt?", "--output-format", "json",
                         "--model", "agent"], cwd=str(work), timeout=110, env={
            "HOME": str(home), "ANTHROPIC_BASE_URL": "http://127.0.0.1:%d" % g.port,
            "ANTHROPIC_API_KEY": "x", "ANTHROPIC_SMALL_FAST_MODEL": "agent",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": "agent", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1"})
        said = json.loads(r.ok().out)
        assert said["result"] == "It says " + WORD and not said["is_error"], r.out
        assert said["num_turns"] == 2, r.out
        asked = [c.body for c in fake.calls if c.body.get("tools")]
        assert len(asked) == 2 and all(c.get("stream") for c in asked)
