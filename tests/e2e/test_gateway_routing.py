"""Where requests go beyond who is up: memory, prompt caches, models loaded ahead, waiting that can be seen."""
import concurrent.futures
import json
import signal

import anthropic
import ollama
import openai
import procs
import pytest
from gatewaykit import KINDS, TEXT, Fake, Gateway
from test_gateway import seen

GIB = 1 << 30


@pytest.fixture
def make(holdfast, running, tmp_path):
    """make(hosts, routes, **keys): a gateway over fakes; hosts: {name: extra keys}. g.a, g.b are the fakes."""
    def start(hosts, routes=(), up=True, **keys):
        fakes = {n: Fake(running) for n in hosts}
        for n, more in hosts.items():
            fakes[n].set(**more.pop("says", {}))
        g = Gateway(holdfast, tmp_path, [{"name": n, "url": fakes[n].url(), "parallel": 8, **more}
                                         for n, more in hosts.items()], list(routes), **keys)
        for n, f in fakes.items():
            setattr(g, n, f)
        if up:
            g.wait_hosts(**{n: "up" for n in hosts})
            # Until what they have is known: models that only a listed host has are found there.
            procs.wait_until(lambda: all(h["models"] for h in g.status()["hosts"]))
        return g
    return start


def verdicts(g, model, **query):
    q = "".join("&%s=%s" % kv for kv in query.items())
    said = json.loads(g.get("/holdfast/explain?model=%s%s" % (model, q))[1])
    return {c["host"]: (c["verdict"], c["fit"]) for c in said["candidates"]}


# ---- memory

BIG = {"models": {"big:1": 20 * GIB, "hog:1": 30 * GIB}}


def test_a_model_that_would_push_one_in_use_out_goes_elsewhere(make):
    g = make({"a": {"memory": "48GB", "says": BIG}, "b": {"memory": "48GB", "says": BIG}},
             [{"name": "m", "to": ["a/big:1", "b/big:1"]}, {"name": "busy", "to": ["a/hang"]}])
    g.ask("ollama", "m", False).whole("a")
    g.a.set(loaded={"hang:latest": 30 * GIB})
    procs.wait_until(lambda: verdicts(g, "m")["a"][1] == "fits when idle models make room")
    g.ask("ollama", "m", False).whole("a")  # nobody uses it
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        busy = pool.submit(g.ask, "ollama", "busy", True, timeout=5)
        procs.wait_until(lambda: "in use" in verdicts(g, "m")["a"][1])
        assert "does not fit" in verdicts(g, "m")["a"][0] and verdicts(g, "m")["b"][0] == "taken"
        for front in KINDS:
            g.ask(front, "m", False).whole("b")
        g.b.p.kill()
        g.wait_hosts(b="down")
        g.ask("ollama", "m", False).whole("a")  # last, but before nobody
        g.a.p.kill()
        assert busy.exception(timeout=30) or busy.result().error


def test_what_if_a_host_goes_tells_what_fits_where(make):
    g = make({"a": {"memory": "64GB", "says": BIG}, "b": {"memory": "40GB", "says": BIG}},
             [{"name": "one", "to": ["a/big:1", "b/big:1"]}, {"name": "two", "to": ["a/hog:1", "b/hog:1"]},
              {"name": "also-two", "to": ["a/hog:1", "b/hog:1"]}, {"name": "alone", "to": ["a/ok"]},
              {"name": "there", "to": ["b/ok"]}])
    g.ask("ollama", "one", False).whole("a")
    said = g.cli("what-if", "--down", "a", "--json").ok().json()
    assert said["schema"] == "holdfast.gateway-what-if/1"
    what = {r["model"]: r for r in said["routes"]}
    assert {n: r["what"] for n, r in what.items()} == {"one": "redirects", "two": "redirects",
                                                       "also-two": "redirects", "alone": "pauses",
                                                       "there": "stays"}
    assert (what["one"]["now"], what["one"]["then"]) == ("a/big:1", "b/big:1")
    assert what["one"]["requests_per_hour"] > 0 and what["one"]["tokens_out_per_hour"] > 0
    assert what["one"]["fit"].startswith("fits")
    b = said["hosts"][0]
    assert (b["name"], b["routes_more"], b["memory_bytes"]) == ("b", 3, 40 * GIB)
    assert b["added_bytes"] == 50 * GIB * 9 // 8 and b["fits"] == "no"
    text = g.cli("what-if", "--down", "a").ok().out
    assert "redirects" in text and "b/big:1" in text and "pauses" in text
    assert "requests per hour" in text and "40.0 GB" in text and "_" not in text.split("\n")[0]
    assert g.get("/holdfast/what-if")[0] == 400 and g.get("/holdfast/what-if?down=zz")[0] == 400


def test_what_if_a_host_goes_tells_what_a_cloud_would_cost(holdfast, running, tmp_path):
    a, cloud = Fake(running), Fake(running)
    g = Gateway(holdfast, tmp_path, [
        {"name": "a", "url": a.url(), "parallel": 4},
        {"name": "cloud", "kind": "openai", "url": cloud.url("openai"), "api-key": "k"}],
        [{"name": n, "to": ["a/ok", "cloud/ok if a down"]} for n in ("one", "again")],
        prices=[{"model": "cloud/*", "input": 1000, "output": 10000}])
    g.wait_hosts(a="up", cloud="up")
    for _ in range(5):
        g.ask("ollama", "one", False).whole("a")
    said = g.cli("what-if", "--down", "a", "--json").ok().json()
    for r in said["routes"]:
        assert r["what"] == "goes to a cloud" and r["then"] == "cloud/ok"
        want = (r["tokens_in_per_hour"] * 1000 + r["tokens_out_per_hour"] * 10000) / 1e6
        assert want > 0 and r["cost_more_per_hour"] == pytest.approx(want, rel=1e-4)
    # Both routes lead to one place, whose traffic moves once.
    assert said["cost_more_per_hour"] == pytest.approx(said["routes"][0]["cost_more_per_hour"], rel=.2)
    assert "cost more per hour" in g.cli("what-if", "--down", "a").ok().out


# ---- conversations stay where their prompt is cached

def test_a_conversation_stays_on_its_host(make):
    loaded = {"loaded": {"ok:latest": 1}}
    g = make({"a": {"parallel": 1, "says": loaded}, "b": {"parallel": 2, "says": loaded}})
    procs.wait_until(lambda: [h["loaded"] for h in g.status()["hosts"]] == [["ok:latest"]] * 2)
    talk = [{"role": "user", "content": "begin " + "x" * 600}]
    named = {"X-Holdfast-Session": "s1"}

    def where(messages=None, **headers):
        more = {"messages": messages} if messages else {}
        return g.ask("openai", "ok", False, headers=headers, **more).headers["x-holdfast-host"]
    pin = {"X-Holdfast-Pin-Host": "a"}
    assert where(talk, **pin) == where(None, **pin, **named) == "a"
    for n in range(3):
        talk += [{"role": "assistant", "content": "hm"}, {"role": "user", "content": str(n)}]
        assert where(talk) == where(None, **named) == "a"
        assert where() == "b"  # strangers go where there is more room
    g.a.set(loaded={})
    procs.wait_until(lambda: [len(h["loaded"]) for h in g.status()["hosts"]] == [0, 1])
    assert where(talk) == where(None, **named) == "b"  # unloaded: nothing is cached there any longer
    g.a.set(**loaded)
    procs.wait_until(lambda: [len(h["loaded"]) for h in g.status()["hosts"]] == [1, 1])
    assert where(talk) == "b"
    g.b.p.kill()
    assert where(talk) == "a"
    g.b.start()
    g.b.set(**loaded)
    g.wait_hosts(b="up")
    assert where(talk) == "a"  # b's cache was lost with it


# ---- models loaded ahead

def test_models_are_loaded_ahead_as_far_as_they_fit(make):
    g = make({"a": {"memory": "48GB", "prewarm": ["big:1", "hog:1", "none:1"], "says": BIG}})

    def loads():
        return [e["model"] for e in g.a.log() if e["path"] == "/api/generate"]
    procs.wait_until(lambda: loads() == ["big:1"])
    assert g.a.log()[-1]["ask"] == {"model": "big:1", "stream": False}
    g.a.set(loaded={"big:1": 25 * GIB})
    procs.wait_until(lambda: g.p.text().count("prewarm") >= 3)
    assert loads() == ["big:1"]  # the second does not fit beside it, the third is not there
    assert "make room" in g.p.text() and "does not have it" in g.p.text()
    g.a.p.kill()
    g.wait_hosts(a="down")
    g.a.start()
    g.a.set(**BIG)
    procs.wait_until(lambda: loads() == ["big:1"])


def test_a_changed_list_of_models_to_load_counts_at_once(make):
    g = make({"a": {"says": BIG}})
    with open(g.file) as f:
        conf = json.load(f)
    conf["gateway"]["hosts"][0]["prewarm"] = ["big:1"]
    with open(g.file, "w") as f:
        json.dump(conf, f)
    g.p.signal(signal.SIGHUP)
    procs.wait_until(lambda: [e["model"] for e in g.a.log() if e["path"] == "/api/generate"] == ["big:1"])


# ---- waiting that can be seen

def test_place_in_the_queue_and_estimate(make):
    g = make({"a": {"parallel": 1}}, [{"name": "m", "to": ["a/slow"]}], **{"early-commit": "100ms"})
    g.ask("ollama", "m", False).whole()  # so that there is an estimate
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        work = [pool.submit(g.ask, front, "m", True) for front in KINDS * 2]
        procs.wait_until(lambda: len(g.status()["waiting"]) >= 3)
        now = g.status()["waiting"]
        assert {w["for"] for w in now} == {"a"} and all(w["estimate_ms"] > 0 for w in now)
        assert sorted(w["position"] for w in now) == list(range(1, len(now) + 1))
        answers = [w.result().whole("a") for w in work if True]
    held = [a for a in answers if "x-holdfast-queue-position" in a.headers]
    assert held and all(int(a.headers["x-holdfast-queue-estimate-ms"]) > 0 for a in held)


@pytest.mark.parametrize("front", KINDS)
def test_streams_begun_early_still_move_on_and_still_fail_aloud(make, front):
    g = make({"a": {}, "b": {}}, [{"name": "cold", "to": ["a/cold"]}, {"name": "moves", "to": ["a/late-500", "b/ok"]},
                                  {"name": "fails", "to": ["a/late-500"]}], **{"early-commit": "200ms"})
    for model, host in (("cold", "a"), ("moves", "b")):
        a = g.ask(front, model, True)
        assert a.first_s < 1.2 and (a.status, a.text, a.is_done, a.is_cut) == (200, TEXT, True, False), vars(a)
        assert host in (a.headers.get("x-holdfast-host"), "b")
    a = g.ask(front, "fails", True)
    assert a.status == 200 and a.is_cut and not a.is_done and a.error == "made to fail", vars(a)
    a = g.ask(front, "fails", False)
    assert a.status == 500 and a.error == "made to fail"  # one that does not stream has its status


def test_client_libraries_take_streams_begun_early(make):
    g = make({"a": {}}, [{"name": "cold", "to": ["a/cold"]}], **{"early-commit": "200ms"})
    hi = [{"role": "user", "content": "hi"}]
    url = "http://127.0.0.1:%d" % g.port
    with openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as c:
        parts = c.chat.completions.create(model="cold", messages=hi, stream=True)
        assert "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == TEXT
    with anthropic.Anthropic(base_url=url, api_key="x", max_retries=0) as c, \
            c.messages.stream(model="cold", max_tokens=9, messages=hi) as s:
        assert s.get_final_text() == TEXT
    assert "".join(p.message.content for p in ollama.Client(url).chat("cold", hi, stream=True)) == TEXT


# ---- load-time options

def test_one_context_length_a_model_whatever_clients_say(make):
    g = make({"a": {}}, [{"name": "m", "to": ["a/ok"], "num-ctx": 16384, "keep-alive": "30m"}])
    for front, more in (("ollama", {"options": {"num_ctx": 4096}}), ("openai", {}), ("anthropic", {})):
        a = g.ask(front, "m", False, **more).whole("a")
        assert ("num_ctx" in a.headers.get("x-holdfast-dropped-params", "")) == bool(more)
    asked = [e["ask"] for e in seen(g.a, "ok")]
    assert [e["options"]["num_ctx"] for e in asked] == [16384] * 3
    assert [e["keep_alive"] for e in asked] == ["30m"] * 3
