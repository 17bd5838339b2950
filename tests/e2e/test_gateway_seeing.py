"""What an operator sees of requests: metrics, one line a request in the log, traces that go on."""
import json
import re

import procs
import pytest
from gatewaykit import KINDS, Fake, Gateway
from test_gateway import seen


@pytest.fixture
def g(holdfast, running, tmp_path):
    a = Fake(running)
    g = Gateway(holdfast, tmp_path, [{"name": "a", "url": a.url(), "parallel": 9}],
                [{"name": "m", "to": ["a/ok"]}, {"name": "bad", "to": ["a/error-later"]}])
    g.a = a
    g.wait_hosts(a="up")
    return g


def metrics(g):
    """{sample with its labels: value}; every line must be one, and every family has its head once."""
    text = g.get("/metrics")[1].decode()
    heads = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(heads) == len(set(heads))
    out = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert re.fullmatch(r'[a-z_]+(\{([a-z_]+="[^"]*",?)+\})?', name), line
            assert name not in out, line
            out[name] = float(value)
    return out


def test_histograms_under_opentelemetrys_names(g):
    for front in KINDS:
        g.ask(front, "m", True).whole()
        g.ask(front, "bad", True).broken_off()
    g.get("/metrics")
    labels = '{gen_ai_operation_name="chat",gen_ai_provider_name="ollama",gen_ai_request_model="ok",server_address="a"'
    now = metrics(g)
    for family in ("gen_ai_client_operation_duration_seconds", "gen_ai_server_time_to_first_token_seconds",
                   "gen_ai_server_time_per_output_token_seconds"):
        assert now[family + "_count" + labels + "}"] == 3
        buckets = [v for k, v in now.items() if k.startswith(family + "_bucket" + labels)]
        assert buckets == sorted(buckets) and buckets[-1] == 3 and len(buckets) > 10
    assert now["gen_ai_client_token_usage_sum" + labels + ',gen_ai_token_type="input"}'] == 21
    assert now["gen_ai_client_token_usage_sum" + labels + ',gen_ai_token_type="output"}'] == 15
    assert now['holdfast_gateway_requests_total{outcome="ok"}'] == 3
    assert now['holdfast_gateway_requests_total{outcome="error-in-stream"}'] == 3


def lines(g):
    g.get("/healthz")  # lines are written when the answer is out
    return [json.loads(line) for line in g.p.text().splitlines()
            if line.startswith("{") and '"request"' in line]


def test_one_line_a_request_without_what_was_said(holdfast, running, tmp_path, monkeypatch):
    a = Fake(running)
    file_ = {"logging": {"type": "json"}}
    g = Gateway(holdfast, tmp_path, [{"name": "a", "url": a.url()}], [{"name": "m", "to": ["a/ok"]}], top=file_)
    g.wait_hosts(a="up")
    trace = "0af7651916cd43dd8448eb211c80319c"
    g.ask("openai", "m", True, headers={"traceparent": "00-%s-b7ad6b7169203331-01" % trace,
                                        "x-stainless-retry-count": "2", "Authorization": "Bearer geheim"},
          messages=[{"role": "user", "content": "a secret question"}]).whole()
    g.ask("ollama", "nobody-has-it", False)
    procs.wait_until(lambda: len(lines(g)) == 2)
    good, bad = lines(g)
    assert (good["api"], good["model"], good["host"], good["served"]) == ("openai-chat", "m", "a", "ok")
    assert (good["outcome"], good["trace"], good["client_retry"], good["tokens_out"]) == ("ok", trace, 2, 5)
    assert bad["outcome"] == "no-such-model" and bad["id"] != good["id"]
    for word in ("secret", "geheim", "friend"):
        assert word not in g.p.text()


def test_traces_go_on_with_a_span_of_ours(g):
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    g.ask("openai", "m", False, headers={"traceparent": "00-%s-%s-01" % (trace, span), "tracestate": "v=1"})
    g.ask("openai", "m", False, headers={"traceparent": "nonsense", "tracestate": "v=1"})
    g.ask("openai", "m", False)
    first, second, third = [e["headers"] for e in seen(g.a, "ok")]
    version, got, parent, flags = first["traceparent"].split("-")
    assert (version, got, flags, first["tracestate"]) == ("00", trace, "01", "v=1") and parent != span
    for made in (second, third):
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", made["traceparent"])
        assert trace not in made["traceparent"] and "tracestate" not in made
    assert second["traceparent"] != third["traceparent"]
