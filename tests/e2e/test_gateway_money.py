"""Keys, budgets, the journal and overrides of the gateway. Hosts are fakes (fake_host.py): 7 tokens in, 5 out."""
import concurrent.futures
import hashlib
import json
import os
import signal
import socket
import sqlite3

import anthropic
import httpx
import ollama
import openai
import procs
import pytest
from gatewaykit import KINDS, PATHS, TEXT, Answer, Fake, Gateway, body_of

KIM, BOT, BOSS = "kim-secret-1", "bot-secret-2", "boss-secret-3"
PRICE = {"model": "cloud/*", "input": "1", "output": "10"}  # 7 in, 5 out: 0.000057
HI = [{"role": "user", "content": "hi"}]


def bearer(key):
    return {"Authorization": "Bearer " + key}


@pytest.fixture
def house(holdfast, running, tmp_path):
    """house(keys=..., **more): a local host and a cloud, routes to each, a journal."""
    def make(keys=(), routes=(), **more):
        local, cloud = Fake(running), Fake(running)
        hosts = [{"name": "local", "url": local.url(), "parallel": 300},
                 {"name": "cloud", "kind": "openai", "url": cloud.url("openai"), "api-key": "upstream-key",
                  "parallel": 300}]
        more = {"journal": str(tmp_path / "usage.db"), "prices": [PRICE], **more}
        g = Gateway(holdfast, tmp_path, hosts,
                    [{"name": "near", "to": ["local/ok"]}, {"name": "far", "to": ["cloud/ok"]},
                     {"name": "both", "to": ["cloud/ok", "local/ok"]}, *routes], keys=list(keys), **more)
        g.local, g.cloud, g.db = local, cloud, more["journal"]
        return g
    return make


def rows(g, sql="SELECT key, route, host, model, tokens_in, tokens_out, micro, outcome FROM usage ORDER BY id"):
    c = sqlite3.connect("file:%s?mode=ro" % g.db, uri=True)
    try:
        return c.execute(sql).fetchall()
    finally:
        c.close()


def wait_rows(g, n):
    procs.wait_until(lambda: len(rows(g)) >= n, why=lambda: repr(rows(g)) + g.p.text()[-2000:])
    return rows(g)


def account(g, name, headers=None):
    status = json.loads(g.get("/holdfast/status", headers)[1])
    return [k for k in status["keys"] if k["name"] == name][0]


# ---- keys ----

def test_real_clients_with_and_without_a_key(house, tmp_path):
    (tmp_path / "boss").write_text(BOSS + "\n")
    g = house([{"name": "kim", "key": KIM, "models": ["near", "f*"]},
               {"name": "bot", "sha256": hashlib.sha256(BOT.encode()).hexdigest()},
               {"name": "boss", "key-file": "boss", "admin": True}])
    url = "http://127.0.0.1:%d" % g.port

    def clients(key):
        return (openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0),
                anthropic.Anthropic(base_url=url, api_key=key, max_retries=0),
                ollama.Client(url, headers=bearer(key)))

    def ask(c, model):
        o, a, n = c
        said = [o.chat.completions.create(model=model, messages=HI).choices[0].message.content,
                a.messages.create(model=model, max_tokens=9, messages=HI).content[0].text,
                n.chat(model, HI).message.content]
        assert said == [TEXT] * 3

    for key in (KIM, BOT, BOSS):
        ask(clients(key), "near")
    o, a, n = clients("wrong")
    with pytest.raises(openai.AuthenticationError):
        o.chat.completions.create(model="near", messages=HI)
    with pytest.raises(anthropic.AuthenticationError):
        a.messages.create(model="near", max_tokens=9, messages=HI)
    with pytest.raises(ollama.ResponseError) as e:
        n.chat("near", HI)
    assert e.value.status_code == 401 and "no key" in e.value.error
    refused = httpx.post(url + PATHS["openai"], json=body_of("openai", "near", False))
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    with pytest.raises(ollama.ResponseError) as e:
        ollama.Client(url).list()
    assert e.value.status_code == 401
    o, a, n = clients(KIM)  # 403 names the scope
    with pytest.raises(openai.PermissionDeniedError, match="models"):
        o.chat.completions.create(model="both", messages=HI)
    with pytest.raises(anthropic.PermissionDeniedError, match="models"):
        a.messages.create(model="both", max_tokens=9, messages=HI)
    with pytest.raises(ollama.ResponseError, match="models"):
        n.chat("both", HI)
    procs.wait_until(lambda: "qwen2.5-coder:32b" in [m.model for m in clients(BOT)[2].list().models])
    for names in ([m.id for m in o.models.list()], [m.model for m in n.list().models]):  # near and f*, no other
        names = {name.removesuffix(":latest") for name in names}
        assert {"near", "far", "forever"} <= names and all(x == "near" or x[0] == "f" for x in names), names
    with pytest.raises(openai.NotFoundError):
        o.models.retrieve("both")
    with pytest.raises(ollama.ResponseError, match="scope"):
        n.show("both")
    r = httpx.post(url + "/api/chat", json=body_of("ollama", "near", False), auth=("kim", KIM))
    assert r.status_code == 200  # as http://kim:KEY@host sends it
    procs.wait_until(lambda: {k for (k,) in rows(g, "SELECT DISTINCT key FROM usage")} == {"kim", "bot", "boss"})
    # A client's key stays here: no upstream, no log, no journal has it.
    sent = json.dumps(g.local.log()) + json.dumps(g.cloud.log())
    with open(g.db, "rb") as f:
        kept = f.read()
    for key in (KIM, BOT, BOSS, "wrong"):
        assert key not in sent and key not in g.p.text() and key.encode() not in kept
    assert "upstream-key" not in g.p.text()


def test_admin_pages_want_an_admin(house):
    g = house([{"name": "kim", "key": KIM}, {"name": "boss", "key": BOSS, "admin": True}])
    pages = ["/holdfast/status", "/holdfast/explain?model=near", "/holdfast/usage", "/holdfast/override", "/metrics"]
    for path in pages:
        assert g.get(path)[0] == 401, path
        status, text = g.get(path, bearer(KIM))
        assert status == 403 and b"admin" in text, path
        assert g.get(path, bearer(BOSS))[0] == 200, path
    for method, path in (("POST", "/api/pull"), ("DELETE", "/api/delete"), ("HEAD", "/api/blobs/sha256:00")):
        assert g.get(path, bearer(KIM), method, "{}")[0] == 403, path  # changes a host
    for path in ("/healthz", "/", "/api/version"):
        assert g.get(path)[0] == 200, path
    assert g.get("/v1/models")[0] == 401 and g.get("/v1/models", bearer(KIM))[0] == 200
    assert "local" in g.cli("hosts").ok().out  # shows the configuration's admin key


def test_without_an_admin_key_this_machine_is_it(house):
    g = house([{"name": "kim", "key": KIM}])
    assert g.get("/holdfast/status")[0] == 200 and g.get("/api/tags")[0] == 401


def test_private_key_stays_in_the_house(house):
    g = house([{"name": "kim", "key": KIM, "private": True}])
    g.wait_hosts(local="up", cloud="up")
    a = Answer(g.port, "openai", "both", False, headers=bearer(KIM)).whole("local")
    assert a.headers["x-holdfast-model"] == "ok"
    for front in KINDS:
        a = Answer(g.port, front, "far", False, headers=bearer(KIM))
        assert a.status == 403 and "private" in a.error, vars(a)
    pinned = Answer(g.port, "openai", "both", False, headers={**bearer(KIM), "X-Holdfast-Pin-Host": "cloud"})
    assert pinned.status == 403, vars(pinned)
    assert not [e for e in g.cloud.log() if e["model"] == "ok"]


def test_limits_of_a_key_and_scope_of_pins(house):
    g = house([{"name": "kim", "key": KIM, "parallel": 2, "pin": False},
               {"name": "bot", "key": BOT, "requests-per-minute": 3}],
              [{"name": "hang", "to": ["local/hang"]}], **{"drain-timeout": "1s"})
    body = json.dumps(body_of("ollama", "hang", True))
    raw = "POST /api/chat HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Length: %d\r\n\r\n%s" % (KIM, len(body), body)
    under_way = [socket.create_connection(("127.0.0.1", g.port)) for _ in range(2)]
    for c in under_way:
        c.sendall(raw.encode())
    procs.wait_until(lambda: account(g, "kim")["active"] == 2)
    third = Answer(g.port, "openai", "near", False, headers=bearer(KIM))
    assert third.status == 429 and "parallel" in third.error and third.headers["retry-after"] == "1"
    for c in under_way:
        c.close()
    procs.wait_until(lambda: account(g, "kim")["active"] == 0)
    Answer(g.port, "openai", "near", False, headers=bearer(KIM)).whole()
    pin = Answer(g.port, "openai", "near", False, headers={**bearer(KIM), "X-Holdfast-Pin-Host": "local"})
    assert pin.status == 403 and "pin" in pin.error
    got = [Answer(g.port, "openai", "far", False, headers=bearer(BOT)).status for _ in range(4)]
    assert got == [200, 200, 200, 429]


def test_models_of_ollamas_own_cloud_are_not_in_the_house(house):
    """A local Ollama hands NAME-cloud, and what was made from it, on to its makers: private means not there, either."""
    g = house([{"name": "bot", "key": BOT, "private": True}, {"name": "kim", "key": KIM}],
              [{"name": "big", "to": ["local/big:120b-cloud"]},
               {"name": "quiet", "to": ["local/big:120b-cloud"], "private": True}])
    g.local.set(models={"big:120b-cloud": 1})
    g.wait_hosts(local="up", cloud="up")
    for key, model, who in ((BOT, "big", "key bot"), (KIM, "quiet", "route quiet")):
        a = g.ask("ollama", model, False, headers=bearer(key))
        assert a.status == 403 and who + " is private" in a.error, a.error
    assert not [e for e in g.local.log() if e["path"] == "/api/chat"]
    procs.wait_until(lambda: g.ask("ollama", "big", False, headers=bearer(KIM)).status == 200)


def test_a_host_that_repeats_our_key_does_not_tell_it_to_clients(house):
    g = house([{"name": "kim", "key": KIM}], [{"name": "blabs", "to": ["cloud/400-key"]}])
    g.wait_hosts(cloud="up")
    for front in KINDS:
        for stream in (False, True):
            a = g.ask(front, "blabs", stream, headers=bearer(KIM))
            assert a.status == 400 and a.error == "what is Bearer ***?", a.error
    assert "upstream-key" not in g.p.text()


def test_a_request_through_too_many_gateways_is_refused_everywhere(house):
    """The own id did not fit behind a long list of hops: /api/show could go round for ever."""
    g = house()
    g.wait_hosts(local="up")
    for path in PATHS["ollama"], "/api/show":
        status, answer = g.get(path, {"Content-Type": "application/json", "X-Holdfast-Hop": "h" * 300}, "POST",
                               json.dumps({"model": "near", "messages": HI, "stream": False}))
        assert status == 400 and b"lead back" in answer, answer


def test_without_keys_a_strangers_web_page_cannot_ask(house):
    """What a browser sends without asking first (plain text by POST) would use and pull models."""
    g = house()
    g.wait_hosts(local="up")
    body = json.dumps({"model": "near", "messages": HI, "stream": False})
    own = "127.0.0.1:%d" % g.port
    for origin, status in (("https://evil.example", 403), ("http://127.0.0.1.evil.example", 403), ("null", 403),
                           ("http://" + own, 200), ("http://localhost:3000", 200), ("app://obsidian.md", 200)):
        headers = {"Content-Type": "text/plain", "Origin": origin}
        assert g.get("/api/chat", headers, "POST", body)[0] == status, origin
        assert g.get("/api/tags", headers)[0] == status, origin
    assert g.get("/api/pull", {"Origin": "https://evil.example"}, "POST", '{"model":"x"}')[0] == 403
    g = house([{"name": "kim", "key": KIM}])
    g.wait_hosts(local="up")
    assert g.get("/api/chat", {**bearer(KIM), "Origin": "https://ui.example"}, "POST", body)[0] == 200


def test_a_name_that_a_web_page_bound_to_this_address_is_no_name_of_ours(house, holdfast):
    """DNS rebinding: the page's origin is then the Host it sends, and the one thing it cannot choose is that name."""
    def answers(g, host, key=None, **headers):
        headers = {"Content-Type": "text/plain", "Host": host, **(bearer(key) if key else {}), **headers}
        body = json.dumps({"model": "near", "messages": HI, "stream": False})
        got = [g.get("/api/chat", headers, "POST", body), g.get("/v1/models", headers), g.get("/holdfast/status", headers)]
        return {status for status, _ in got}, got[0][1].decode()

    g = house()
    g.wait_hosts(local="up")
    port = ":%d" % g.port
    for ours in ("localhost" + port, "127.0.0.1" + port, "[::1]" + port, "forge", "forge.local" + port,
                 "host.docker.internal" + port, socket.gethostname()):
        assert answers(g, ours)[0] == {200}, ours
    for evil in ("evil.example" + port, "127.0.0.1.evil.example", "localhost.evil.example" + port):
        statuses, text = answers(g, evil, Origin="http://" + evil)
        assert statuses == {403} and "allowed-hosts" in text, (evil, text)
        assert answers(g, evil)[0] == {403}  # GET says no origin
        assert g.get("/healthz", {"Host": evil})[0] == 200
    with open(g.file) as f:
        conf = json.load(f)

    def reload(n, **keys):
        with open(g.file, "w") as f:
            json.dump({"gateway": {**conf["gateway"], **keys}}, f)
        g.p.signal(signal.SIGHUP)
        procs.wait_until(lambda: g.p.text().count("configuration reloaded") == n)

    reload(1, **{"allowed-hosts": ["*.example"]})
    assert answers(g, "gw.example", Origin="http://gw.example")[0] == {200}
    assert answers(g, "gw.example.org")[0] == {403}
    reload(2, keys=[{"name": "boss", "key": BOSS, "admin": True}])
    assert answers(g, "gw.example.org", BOSS, Origin="https://ui.example")[0] == {200}
    # Where others are meant to come, they come by names that nobody here knows; browsers say what they are.
    reload(3, listen=":%d" % g.port)
    assert answers(g, "gw.example.org" + port)[0] == {200}
    assert answers(g, "gw.example.org" + port, Origin="http://gw.example.org" + port)[0] == {403}
    assert answers(g, "192.168.7.7" + port, Origin="http://192.168.7.7" + port)[0] == {200}


def test_a_key_that_differs_by_case_is_no_way_around_a_scope(house):
    """Ollama reads "Model" as "model", and the last one counts: the gateway would have checked the other one."""
    g = house([{"name": "kim", "key": KIM, "models": ["near"]}])
    g.wait_hosts(local="up", cloud="up")
    seen = len(g.local.log())
    headers = {"Content-Type": "application/json", **bearer(KIM)}
    for path, body in [("/api/chat", {"model": "near", "Model": "far", "messages": HI, "stream": False}),
                       ("/v1/chat/completions", {"MODEL": "far", "model": "near", "messages": HI}),
                       ("/api/show", {"name": "near", "Model": "far"}),
                       ("/api/show", {"model": "near", "NAME": "far"})]:
        status, answer = g.get(path, headers, "POST", json.dumps(body))
        assert status == 400 and b"case" in answer, answer
    assert not [e for e in g.local.log()[seen:] if e["path"] in ("/api/chat", "/api/show")]


def test_open_to_everyone_is_said_aloud(holdfast, running, tmp_path):
    a = Fake(running)
    hosts = [{"name": "a", "url": a.url()}]
    g = Gateway(holdfast, tmp_path, hosts, [])
    assert "anybody" not in g.p.text()
    port = g.port
    g.p.stop()
    conf = {"gateway": {"listen": ":%d" % port, "hosts": hosts}}
    (tmp_path / "open.yml").write_text(json.dumps(conf))
    p = holdfast.start("gateway", "-config", tmp_path / "open.yml")
    procs.wait_until(lambda: "anybody who reaches this address" in p.text(), why=p.text)


# ---- usage and the journal ----

def test_every_request_is_in_the_journal(house, holdfast):
    g = house([{"name": "kim", "key": KIM}, {"name": "boss", "key": BOSS, "admin": True}],
              [{"name": "moved", "to": ["cloud/error-later", "local/ok"]}])
    for front in KINDS:
        for stream in (False, True):
            Answer(g.port, front, "far", stream, headers=bearer(KIM)).whole("cloud")
    Answer(g.port, "openai", "near", True, headers=bearer(KIM)).whole("local")
    far = ("kim", "far", "cloud", "ok", 7, 5, 57, "ok")
    assert wait_rows(g, 7) == [far] * 6 + [("kim", "near", "local", "ok", 7, 5, 0, "ok")]
    # What a try used that failed in the middle is there, too, and counted as no request.
    Answer(g.port, "openai", "moved", False, headers=bearer(KIM)).whole("local")
    tried, last = wait_rows(g, 9)[-2:]
    assert tried[2] == "cloud" and tried[6] > 0 and tried[7] == "error-in-stream"
    assert last[2:4] == ("local", "ok") and last[7] == "ok"
    usage = g.cli("usage", "--by", "route,host", "--json").ok().json()["rows"]
    assert {(r["route"], r["host"]): r["requests"] for r in usage} == {
        ("far", "cloud"): 6, ("near", "local"): 1, ("moved", "local"): 1, ("moved", "cloud"): 0}
    assert [r["cost"] for r in usage if r["route"] == "far"] == ["0.000342"]
    assert "kim" in g.cli("usage", "--since", "1h").ok().out
    watch = holdfast.start("gateway", "usage", "--watch", "-config", g.file)
    procs.wait_until(lambda: watch.text().count("tokens in") >= 2, why=watch.text)
    watch.kill()
    watch = holdfast.start("gateway", "hosts", "--watch", "-config", g.file)
    procs.wait_until(lambda: watch.text().count("address") >= 2, why=watch.text)
    watch.kill()
    r = g.cli("override", "clear", "local", "--watch")
    assert r.code == 2 and "changes something" in r.err, r.err
    r = g.cli("what-if", "--down", "nobody")
    assert r.code == 2 and "names no host" in r.err and "{" not in r.err, r.err
    assert "cost today" in g.cli("status").ok().out
    whole = Answer(g.port, "openai", "far", False, headers=bearer(KIM))
    assert whole.headers["x-holdfast-cost"] == "0.000057"
    assert g.cli("usage", "--since", "2099-01-01", "--json").ok().json()["rows"] == []
    g.cli("usage", "--by", "colour").failed(2, "colour")
    metrics = g.get("/metrics", bearer(BOSS))[1].decode()
    assert 'holdfast_gateway_tokens_total{key="kim",model="ok",type="input"} 63' in metrics
    assert 'holdfast_gateway_cost_total{key="kim",model="ok"} 0.000399' in metrics


def test_usage_is_asked_of_streams_and_not_shown_to_who_did_not_ask(house):
    g = house()
    c = openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % g.port, api_key="x", max_retries=0)
    parts = list(c.chat.completions.create(model="far", stream=True, messages=HI))
    assert not any(p.usage for p in parts) and all(p.choices for p in parts)
    parts = list(c.chat.completions.create(model="far", stream=True, messages=HI,
                                           stream_options={"include_usage": True}))
    assert parts[-1].usage.completion_tokens == 5
    assert all(e["ask"]["stream_options"] == {"include_usage": True} for e in g.cloud.log() if "ask" in e)
    assert [r[4:7] for r in wait_rows(g, 2)] == [(7, 5, 57)] * 2


def test_client_that_leaves_pays_for_what_is_known(house):
    g = house(routes=[{"name": "long", "to": ["cloud/forever"]}])
    with httpx.stream("POST", "http://127.0.0.1:%d/v1/chat/completions" % g.port,
                      json=body_of("openai", "long", True)) as r:
        next(r.iter_lines())
    (row,) = wait_rows(g, 1)
    assert row[7] == "client-left" and row[4] > 0 and row[5] >= 1 and row[6] > 0


# ---- budgets ----

def test_budget_race_200_calls_against_a_budget_for_50(house):
    """litellm #40095, #34732, #26672: concurrent requests slipped past a budget."""
    # Only output costs, and an answer writes what the request allows: 50 pass, whatever the order.
    g = house([{"name": "kim", "key": KIM, "money-per-day": "0.0025"}], [{"name": "wait", "to": ["cloud/slow"]}],
              prices=[{**PRICE, "input": 0}])
    g.wait_hosts(cloud="up")
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        got = list(pool.map(lambda _: Answer(g.port, "openai", "wait", False, headers=bearer(KIM), timeout=120,
                                             max_tokens=5), range(200)))
    done = [a.whole() for a in got if a.status == 200]
    refused = [a for a in got if a.status == 429]
    assert (len(done), len(refused)) == (50, 150)
    assert len([e for e in g.cloud.log() if e["model"] == "slow"]) == 50
    procs.wait_until(lambda: rows(g, "SELECT sum(micro), count(*) FROM usage WHERE host <> ''") == [(2500, 50)])
    assert rows(g, "SELECT count(*) FROM hold") == [(0,)]
    for r in refused:
        assert r.headers["x-should-retry"] == "false" and 0 < int(r.headers["retry-after"]) <= 86400
        e = json.loads(r.raw)["error"]
        assert "money-per-day of key kim" in e["message"] and "begins anew at" in e["message"]
        assert e["code"] == "insufficient_quota"


def test_an_answer_without_a_limit_gets_one_where_a_budget_counts(house):
    """Else a budget could be passed by as much as a model writes: what is set aside is what may be written."""
    g = house([{"name": "kim", "key": KIM, "money-per-day": "0.3", "tokens-per-day": 100000}, {"name": "bot", "key": BOT}],
              [{"name": "known", "to": ["cloud/ok-known"]}], **{"default-output-tokens": 700, "prices": [
                  {"model": "cloud/ok-known", "input": 1, "output": 10, "max-output": 20000}, PRICE]})
    g.wait_hosts(local="up", cloud="up")

    def told(fake):
        ask = fake.log()[-1]["ask"]
        return ask.get("max_tokens", ask.get("options", {}).get("num_predict"))

    for stream in (False, True):
        for front, model, fake in (("openai", "far", g.cloud), ("openai", "near", g.local), ("ollama", "far", g.cloud),
                                   ("ollama", "near", g.local)):
            a = Answer(g.port, front, model, stream, headers=bearer(KIM)).whole()
            assert told(fake) == 700 and a.headers["x-holdfast-output-limit"] == "700", (front, model)
            a = Answer(g.port, front, model, stream, headers=bearer(BOT)).whole()
            assert told(fake) is None and "x-holdfast-output-limit" not in a.headers, (front, model)
    r = httpx.post("http://127.0.0.1:%d/v1/responses" % g.port, json={"model": "far", "input": "hi"}, headers=bearer(KIM))
    assert r.status_code == 200 and told(g.cloud) == 700
    # No limit is no limit, however it is said; one of its own stays.
    for said, then in (({"max_tokens": 0}, 700), ({"max_completion_tokens": None}, 700), ({"max_tokens": 90}, 90)):
        Answer(g.port, "openai", "far", False, headers=bearer(KIM), **said).whole()
        ask = g.cloud.log()[-1]["ask"]
        assert told(g.cloud) == then and "max_completion_tokens" not in ask, ask
    Answer(g.port, "ollama", "near", False, headers=bearer(KIM), options={"num_predict": -1, "seed": 7}).whole()
    assert g.local.log()[-1]["ask"]["options"] == {"num_predict": 700, "seed": 7}
    # What a model writes at most is set aside where that is known; it needs no limit then.
    a = Answer(g.port, "openai", "known", False, headers=bearer(KIM)).whole()
    assert told(g.cloud) is None and "x-holdfast-output-limit" not in a.headers
    poor = [{"name": "kim", "key": KIM, "money-in-all": "0.1"}]
    h = house(poor, [{"name": "known", "to": ["cloud/ok-known"]}], journal=g.db + "2", prices=[
        {"model": "cloud/*", "input": 1, "output": 10, "max-output": 20000}])
    h.wait_hosts(cloud="up")
    a = Answer(h.port, "openai", "known", False, headers=bearer(KIM))
    assert a.status == 429 and "may need 0.2" in a.error, vars(a)


def test_media_in_a_request_are_held_at_their_worst(house):
    g = house([{"name": "kim", "key": KIM, "tokens-in-all": 6000}])
    g.wait_hosts(local="up", cloud="up")

    def wanted(*content, front="openai"):
        body = {"model": "far", "max_tokens": 10, "messages": [{"role": "user", "content": list(content)}]}
        r = httpx.post("http://127.0.0.1:%d%s" % (g.port, PATHS[front]), json=body, headers=bearer(KIM))
        assert r.status_code == 429, r.text
        return int(r.json()["error"]["message"].split("may need ")[1].split(";")[0].split(".")[0])

    url = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
    assert 2 * 5250 < wanted(url, url) < 2 * 5250 + 500
    assert 300000 < wanted({"type": "file", "file": {"file_id": "file-1"}}) < 301000
    source = {"type": "url", "url": "https://example.org/a.pdf"}
    assert 300000 < wanted({"type": "document", "source": source}, front="anthropic") < 301000
    sound = {"type": "input_audio", "input_audio": {"data": "//uQ" + "A" * 640000, "format": "mp3"}}
    assert 10000 < wanted(sound) < 11000
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0" + "A" * 40000}}
    assert 40000 < wanted(pdf) < 41000


def test_budget_that_is_used_up_in_each_dialect_and_what_is_free_goes_on(house):
    g = house([{"name": "kim", "key": KIM, "money-per-day": "0.0001"}])
    g.wait_hosts(local="up", cloud="up")
    for front in KINDS:
        a = Answer(g.port, front, "far", front != "openai", headers=bearer(KIM), **(
            {"options": {"num_predict": 4000}} if front == "ollama" else {"max_tokens": 4000}))
        assert a.status == 429 and "money-per-day" in a.error and a.headers["x-should-retry"] == "false", vars(a)
    # The vendors' clients, which try again by themselves, don't.
    with pytest.raises(openai.RateLimitError, match="money-per-day"):
        openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % g.port, api_key=KIM).chat.completions.create(
            model="far", messages=HI, max_tokens=4000)
    with pytest.raises(anthropic.RateLimitError, match="money-per-day"):
        anthropic.Anthropic(base_url="http://127.0.0.1:%d" % g.port, api_key=KIM).messages.create(
            model="far", messages=HI, max_tokens=4000)
    assert [r[7] for r in wait_rows(g, 5)] == ["over-budget"] * 5
    # A route that has a free candidate takes that instead.
    Answer(g.port, "openai", "both", False, headers=bearer(KIM), max_tokens=4000).whole("local")
    Answer(g.port, "openai", "near", False, headers=bearer(KIM)).whole("local")
    assert not [e for e in g.cloud.log() if e["model"] == "ok"]


def test_tokens_of_a_free_model_count_against_a_token_budget_and_all_keys_share_one(house):
    g = house([{"name": "kim", "key": KIM, "tokens-in-all": 150}, {"name": "bot", "key": BOT}],
              **{"tokens-per-day": 170, "budget-zone": "+02:00"})
    ask = {"headers": bearer(KIM), "max_tokens": 5}
    n = 0
    while n < 50:
        a = Answer(g.port, "openai", "near", False, **ask)
        if a.status != 200:
            break
        n += 1
    assert 1 <= n <= 12 and a.status == 429 and "tokens-in-all of key kim" in a.error, (n, vars(a))
    assert "does not begin anew" in a.error and "retry-after" not in a.headers
    while n < 50:
        a = Answer(g.port, "openai", "near", False, **{**ask, "headers": bearer(BOT)})
        if a.status != 200:
            break
        n += 1
    assert a.status == 429 and "tokens-per-day of all keys together" in a.error, vars(a)
    assert account(g, "(all)")["tokens_today"] <= 170
    kim = account(g, "kim")["budgets"][0]
    assert kim["budget"] == "tokens-in-all" and kim["limit"] == 150 and 0 <= kim["left"] < 150
    assert "holdfast_gateway_budget_remaining{key=\"kim\",budget=\"tokens-in-all\"}" in g.get("/metrics")[1].decode()


def test_kill_9_in_mid_flight_is_charged_in_full(house, holdfast):
    g = house([{"name": "kim", "key": KIM, "money-per-day": "1"}], [{"name": "long", "to": ["cloud/forever"]}])
    g.wait_hosts(cloud="up")
    Answer(g.port, "openai", "far", False, headers=bearer(KIM), max_tokens=100).whole("cloud")
    wait_rows(g, 1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(httpx.post, "http://127.0.0.1:%d/v1/chat/completions" % g.port, timeout=60,
                           headers=bearer(KIM), json=body_of("openai", "long", True, max_tokens=100))
        procs.wait_until(lambda: [e for e in g.cloud.log() if e["model"] == "forever"])
        g.p.kill()
        assert work.exception() is not None
    g.p = holdfast.start("gateway", "-config", g.file)
    procs.wait_until(g.is_up)
    assert "charged in full" in g.p.text()
    first, lost = wait_rows(g, 2)
    assert first[7] == "ok" and lost[:3] == ("kim", "long", "cloud") and lost[7] == "unsettled"
    assert lost[6] >= 100 * 10  # the answer's limit, and the prompt
    assert account(g, "kim")["cost_today"] == "%.6f" % ((57 + lost[6]) / 1e6)
    assert rows(g, "SELECT count(*) FROM hold") == [(0,)]
    # Spent is not forgotten by a restart in peace either.
    assert g.p.stop() == 0
    g.p = holdfast.start("gateway", "-config", g.file)
    procs.wait_until(g.is_up)
    assert account(g, "kim")["cost_today"] == "%.6f" % ((57 + lost[6]) / 1e6)


def test_journal_that_cannot_be_written_refuses_only_who_has_a_budget(house):
    g = house([{"name": "kim", "key": KIM, "money-per-day": "1"}, {"name": "bot", "key": BOT}])
    g.wait_hosts(cloud="up")
    lock = sqlite3.connect(g.db, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    a = Answer(g.port, "anthropic", "far", False, headers=bearer(KIM))
    assert a.status == 529 and "journal" in a.error and a.headers["retry-after"] == "30", vars(a)
    Answer(g.port, "anthropic", "far", False, headers=bearer(BOT)).whole()
    assert json.loads(g.get("/holdfast/status")[1])["journal"]["failing"] is True
    assert "journal cannot be written" in g.p.text()
    lock.execute("ROLLBACK")
    lock.close()
    procs.wait_until(lambda: json.loads(g.get("/holdfast/status")[1])["journal"]["failing"] is False)
    Answer(g.port, "anthropic", "far", False, headers=bearer(KIM)).whole()
    assert [r[0] for r in wait_rows(g, 3) if r[7] == "ok"] == ["bot", "kim"]


def test_the_journal_adds_up_whatever_fails(house, rng):
    """Every request has one last row, sums are the rows', nothing stays set aside."""
    faults = ["ok", "500", "429", "400", "reset", "cut-later", "error-first", "error-later", "no-end", "empty", "slow"]
    g = house([{"name": "kim", "key": KIM, "money-per-day": "100"}, {"name": "bot", "key": BOT}],
              [{"name": f, "to": ["cloud/" + f, "local/ok"]} for f in faults], **{"pause-timeout": "1s"})
    g.wait_hosts(local="up", cloud="up")
    asked = [(rng.choice(faults), rng.choice(KINDS), rng.random() < 0.5, rng.choice((KIM, BOT)), rng.random() < 0.2)
             for _ in range(120)]

    def one(what):
        model, front, stream, key, leaves = what
        if not leaves:
            return Answer(g.port, front, model, stream, headers=bearer(key)).status
        body = json.dumps(body_of(front, model, stream))
        c = socket.create_connection(("127.0.0.1", g.port))
        c.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Length: %d\r\n\r\n%s"
                   % (PATHS[front], key, len(body), body)).encode())
        c.close()
        return 0

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(one, asked))
    procs.wait_until(lambda: json.loads(g.get("/holdfast/status")[1])["requests"] == 0)
    procs.wait_until(lambda: rows(g, "SELECT sum(is_last) FROM usage") == [(len(asked),)],
                     why=lambda: repr(rows(g, "SELECT sum(is_last), count(*) FROM usage")))
    assert rows(g, "SELECT count(*), max(n) FROM (SELECT sum(is_last) n FROM usage GROUP BY request)") == [(len(asked), 1)]
    assert rows(g, "SELECT key, sum(micro), sum(tokens_in + tokens_out) FROM usage GROUP BY key") == \
        rows(g, "SELECT key, sum(micro), sum(tokens) FROM spent GROUP BY key")
    assert rows(g, "SELECT count(*) FROM hold") == [(0,)]
    kim = account(g, "kim")
    assert float(kim["cost_held"]) == 0 and kim["active"] == 0
    assert rows(g, "SELECT sum(micro) FROM spent WHERE key = 'kim'")[0][0] == round(float(kim["cost_today"]) * 1e6)


def test_client_that_leaves_while_its_hold_waits_for_the_disk(house):
    g = house([{"name": "kim", "key": KIM, "money-per-day": "1"}])
    g.wait_hosts(cloud="up")
    lock = sqlite3.connect(g.db, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    body = json.dumps(body_of("openai", "far", False))
    c = socket.create_connection(("127.0.0.1", g.port))
    c.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Length: %d\r\n\r\n%s"
               % (PATHS["openai"], KIM, len(body), body)).encode())
    procs.wait_until(lambda: float(account(g, "kim")["cost_held"]) > 0)
    c.close()
    procs.wait_until(lambda: account(g, "kim")["active"] == 0)
    lock.execute("ROLLBACK")
    lock.close()
    assert float(account(g, "kim")["cost_held"]) == 0
    (row,) = wait_rows(g, 1)
    assert row[6:] == (0, "client-left") and not [e for e in g.cloud.log() if e["model"] == "ok"]
    procs.wait_until(lambda: rows(g, "SELECT count(*) FROM hold") == [(0,)] and g.status()["requests"] == 0)


def test_reload_takes_over_keys_and_prices(house):
    g = house([{"name": "kim", "key": KIM}])
    Answer(g.port, "openai", "far", False, headers=bearer(KIM)).whole()
    with open(g.file) as f:
        conf = json.load(f)
    conf["gateway"]["keys"] = [{"name": "kim", "key": "another", "money-in-all": "0.0001"}]
    conf["gateway"]["prices"] = [{**PRICE, "input": "2"}]
    with open(g.file, "w") as f:
        json.dump(conf, f)
    g.p.signal(signal.SIGHUP)
    procs.wait_until(lambda: "configuration reloaded" in g.p.text())
    assert Answer(g.port, "openai", "far", False, headers=bearer(KIM)).status == 401
    a = Answer(g.port, "openai", "far", False, headers=bearer("another"))
    assert a.status == 429 and "0.000043 of 0.0001 left" in a.error, vars(a)  # 57 were spent before


def test_budget_without_a_journal_is_no_configuration(holdfast, tmp_path):
    for more in ({"money-per-day": "1"}, {"keys": [{"name": "a", "key": "k", "tokens-per-day": 1}]}):
        (tmp_path / "h.yml").write_text(json.dumps({"gateway": {
            "hosts": [{"name": "a", "url": "http://127.0.0.1:9"}], **more}}))
        holdfast("gateway", "-config", tmp_path / "h.yml", "--config-validate").failed(2, "journal")


# ---- overrides ----

def test_override_by_command(house, tmp_path):
    file = tmp_path / "override.json"
    file.write_text('{"elsewhere":{"healthy":true},"cloud":{"healthy":true}}')  # other people's stays
    g = house(**{"override-file": str(file)})
    g.wait_hosts(local="up", cloud="up")
    said = g.cli("override", "set", "cloud", "--for", "2h", "--why", "new fan", "--by", "kim").ok()
    assert "new fan" in said.out and "warning" not in said.err
    g.wait_hosts(cloud="drained")
    entry = json.loads(file.read_text())
    assert entry["elsewhere"] == {"healthy": True}
    assert entry["cloud"]["healthy"] is False and entry["cloud"]["override"] is True and entry["cloud"]["by"] == "kim"
    Answer(g.port, "openai", "both", False).whole("local")
    hosts = {h["name"]: h for h in g.status()["hosts"]}
    assert hosts["cloud"]["override"]["why"] == "new fan" and hosts["local"]["override"] is None
    assert "new fan" in g.cli("hosts").ok().out
    g.cli("override", "clear", "cloud").ok()
    g.wait_hosts(cloud="up")
    assert "cloud" not in json.loads(file.read_text())
    g.cli("override", "clear", "cloud").failed(3, "no override")
    r = g.cli("override", "set", "nobody").failed(3, "no host")
    assert "{" not in r.err  # its text, not its JSON
    assert "24h" in g.cli("override", "set", "cloud").ok().err


def test_pin_of_a_route(house, tmp_path):
    file = tmp_path / "override.json"
    g = house(**{"override-file": str(file)})
    g.wait_hosts(local="up", cloud="up")
    Answer(g.port, "openai", "both", False).whole("cloud")
    g.cli("override", "pin", "both", "local", "--for", "1h", "--why", "test", "--by", "kim").ok()
    a = Answer(g.port, "openai", "both", False).whole("local")
    assert a.headers["x-holdfast-route-reason"] == "override"
    assert "kim until" in g.cli("routes", "explain", "both").ok().out
    assert [(p["route"], p["host"]) for p in g.status()["pins"]] == [("both", "local")]
    Answer(g.port, "openai", "both", False, headers={"X-Holdfast-Pin-Host": "cloud"}).whole("cloud")
    listed = g.cli("override", "list", "--json").ok().json()["overrides"]
    assert [(o["kind"], o["name"], o["pin"]) for o in listed] == [("route", "both", "local")]
    g.cli("override", "pin", "near", "cloud").failed(3, "does not go to")
    g.cli("override", "clear", "both").ok()
    Answer(g.port, "openai", "both", False).whole("cloud")
    text = json.loads(file.read_text())
    text["route:both"] = {"healthy": True, "override": True, "pin": "local", "expires": "2001-01-01T00:00:00Z"}
    file.write_text(json.dumps(text))  # over: does not count
    os.utime(file)
    Answer(g.port, "openai", "both", False).whole("cloud")


def test_override_api_wants_json_and_a_place(house):
    g = house()
    url = "http://127.0.0.1:%d/holdfast/override" % g.port
    assert httpx.post(url, json={"host": "cloud"}).status_code == 409  # no override-file
    h = house(**{"override-file": "override.json"})
    url = "http://127.0.0.1:%d/holdfast/override" % h.port
    assert httpx.post(url, content=b'{"host":"cloud"}', headers={"Content-Type": "text/plain"}).status_code == 415
    for bad in ({}, {"host": "cloud", "route": "both"}, {"route": "both"}, {"host": "cloud", "for": "soon"},
                {"host": "cloud", "expires": "2001-01-01T00:00:00Z"}, {"host": 7}):
        r = httpx.post(url, json=bad)
        assert r.status_code == 400, (bad, r.text)
    r = httpx.post(url, json={"host": "cloud", "expires": "2099-01-01T00:00:00Z"})
    assert r.status_code == 200 and r.json()["warning"] is None
    assert PATHS  # the fronts go on meanwhile
    Answer(h.port, "openai", "both", False).whole("local")
