"""Real clients of every dialect through the gateway to servers of every dialect.

The servers are the FAKES of tests/e2e/fakes, which refuse what the real ones refuse: a request that was
translated wrongly fails here; and a real llama.cpp server, which cannot be told what to say.
"""
import base64
import concurrent.futures
import json
import signal

import anthropic
import httpx
import ollama
import openai
import procs
import pytest
from conftest import SANITIZER, find_holdfast
from fakes import FakeAnthropic, FakeOllama, FakeOpenAI, FakeTogether, Fault, Reply
from gatewaykit import Gateway
from test_fakes import HI, PNG, TOOL, WEATHER

BACKS = ("ollama", "openai", "together", "anthropic", "anthropic26")
CALLS = [("weather", {"city": "Bern", "days": [1, 2.5, None]}), ("now", {})]
NOW_TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object",
                                                                           "properties": {}}}}
LOCAL = {"local": True, "parallel": 50}


def hosts_of(fakes):
    said = {"openai": {"kind": "openai"}, "together": {"kind": "openai"},
            "anthropic": {"kind": "anthropic"},
            "anthropic26": {"kind": "anthropic", "api-version": "2026-10-21"}}
    return [{"name": n, "url": f.url + ("/v1" if n in ("openai", "together") else ""), **LOCAL,
             **({"api-key": "k"} if n != "ollama" else {}), **said.get(n, {})}
            for n, f in fakes.items()]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A gateway over one fake of each kind; route via-KIND goes to it. house.fakes, .url, .get."""
    directory = tmp_path_factory.mktemp("dialects")
    group = procs.Group(str(directory))
    fakes = {"ollama": FakeOllama(), "openai": FakeOpenAI(key="k"), "together": FakeTogether(key="k"),
             "anthropic": FakeAnthropic(key="k"), "anthropic26": FakeAnthropic(key="k")}
    models = {n: (f.models[0] if isinstance(f.models, list) else "llama3.2") for n, f in fakes.items()}
    try:
        g = Gateway(procs.Program(find_holdfast(), group), directory, hosts_of(fakes),
                    [{"name": "via-" + n, "to": ["%s/%s" % (n, m)]} for n, m in models.items()])
        g.fakes, g.url = fakes, "http://127.0.0.1:%d" % g.port
        g.wait_hosts(**{n: "up" for n in fakes})
        yield g
        assert g.p.stop() == 0
    finally:
        group.stop_all()
        for f in fakes.values():
            f.close()
    bad = [line for _, text in group.outputs() for line in text.splitlines() if SANITIZER.search(line)]
    assert not bad, "\n".join(bad)


@pytest.fixture(params=BACKS)
def back(request, house):
    fake = house.fakes[request.param]
    fake.reply, fake.replies, fake.always = Reply(), [], None
    fake.calls.clear()
    fake.name, fake.route = request.param, "via-" + request.param
    return fake


@pytest.fixture
def oc(house):
    with openai.OpenAI(base_url=house.url + "/v1", api_key="x", max_retries=0, timeout=30) as c:
        yield c


@pytest.fixture
def ac(house):
    with anthropic.Anthropic(base_url=house.url, api_key="x", max_retries=0, timeout=30) as c:
        yield c


@pytest.fixture
def lc(house):
    return ollama.Client(house.url, timeout=30)


# ---- the OpenAI client

def openai_collect(oc, **ask):
    with oc.chat.completions.stream(**ask) as s:
        return s.get_final_completion().choices[0]


def openai_pieces(oc, **ask):
    """Text and finish_reason of a stream."""
    chunks = [c.choices[0] for c in oc.chat.completions.create(stream=True, **ask) if c.choices]
    return "".join(c.delta.content or "" for c in chunks), chunks[-1].finish_reason


def test_openai_text(back, oc):
    for n, want, finish in ((None, "The quick brown fox", "stop"), (2, "The quick", "length")):
        ask = {"model": back.route, "messages": HI, **({"max_tokens": n} if n else {})}
        r = oc.chat.completions.create(**ask)
        assert (r.choices[0].message.content, r.choices[0].finish_reason) == (want, finish)
        assert r.model == back.route
        assert (r.usage.prompt_tokens, r.usage.completion_tokens) == (11, len(want.split()))
        assert openai_pieces(oc, **ask) == (want, finish)


def test_openai_usage_in_streams_only_on_demand(back, oc):
    ask = {"model": back.route, "messages": HI, "stream": True}
    with_usage = list(oc.chat.completions.create(stream_options={"include_usage": True}, **ask))
    assert with_usage[-1].choices == [] and with_usage[-1].usage.completion_tokens == 4
    plain = list(oc.chat.completions.create(**ask))
    assert all(c.choices for c in plain), "a chunk without choices surprises clients that did not ask"


def test_openai_tools_there_and_back(back, oc):
    """Calls come out of the model, go back with their results, and the model says the rest."""
    back.replies = [Reply(text="I look.", calls=CALLS)] * 2
    ask = {"model": back.route, "messages": list(HI), "tools": [TOOL, NOW_TOOL]}
    whole = oc.chat.completions.create(**ask).choices[0]
    streamed = openai_collect(oc, **ask)
    for c in (whole, streamed):
        assert c.finish_reason == "tool_calls" and c.message.content == "I look."
        assert [(t.function.name, json.loads(t.function.arguments)) for t in c.message.tool_calls] == CALLS
        assert len({t.id for t in c.message.tool_calls}) == 2
    ask["messages"] += [
        {"role": "assistant", "content": whole.message.content,
         "tool_calls": [t.model_dump() for t in whole.message.tool_calls]},
        *({"role": "tool", "tool_call_id": t.id, "content": "result of " + t.function.name}
          for t in whole.message.tool_calls)]
    assert oc.chat.completions.create(**ask).choices[0].message.content == "The quick brown fox"
    assert "result of weather" in json.dumps(back.calls[-1].body["messages"])


def test_openai_system_image_and_schema(back, oc):
    r = oc.chat.completions.create(
        model=back.route, response_format={"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "object", "properties": {"answer": {"type": "integer"}}}}},
        messages=[{"role": "developer", "content": "Be short."},
                  {"role": "user", "content": [
                      {"type": "text", "text": "What?"},
                      {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}]}]
        if back.name != "together" else
        [{"role": "system", "content": "Be short."}, {"role": "user", "content": [
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}]}])
    assert json.loads(r.choices[0].message.content) == {"answer": 42}
    sent = json.dumps(back.calls[-1].body)
    assert PNG in sent and "Be short." in sent


def test_openai_other_fields_are_told(back, oc, house):
    """What the other dialect has no word for is named in a header; nothing is dropped in silence."""
    r = httpx.post(house.url + "/v1/chat/completions", timeout=30, json={
        "model": back.route, "messages": HI, "seed": 7, "logit_bias": {"5": 1}, "temperature": 0.5})
    assert r.status_code == 200, r.text
    dropped = r.headers.get("x-holdfast-dropped-params", "")
    want = {"ollama": {"logit_bias"}, "anthropic": {"logit_bias", "seed"},
            "anthropic26": {"logit_bias", "seed", "temperature"}}.get(back.name, set())
    assert set(dropped.split(", ")) - {""} == want
    assert ("temperature" in json.dumps(back.calls[-1].body)) == ("temperature" not in want)


def test_openai_refusals(back, oc):
    if back.name.startswith("anthropic") or back.name == "ollama":
        with pytest.raises(openai.BadRequestError, match="n: only one answer"):
            oc.chat.completions.create(model=back.route, messages=HI, n=2)
        assert back.calls == []
    back.script(Fault(error_after=3))
    with pytest.raises(openai.APIError):
        openai_collect(oc, model=back.route, messages=HI)


def test_openai_responses(back, oc):
    back.replies = [Reply(text="I look.", calls=CALLS[:1])] * 2
    ask = {"model": back.route, "input": "Weather?", "instructions": "Be short.", "tools": [
        {"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]}
    r = oc.responses.create(**ask)
    assert (r.output_text, r.status, r.usage.total_tokens) == ("I look.", "completed", 13)
    call = [o for o in r.output if o.type == "function_call"][0]
    assert (call.name, json.loads(call.arguments)) == CALLS[0]
    with oc.responses.stream(**ask) as s:
        events = [e.type for e in s]
        final = s.get_final_response()
    assert events[0] == "response.created" and events[-1] == "response.completed"
    assert final.output_text == "I look."
    more = oc.responses.create(model=back.route, input=[
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": call.call_id, "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}])
    assert more.output_text == "The quick brown fox"


# ---- the Anthropic client

def anthropic_collect(ac, **ask):
    with ac.messages.stream(**ask) as s:
        return s.get_final_message()


def test_anthropic_text(back, ac):
    for n, want, reason in ((50, "The quick brown fox", "end_turn"), (2, "The quick", "max_tokens")):
        ask = {"model": back.route, "max_tokens": n, "messages": HI, "system": "Be short."}
        for r in (ac.messages.create(**ask), anthropic_collect(ac, **ask)):
            assert (r.content[0].text, r.stop_reason, r.model) == (want, reason, back.route)
            assert (r.usage.input_tokens, r.usage.output_tokens) == (11, len(want.split()))


def test_anthropic_tools_there_and_back(back, ac):
    back.replies = [Reply(text="I look.", calls=CALLS)] * 2
    tools = [{"name": "weather", "input_schema": WEATHER},
             {"name": "now", "input_schema": {"type": "object", "properties": {}}}]
    ask = {"model": back.route, "max_tokens": 50, "messages": list(HI), "tools": tools}
    whole, streamed = ac.messages.create(**ask), anthropic_collect(ac, **ask)
    for r in (whole, streamed):
        assert r.stop_reason == "tool_use" and r.content[0].text == "I look."
        assert [(b.name, b.input) for b in r.content[1:]] == CALLS
    ask["messages"] += [
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in streamed.content]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": b.id, "content": [
                {"type": "text", "text": "result of " + b.name},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                             "data": PNG}}]}
            for b in streamed.content[1:]] + [{"type": "text", "text": "And?"}]}]
    assert ac.messages.create(**ask).content[0].text == "The quick brown fox"
    sent = json.dumps(back.calls[-1].body)
    assert "result of weather" in sent and PNG in sent


def test_anthropic_thinking_and_count(back, ac):
    back.reply = Reply(thinking="hm")
    r = anthropic_collect(ac, model=back.route, max_tokens=4000, messages=HI,
                          thinking={"type": "enabled", "budget_tokens": 1024})
    assert [b.type for b in r.content] == ["thinking", "text"] and r.content[0].thinking == "hm"
    # Another server's thinking has no signature: it must not go back to one that wants it.
    ac.messages.create(model=back.route, max_tokens=4000, messages=[
        *HI, {"role": "assistant", "content": [b.model_dump() for b in r.content]}, *HI])
    assert ac.messages.count_tokens(model=back.route, messages=HI).input_tokens > 0


def test_anthropic_errors(back, ac):
    back.script(Fault(error_after=4))
    with pytest.raises(anthropic.APIStatusError):
        anthropic_collect(ac, model=back.route, max_tokens=50, messages=HI)
    with pytest.raises(anthropic.NotFoundError):
        ac.messages.create(model="no-such-model", max_tokens=5, messages=HI)


# ---- the Ollama client

def test_ollama_text(back, lc):
    for n, want, reason in ((50, "The quick brown fox", "stop"), (2, "The quick", "length")):
        ask = {"model": back.route, "options": {"num_predict": n}}
        chunks = list(lc.chat(messages=HI, stream=True, **ask))
        assert "".join(c.message.content for c in chunks) == want
        for last in (lc.chat(messages=HI, **ask), chunks[-1], lc.generate(prompt="Hi", **ask)):
            assert (last.done, last.done_reason, last.model) == (True, reason, back.route)
            assert (last.prompt_eval_count, last.eval_count) == (11, len(want.split()))


def test_ollama_tools_there_and_back(back, lc):
    back.replies = [Reply(text="I look.", calls=CALLS)] * 2
    ask = {"model": back.route, "tools": [TOOL, NOW_TOOL]}
    whole = lc.chat(messages=HI, **ask).message
    chunks = [c.message for c in lc.chat(messages=HI, stream=True, **ask)]
    streamed = [c for m in chunks for c in m.tool_calls or []]
    for calls in (whole.tool_calls, streamed):
        assert [(c.function.name, dict(c.function.arguments)) for c in calls] == CALLS
    messages = [*HI, whole, *({"role": "tool", "tool_name": c.function.name, "content": "it rains"}
                              for c in whole.tool_calls)]
    assert lc.chat(messages=messages, **ask).message.content == "The quick brown fox"


def test_ollama_image_and_format(back, lc):
    r = lc.chat(model=back.route, format=WEATHER, messages=[
        {"role": "user", "content": "What?", "images": [base64.b64decode(PNG)]}])
    assert json.loads(r.message.content) == {"answer": 42}
    assert PNG in json.dumps(back.calls[-1].body)


def test_embeddings(back, oc, lc):
    if back.name.startswith("anthropic"):
        with pytest.raises(openai.APIStatusError, match="embeddings"):
            oc.embeddings.create(model=back.route, input="a")
        return
    ours = oc.embeddings.create(model=back.route, input=["a", "b"])
    assert ours.usage.prompt_tokens == 2
    theirs = lc.embed(model=back.route, input=["a", "b"])
    old = lc.embeddings(model=back.route, prompt="a")
    assert [d.embedding for d in ours.data] == [pytest.approx(list(e), abs=1e-6)
                                               for e in theirs.embeddings]
    assert list(old.embedding) == list(theirs.embeddings[0])


# ---- a real server behind

@pytest.fixture
def real(holdfast, llama_server, tmp_path):
    """Two real llama.cpp servers, the first one preferred."""
    first, second = llama_server(), llama_server()
    hosts = [{"name": n, "kind": "openai", "url": s.url + "/v1", **LOCAL}
             for n, s in (("first", first), ("second", second))]
    g = Gateway(holdfast, tmp_path, hosts, [
        {"name": "small", "to": ["first/smollm2", "second/smollm2"]}], **{"idle-timeout": "8s"})
    g.wait_hosts(first="up", second="up")
    g.first, g.second, g.url = first, second, "http://127.0.0.1:%d" % g.port
    return g


def test_real_server_every_front_and_two_deaths(real):
    """Every front against a real model; then one server is killed, one is stopped, in mid-answer."""
    oc = openai.OpenAI(base_url=real.url + "/v1", api_key="x", max_retries=0, timeout=100)
    ac = anthropic.Anthropic(base_url=real.url, api_key="x", max_retries=0, timeout=100)
    lc = ollama.Client(real.url, timeout=100)
    r = oc.chat.completions.create(model="small", messages=HI, max_tokens=6, temperature=0)
    text = r.choices[0].message.content
    assert text and r.usage.completion_tokens == 6 and r.choices[0].finish_reason == "length"
    m = anthropic_collect(ac, model="small", max_tokens=6, messages=HI, extra_body={"temperature": 0})
    assert (m.content[0].text, m.stop_reason, m.usage.output_tokens) == (text, "max_tokens", 6)
    o = [c for c in lc.chat("small", HI, stream=True, options={"num_predict": 6, "temperature": 0})]
    assert "".join(c.message.content for c in o) == text and o[-1].eval_count == 6

    def whole():
        return oc.chat.completions.with_raw_response.create(
            model="small", messages=[{"role": "user", "content": "Count to one thousand."}],
            max_tokens=24, temperature=0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(whole)
        procs.wait_until(lambda: real.status()["requests"] == 1)
        procs.wait_until(lambda: busy_slots(real.first) > 0, timeout=60)
        real.first.process.kill()
        answer = asked.result()
    assert answer.headers["x-holdfast-host"] == "second"
    assert answer.parse().usage.completion_tokens > 0
    stream = oc.chat.completions.create(model="small", messages=HI, stream=True, max_tokens=400)
    next(iter(stream))
    real.second.process.signal(signal.SIGSTOP)
    with pytest.raises(openai.APIError):
        list(stream)
    real.second.process.signal(signal.SIGCONT)


def busy_slots(server):
    return sum(s["is_processing"] for s in httpx.get(server.url + "/slots", timeout=30).json())
