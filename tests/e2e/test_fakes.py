"""The fakes of tests/e2e/fakes against the real client libraries: what they can tell, they must believe.

Each client talks to the fake directly. What is measured about real servers and clients (in-band errors,
streams without an end, resets) must come out of the clients here as it does there.
"""
import base64
import json
import threading
import time

import anthropic
import httpx
import httpx2
import ollama
import openai
import pytest

from fakes import FakeAnthropic, FakeOllama, FakeOpenAI, FakeTogether, Fault, Reply

PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
       "gg==")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather of a city",
                                         "parameters": WEATHER}}
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def fake_ollama():
    with FakeOllama() as fake:
        yield fake


@pytest.fixture
def fake_openai():
    with FakeOpenAI(key="k") as fake:
        yield fake


@pytest.fixture
def fake_anthropic():
    with FakeAnthropic(key="k") as fake:
        yield fake


@pytest.fixture
def oc(fake_openai):
    with openai.OpenAI(base_url=fake_openai.url + "/v1", api_key="k", max_retries=0, timeout=20) as c:
        yield c


@pytest.fixture
def ac(fake_anthropic):
    with anthropic.Anthropic(base_url=fake_anthropic.url, api_key="k", max_retries=0, timeout=20) as c:
        yield c


@pytest.fixture
def lc(fake_ollama):
    return ollama.Client(host=fake_ollama.url, timeout=20)


# ---- Ollama

def test_ollama_chat(fake_ollama, lc):
    r = lc.chat(model="llama3.2", messages=HI)
    assert (r.message.content, r.done, r.done_reason) == ("The quick brown fox", True, "stop")
    assert (r.prompt_eval_count, r.eval_count) == (11, 4)
    chunks = list(lc.chat(model="llama3.2", messages=HI, stream=True))
    assert "".join(c.message.content for c in chunks) == "The quick brown fox"
    assert [c.done for c in chunks] == [False] * 4 + [True]


def test_ollama_tools_images_thinking(fake_ollama, lc):
    fake_ollama.reply = Reply(text="I look.", thinking="hm", calls=[("weather", {"city": "Bern"})])
    r = lc.chat(model="llama3.2", think=True, tools=[TOOL], messages=[
        {"role": "user", "content": "What?", "images": [base64.b64decode(PNG)]}])
    assert r.message.thinking == "hm"
    assert r.message.tool_calls[0].function.arguments == {"city": "Bern"}
    assert fake_ollama.calls[0].body["messages"][0]["images"] == [PNG]


def test_ollama_limits_and_formats(fake_ollama, lc):
    assert lc.generate(model="llama3.2", prompt="x", options={"num_predict": 2}).done_reason == "length"
    r = lc.generate(model="llama3.2", prompt="x", options={"stop": [" brown"]})
    assert (r.response, r.done_reason) == ("The quick", "stop")
    assert json.loads(lc.chat(model="llama3.2", messages=HI, format="json").message.content) == {
        "answer": 42}


def test_ollama_lists_and_embeddings(fake_ollama, lc):
    fake_ollama.remote["big:cloud"] = "https://ollama.com"
    assert [m.model for m in lc.list().models] == ["llama3.2:latest", "big:cloud"]
    assert lc.ps().models == []
    assert len(lc.embed(model="llama3.2", input=["a", "b"]).embeddings) == 2
    assert len(lc.embeddings(model="llama3.2", prompt="a").embedding) == 8
    assert [m.model for m in lc.ps().models] == ["llama3.2:latest"]
    assert "completion" in lc.show("llama3.2").capabilities


def test_ollama_load_and_unload(fake_ollama, lc):
    assert lc.generate(model="llama3.2").done_reason == "load"
    assert fake_ollama.loads == [("llama3.2:latest", 4096)]
    lc.chat(model="llama3.2", messages=HI, options={"num_ctx": 8192})
    assert len(fake_ollama.loads) == 2, "another num_ctx loads anew"
    assert lc.generate(model="llama3.2", keep_alive=0).done_reason == "unload"
    assert fake_ollama.loaded == {}


def test_ollama_cold_load_is_silent(fake_ollama):
    """No byte comes until the model is loaded; a client that loses patience ends the load."""
    fake_ollama.load_seconds = 30
    with pytest.raises(httpx.ReadTimeout):
        ollama.Client(host=fake_ollama.url, timeout=0.3).chat(model="llama3.2", messages=HI)
    wait_for(lambda: fake_ollama.left == 1)
    assert fake_ollama.loaded == {}


def test_ollama_errors(fake_ollama, lc):
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as e:
        lc.chat(model="nope", messages=HI)
    assert e.value.status_code == 404
    fake_ollama.script(Fault(status=503, body={"error": "server busy, please try again.  maximum "
                                                        "pending requests exceeded"}))
    with pytest.raises(ollama.ResponseError, match="server busy"):
        lc.chat(model="llama3.2", messages=HI)
    r = httpx.post(fake_ollama.url + "/api/chat", json={
        "model": "llama3.2", "messages": [{"role": "user", "content": "x", "images": ["data:x"]}]})
    assert (r.status_code, "illegal base64" in r.json()["error"]) == (400, True)
    fake_ollama.script(Fault(error_after=1))
    with pytest.raises(ollama.ResponseError, match="error was encountered"):
        list(lc.chat(model="llama3.2", messages=HI, stream=True))


# ---- OpenAI

def test_openai_chat(fake_openai, oc):
    r = oc.chat.completions.create(model="gpt-fake", messages=HI)
    assert r.choices[0].message.content == "The quick brown fox"
    assert (r.choices[0].finish_reason, r.usage.total_tokens) == ("stop", 15)
    chunks = list(oc.chat.completions.create(model="gpt-fake", messages=HI, stream=True,
                                             stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "The quick brown fox"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 4


def test_openai_tools(fake_openai, oc):
    fake_openai.reply = Reply(text="", calls=[("weather", {"city": "Bern"}), ("now", {})])
    r = oc.chat.completions.create(model="gpt-fake", messages=HI, tools=[TOOL])
    call = r.choices[0].message.tool_calls[0]
    assert r.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Bern"}
    with oc.chat.completions.stream(model="gpt-fake", messages=HI, tools=[TOOL]) as s:
        calls = s.get_final_completion().choices[0].message.tool_calls
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("call_0", "weather", '{"city": "Bern"}'), ("call_1", "now", "{}")]
    with pytest.raises(openai.BadRequestError, match="must be followed by tool"):
        oc.chat.completions.create(model="gpt-fake", messages=[
            {"role": "assistant", "tool_calls": [c.model_dump() for c in calls]}, *HI])


def test_openai_other_endpoints(fake_openai, oc):
    assert [m.id for m in oc.models.list()] == ["gpt-fake"]
    r = oc.completions.create(model="gpt-fake", prompt="x", max_tokens=2)
    assert (r.choices[0].text, r.choices[0].finish_reason) == ("The quick", "length")
    vectors = oc.embeddings.create(model="gpt-fake", input=["a", "b"])
    assert fake_openai.calls[-1].body["encoding_format"] == "base64"
    assert abs(sum(x * x for x in vectors.data[0].embedding) - 1) < 1e-6


@pytest.mark.parametrize("status,error", [
    (400, openai.BadRequestError), (401, openai.AuthenticationError),
    (403, openai.PermissionDeniedError), (404, openai.NotFoundError), (409, openai.ConflictError),
    (422, openai.UnprocessableEntityError), (429, openai.RateLimitError),
    (500, openai.InternalServerError), (503, openai.InternalServerError)])
def test_openai_statuses(fake_openai, oc, status, error):
    fake_openai.script(Fault(status=status))
    with pytest.raises(error, match="fault by script"):
        oc.chat.completions.create(model="gpt-fake", messages=HI)


def test_openai_client_obeys_retry_after(fake_openai):
    """Tries again by itself after a 429, no sooner than told."""
    fake_openai.script(Fault(status=429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    with openai.OpenAI(base_url=fake_openai.url + "/v1", api_key="k", max_retries=1) as c:
        c.chat.completions.create(model="gpt-fake", messages=HI)
    assert time.monotonic() - started >= 1
    assert [x.headers["x-stainless-retry-count"] for x in fake_openai.calls] == ["0", "1"]


def test_openai_client_is_told_not_to_retry(fake_openai):
    fake_openai.script(Fault(status=503, headers={"x-should-retry": "false"}))
    with openai.OpenAI(base_url=fake_openai.url + "/v1", api_key="k", max_retries=2) as c:
        with pytest.raises(openai.InternalServerError):
            c.chat.completions.create(model="gpt-fake", messages=HI)
    assert len(fake_openai.calls) == 1


def openai_stream(oc):
    return [c for c in oc.chat.completions.create(model="gpt-fake", messages=HI, stream=True)]


def test_openai_stream_faults(fake_openai, oc):
    fake_openai.script(Fault(error_after=2))
    with pytest.raises(openai.APIError, match="server had an error"):
        openai_stream(oc)
    fake_openai.script(Fault(end_after=3))
    chunks = openai_stream(oc)
    assert chunks[-1].choices[0].finish_reason is None, "a cut answer passes for a whole one here"
    fake_openai.script(Fault(cut_after=2), Fault(reset_after=2), Fault(cut_after=2, half=True))
    for _ in range(3):
        with pytest.raises(openai.APIConnectionError):
            openai_stream(oc)
    fake_openai.script(Fault(reset_after=0))
    with pytest.raises(openai.APIConnectionError):
        openai_stream(oc)


def test_openai_odd_streams(fake_openai, oc):
    """Pieces of any size, CRLF, comments, bytes behind the end: all of it is a good stream."""
    for fault in (Fault(split=1), Fault(crlf=True), Fault(comments=3), Fault(extra=b": bye\n\n"),
                  Fault(drip=0.02), Fault(split=7, crlf=True, comments=1)):
        fake_openai.script(fault)
        text = "".join(c.choices[0].delta.content or "" for c in openai_stream(oc))
        assert text == "The quick brown fox", fault


def test_openai_refusing_and_hanging(fake_openai, oc):
    fake_openai.script(Fault(hang=True))
    with pytest.raises(openai.APITimeoutError):
        oc.with_options(timeout=0.3).chat.completions.create(model="gpt-fake", messages=HI)
    wait_for(lambda: fake_openai.left == 1)
    fake_openai.refuse()
    with pytest.raises(openai.APIConnectionError):
        openai_stream(oc)
    fake_openai.listen()
    assert openai_stream(oc)


def test_together(tmp_path):
    with FakeTogether(key="k") as fake:
        model = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
        with openai.OpenAI(base_url=fake.url + "/v1", api_key="k", max_retries=0) as c:
            assert c.chat.completions.create(model=model, messages=HI).choices[0].finish_reason == "eos"
            fake.script(Fault(status=402))
            with pytest.raises(openai.APIStatusError) as e:
                c.chat.completions.create(model=model, messages=HI)
            assert e.value.response.json() == {"error": "fault by script"}
            with pytest.raises(openai.BadRequestError, match="Unrecognized"):
                c.chat.completions.create(model=model, messages=HI, extra_body={"keep_alive": 1})
        listed = httpx.get(fake.url + "/v1/models", headers={"Authorization": "Bearer k"}).json()
        assert listed[0]["id"] == model


# ---- Anthropic

def messages(ac, **more):
    return ac.messages.create(model="claude-fake", max_tokens=50, messages=HI, **more)


def test_anthropic_messages(fake_anthropic, ac):
    r = messages(ac)
    assert (r.content[0].text, r.stop_reason, r.usage.output_tokens) == ("The quick brown fox",
                                                                         "end_turn", 4)
    with ac.messages.stream(model="claude-fake", max_tokens=2, messages=HI) as s:
        assert "".join(s.text_stream) == "The quick"
        assert s.get_final_message().stop_reason == "max_tokens"
    assert ac.messages.count_tokens(model="claude-fake", messages=HI).input_tokens > 0
    assert [m.id for m in ac.models.list()] == ["claude-fake"]


def test_anthropic_tools_and_thinking(fake_anthropic, ac):
    fake_anthropic.reply = Reply(text="I look.", thinking="hm", calls=[("weather", {"city": "Bern"}),
                                                                       ("now", {})])
    tools = [{"name": "weather", "input_schema": WEATHER}]
    with ac.messages.stream(model="claude-fake", max_tokens=5000, messages=HI, tools=tools,
                            thinking={"type": "enabled", "budget_tokens": 1024}) as s:
        final = s.get_final_message()
    assert [b.type for b in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert final.content[0].signature == "c2ln"
    assert [b.input for b in final.content[2:]] == [{"city": "Bern"}, {}]
    assert final.stop_reason == "tool_use"
    with pytest.raises(anthropic.BadRequestError, match="without `tool_result`"):
        ac.messages.create(model="claude-fake", max_tokens=9, messages=[
            *HI, {"role": "assistant", "content": [b.model_dump() for b in final.content]}, *HI])


def test_anthropic_versions(fake_anthropic, ac):
    """The newer version of the API refuses sampling fields, the older one takes them."""
    for version, is_good in (("2023-06-01", True), ("2026-10-21", False)):
        how = {"extra_headers": {"anthropic-version": version}, "extra_body": {"temperature": 0.5}}
        if is_good:
            assert messages(ac, **how).content
        else:
            with pytest.raises(anthropic.BadRequestError, match="temperature"):
                messages(ac, **how)


def test_anthropic_errors(fake_anthropic, ac):
    fake_anthropic.script(Fault(status=529), Fault(status=429, headers={"retry-after": "1"}))
    with pytest.raises(anthropic.APIStatusError) as e:
        messages(ac)
    assert (e.value.status_code, e.value.body["error"]["type"]) == (529, "overloaded_error")
    with pytest.raises(anthropic.RateLimitError):
        messages(ac)
    with pytest.raises(anthropic.NotFoundError):
        ac.messages.create(model="nope", max_tokens=5, messages=HI)
    with anthropic.Anthropic(base_url=fake_anthropic.url, api_key="wrong", max_retries=0) as c:
        with pytest.raises(anthropic.AuthenticationError):
            messages(c)


def test_anthropic_stream_faults(fake_anthropic, ac):
    def collect():
        with ac.messages.stream(model="claude-fake", max_tokens=50, messages=HI) as s:
            return s.get_final_message()
    fake_anthropic.script(Fault(error_after=4))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        collect()
    fake_anthropic.script(Fault(cut_after=4), Fault(reset_after=4))
    for _ in range(2):
        with pytest.raises(httpx2.TransportError):
            collect()
    fake_anthropic.script(Fault(split=3, crlf=True))
    assert collect().content[0].text == "The quick brown fox"


# ---- the rig itself

def test_client_leaving_is_seen(fake_openai, oc):
    gate = threading.Event()
    fake_openai.script(Fault(pause=gate))
    stream = oc.chat.completions.create(model="gpt-fake", messages=HI, stream=True)
    next(iter(stream))
    stream.close()
    wait_for(lambda: fake_openai.left == 1)
    assert fake_openai.active == 0


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_real_llama_server(llama_server):
    """The real llama.cpp server runs here, and answers a real client."""
    server = llama_server(parallel=1)
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=60) as c:
        chunks = list(c.chat.completions.create(model=server.model, messages=HI, max_tokens=4,
                                                stream=True, temperature=0,
                                                stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == 4
    assert [x.choices[0].finish_reason for x in chunks if x.choices][-1] == "length"
