"""Every path that clients of Ollama, OpenAI and Anthropic use beside generation, answered as they expect."""
import base64
import http.client
import json
import struct

import procs
import pytest
from gatewaykit import Fake, Gateway


@pytest.fixture
def ask(holdfast, running, tmp_path):
    """ask(method, path, body): (status, parsed JSON or text, headers). ask.a, ask.b, ask.g."""
    a, b = Fake(running), Fake(running)
    hosts = [{"name": n, "url": f.url(), "parallel": 4} for n, f in (("a", a), ("b", b))]
    g = Gateway(holdfast, tmp_path, hosts, [{"name": "m", "to": ["a/llama3.1:8b", "b/llama3.1:8b"]}])
    g.wait_hosts(a="up", b="up")
    procs.wait_until(lambda: b"llama3.1:8b" in g.get("/api/tags")[1])

    def call(method, path, body=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)
        c.request(method, path, None if body is None else json.dumps(body),
                  {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        raw = r.read().decode()
        return r.status, json.loads(raw) if raw.startswith("{") and raw.count("\n") < 2 else raw, r.headers
    call.a, call.b, call.g = a, b, g
    return call


def test_alive_as_ollama_says_it(ask):
    status, text, headers = ask("GET", "/")
    assert (status, text) == (200, "Ollama is running") and headers["content-type"].startswith("text/plain")
    for path in ("/", "/api/version", "/api/tags"):
        status, text, headers = ask("HEAD", path)
        assert (status, text) == (200, "") and int(headers["content-length"]) > 0
    assert ask("GET", "/api/version")[1] == {"version": "0.12.6"}
    assert ask("GET", "/api/status")[:2] == (200, {"cloud": {"disabled": False, "source": "none"}})


def test_show_asks_the_host_a_request_would_go_to(ask):
    for key in ("model", "name"):
        status, said, headers = ask("POST", "/api/show", {key: "m", "verbose": True})
        assert status == 200 and said["seen"] == "llama3.1:8b" and headers["x-holdfast-host"] == "a"
    assert [e for e in ask.a.log() if e["path"] == "/api/show"][0]["verbose"] is True
    assert ask("POST", "/api/show", {"model": "OK"})[1]["details"] == {"family": "fake"}
    ask.a.p.kill()
    assert ask("POST", "/api/show", {"model": "m"})[2]["x-holdfast-host"] == "b"
    ask.b.p.kill()
    ask.g.wait_hosts(a="down", b="down")
    status, said, _ = ask("POST", "/api/show", {"model": "m"})  # nobody is there: what the lists know
    assert status == 200 and said["capabilities"] and "details" in said
    status, said, _ = ask("POST", "/api/show", {"model": "no-such"})
    assert (status, said) == (404, {"error": "model 'no-such' not found"})


@pytest.mark.parametrize("body,want", [({}, "required"), ({"model": 5}, "required"), ({"model": ""}, "required")])
def test_show_of_nothing(ask, body, want):
    status, said, _ = ask("POST", "/api/show", body)
    assert status == 400 and want in said["error"]


def test_management_needs_a_host_and_streams(ask):
    for method, path in (("POST", "/api/pull"), ("POST", "/api/create"), ("POST", "/api/copy"),
                         ("POST", "/api/push"), ("DELETE", "/api/delete"),
                         ("POST", "/api/blobs/sha256:00"), ("HEAD", "/api/blobs/sha256:00")):
        status, said, _ = ask(method, path, {"model": "x"})
        assert status == 400 and (method == "HEAD" or "X-Holdfast-Pin-Host" in said["error"]), (path, said)
    status, said, _ = ask("POST", "/api/pull", {"model": "x"}, X_Holdfast_Pin_Host="nobody")
    assert status == 400 and "no Ollama host" in said["error"]
    status, said, headers = ask("POST", "/api/pull", {"model": "x"}, X_Holdfast_Pin_Host="b")
    assert status == 200 and said.endswith('{"status":"success"}\n') and headers["x-holdfast-host"] == "b"
    assert headers["content-type"] == "application/x-ndjson"
    assert ask("DELETE", "/api/delete?host=a", {"model": "x"})[0] == 200
    assert ask("POST", "/api/copy", {"source": "x", "destination": "y"}, X_Holdfast_Pin_Host="a")[0] == 200
    assert ask("POST", "/api/blobs/sha256:12", {}, X_Holdfast_Pin_Host="a")[0] == 201
    assert ask("HEAD", "/api/blobs/sha256:12", None, X_Holdfast_Pin_Host="a")[0] == 200
    assert [e["path"] for e in ask.a.log()] == ["/api/delete", "/api/copy", *["/api/blobs/sha256:12"] * 2]
    assert [e["path"] for e in ask.b.log()] == ["/api/pull"]
    ask.b.p.kill()
    status, said, _ = ask("POST", "/api/pull", {"model": "x"}, X_Holdfast_Pin_Host="b")
    assert status == 503 and "host b" in said["error"]


def test_a_pull_ends_when_its_client_leaves(ask):
    c = http.client.HTTPConnection("127.0.0.1", ask.g.port, timeout=30)
    c.request("POST", "/api/pull", '{"model":"huge"}', {"X-Holdfast-Pin-Host": "a"})
    r = c.getresponse()
    r.read(10)
    r.close()
    c.close()
    procs.wait_until(lambda: [e["gone"] for e in ask.a.log() if e["path"] == "/api/pull"] == [True])


def test_a_pull_does_not_keep_the_gateway_from_stopping(holdfast, running, tmp_path):
    a = Fake(running)
    g = Gateway(holdfast, tmp_path, [{"name": "a", "url": a.url()}], [], **{"drain-timeout": "300ms"})
    c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)
    c.request("POST", "/api/pull", '{"model":"huge"}')
    r = c.getresponse()
    r.read(10)
    assert g.p.stop() == 0
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        r.read()  # cut, so that nobody takes it for done


def test_a_single_ollama_host_needs_no_name(holdfast, running, tmp_path):
    a = Fake(running)
    g = Gateway(holdfast, tmp_path, [{"name": "a", "url": a.url()},
                                     {"name": "cloud", "kind": "openai", "url": "http://127.0.0.1:1/v1"}], [])
    c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)
    c.request("POST", "/api/pull", '{"model":"x"}')
    assert c.getresponse().read().endswith(b'{"status":"success"}\n')


def test_models_in_each_dialect(ask):
    one = ask("GET", "/v1/models/llama3.1:8b")[1]
    assert (one["id"], one["object"]) == ("llama3.1:8b", "model") and "owned_by" in one
    assert {"m", "llama3.1:8b"} <= {m["id"] for m in ask("GET", "/v1/models")[1]["data"]}
    said = ask("GET", "/v1/models", anthropic_version="2023-06-01")[1]
    assert said["has_more"] is False and all(m["type"] == "model" for m in said["data"])
    assert ask("GET", "/v1/models/m", anthropic_version="2023-06-01")[1]["type"] == "model"
    status, said, _ = ask("GET", "/v1/models/none")
    assert status == 404 and said["error"]["message"] == "model 'none' not found"
    status, said, _ = ask("GET", "/v1/models/none", anthropic_version="2023-06-01")
    assert status == 404 and said["error"]["type"] == "not_found_error"


def test_other_gateways_names_of_paths(ask):
    """Clients that come from LiteLLM have a base URL without /v1; its probes and vLLM's have their own names."""
    said = ask("POST", "/chat/completions", {"model": "ok", "messages": [{"role": "user", "content": "x"}]})[1]
    assert said["object"] == "chat.completion"
    assert ask("POST", "/embeddings", {"model": "ok", "input": "a"})[1]["object"] == "list"
    assert ask("POST", "/completions", {"model": "ok", "prompt": "x"})[1]["object"] == "text_completion"
    assert ask("GET", "/models")[1]["object"] == "list" and ask("GET", "/models/m")[1]["object"] == "model"
    for path in ("/health", "/health/liveliness", "/health/liveness", "/health/readiness"):
        assert ask("GET", path)[0] == 200
    status, said, _ = ask("POST", "/chat/completions", {"model": "nobody-has-it", "messages": []})
    assert status == 404 and said["error"]["type"]  # in the dialect of the path
    assert ask("GET", "/chat/completions")[0] == 405 and ask("GET", "/modelsx")[0] == 404


def test_embeddings_of_both_kinds(ask):
    said = ask("POST", "/api/embed", {"model": "ok", "input": ["a"]})[1]
    assert said["embeddings"] == [[0.5, -0.25]] and said["model"] == "ok"
    assert ask("POST", "/api/embeddings", {"model": "ok", "prompt": "a"})[1] == {"embedding": [0.5, -0.25]}
    said = ask("POST", "/v1/embeddings", {"model": "ok", "input": "a"})[1]
    assert said["data"][0]["embedding"] == [0.5, -0.25] and said["object"] == "list"
    said = ask("POST", "/v1/embeddings", {"model": "ok", "input": "a", "encoding_format": "base64"})[1]
    assert struct.unpack("<2f", base64.b64decode(said["data"][0]["embedding"])) == (0.5, -0.25)


def test_older_forms_of_generation(ask):
    said = ask("POST", "/api/generate", {"model": "m", "prompt": "hi", "stream": False})[1]
    assert said["response"] == "Hold fast, friend." and said["done"] is True and said["model"] == "m"
    said = ask("POST", "/v1/completions", {"model": "m", "prompt": "hi"})[1]
    assert said["object"] == "text_completion" and said["choices"][0]["text"] == "Hold fast, friend."
    said = ask("POST", "/v1/responses", {"model": "m", "input": "hi"})[1]
    assert said["object"] == "response" and said["status"] == "completed"
    said = ask("POST", "/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "hi"}]})[1]
    assert said["input_tokens"] > 0


@pytest.mark.parametrize("path,headers,dialect", [
    ("/api/nothing", {}, "ollama"), ("/nothing", {}, "ollama"), ("/v1/audio/translations", {}, "openai"),
    ("/v1/nothing", {}, "openai"), ("/v1/nothing", {"anthropic_version": "2023-06-01"}, "anthropic"),
    ("/v1/messages/batches", {}, "anthropic")])
def test_unknown_paths_in_the_dialect_of_their_prefix(ask, path, headers, dialect):
    status, said, _ = ask("POST", path, {}, **headers)
    assert status == 404
    if dialect == "ollama":
        assert said == {"error": "page not found"}
    elif dialect == "openai":
        assert said["error"]["message"] == "page not found" and "type" in said["error"] and "type" not in said
    else:
        assert said["type"] == "error" and said["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/images/generations", "/api/experimental/web_search"])
def test_what_ollama_has_and_the_gateway_has_not_is_no_404(ask, path):
    status, said, _ = ask("POST", path, {})
    assert status == 501 and "does not offer" in json.dumps(said)


@pytest.mark.parametrize("method,path", [("GET", "/api/chat"), ("POST", "/api/tags"), ("GET", "/v1/messages"),
                                         ("PUT", "/v1/chat/completions"), ("GET", "/api/show"), ("POST", "/")])
def test_wrong_methods(ask, method, path):
    status, said, _ = ask(method, path)
    assert status == 405 and "method not allowed" in json.dumps(said)
