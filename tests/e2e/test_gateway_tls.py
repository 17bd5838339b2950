"""gateway.tls-cert: the vendors' clients with a CA of ours, streams, slow readers, handshakes that never end, and a
certificate that is renewed while streams run."""
import http.client
import json
import shutil
import signal
import socket
import ssl
import threading
import time

import anthropic
import httpx
import httpx2
import ollama
import openai
import procs
import pytest
from azure import make_ca
from gatewaykit import TEXT, Fake, Gateway

HI = [{"role": "user", "content": "hi"}]


class TlsGateway(Gateway):
    """Asked over TLS."""

    ca = None

    def get(self, path, headers=None, method="GET", body=None):
        c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.ca)
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return r.status, r.read()


@pytest.fixture
def tls(holdfast, running, tmp_path):
    def make(**keys):
        ca, cert, key = make_ca(tmp_path)
        TlsGateway.ca = ssl.create_default_context(cafile=ca)
        a = Fake(running)
        g = TlsGateway(holdfast, tmp_path, [{"name": "a", "url": a.url(), "parallel": 64}],
                       [{"name": n, "to": ["a/" + n]} for n in ("ok", "flood", "forever", "slow")],
                       **{"tls-cert": cert, "tls-key": key, **keys})
        g.a, g.url, g.cert, g.key = a, "https://127.0.0.1:%d" % g.port, cert, key
        g.wait_hosts(a="up")
        return g
    return make


def shown(g):
    """The certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", g.port), timeout=20) as s:
        with g.ca.wrap_socket(s, server_hostname="127.0.0.1") as t:
            return t.getpeercert()["serialNumber"]


def test_real_clients(tls):
    g = tls()
    o = openai.OpenAI(base_url=g.url + "/v1", api_key="x", max_retries=0, http_client=httpx.Client(verify=g.ca))
    a = anthropic.Anthropic(base_url=g.url, api_key="x", max_retries=0, http_client=httpx2.Client(verify=g.ca))
    n = ollama.Client(g.url, verify=g.ca)
    for _ in range(3):  # on kept connections, too
        assert o.chat.completions.create(model="ok", messages=HI).choices[0].message.content == TEXT
        parts = o.chat.completions.create(model="ok", messages=HI, stream=True)
        assert "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == TEXT
        with a.messages.stream(model="ok", max_tokens=9, messages=HI) as s:
            assert "".join(s.text_stream) == TEXT
        assert "".join(p.message.content for p in n.chat("ok", HI, stream=True)) == TEXT
    big = [{"role": "user", "content": "x" * 3_000_000}]  # many records
    assert o.chat.completions.create(model="ok", messages=big).choices[0].message.content == TEXT
    with pytest.raises(openai.APIConnectionError):  # a CA that is not ours
        openai.OpenAI(base_url=g.url + "/v1", api_key="x", max_retries=0).chat.completions.create(model="ok", messages=HI)
    with pytest.raises(httpx.HTTPError):  # no TLS at all
        httpx.get("http://127.0.0.1:%d/healthz" % g.port)
    assert "answers health checks" in g.cli("hosts").ok().out


def test_a_slow_reader_holds_the_host_back_and_nobody_else(tls):
    g = tls()
    body = json.dumps({"model": "flood", "messages": HI, "stream": True})
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    raw.connect(("127.0.0.1", g.port))
    slow = g.ca.wrap_socket(raw, server_hostname="127.0.0.1")
    slow.sendall(("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)).encode())
    assert slow.recv(1000)
    before = procs_rss(g.p.pid)
    for _ in range(20):
        r = httpx.post(g.url + "/v1/chat/completions", json={"model": "ok", "messages": HI}, verify=g.ca, timeout=60)
        assert r.json()["choices"][0]["message"]["content"] == TEXT
    assert procs_rss(g.p.pid) < before + 40  # of 100 MB that the host would send
    got, end = 0, time.monotonic() + 60
    while got < 2_000_000 and time.monotonic() < end:  # and it goes on when it is read
        got += len(slow.recv(65536))
    assert got >= 2_000_000
    slow.close()


def procs_rss(pid):
    with open("/proc/%d/status" % pid) as f:
        return [int(x.split()[1]) for x in f if x.startswith("VmRSS")][0] / 1024


def test_handshakes_that_never_end_take_no_place_from_others(tls):
    g = tls(**{"connections-per-client": 50})
    half = []
    for n in range(80):  # what is above the limit is closed, the rest waits for its time-out
        s = socket.create_connection(("127.0.0.1", g.port), timeout=20, source_address=("127.0.0.2", 0))
        s.sendall(b"\x16\x03\x01\x02\x00\x01" if n % 2 else b"\x16")
        half.append(s)

    def closed(s):
        s.setblocking(False)
        try:
            return s.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    procs.wait_until(lambda: sum(closed(s) for s in half) >= 30)
    assert sum(not closed(s) for s in half) <= 50
    for _ in range(3):
        r = httpx.post(g.url + "/v1/chat/completions", json={"model": "ok", "messages": HI}, verify=g.ca, timeout=60)
        assert r.json()["choices"][0]["message"]["content"] == TEXT
    for s in half:
        s.close()


def test_sighup_shows_a_renewed_certificate_and_cuts_nothing(tls, tmp_path):
    g = tls()
    first = shown(g)
    o = openai.OpenAI(base_url=g.url + "/v1", api_key="x", max_retries=0, http_client=httpx.Client(verify=g.ca))
    heard, go_on = [], threading.Event()

    def listen():
        for p in o.chat.completions.create(model="forever", messages=HI, stream=True):
            heard.append(p)
            if go_on.is_set():
                return

    t = threading.Thread(target=listen, daemon=True)
    t.start()
    procs.wait_until(lambda: len(heard) > 3)
    # Not the key of that certificate: said, and the old pair stays.
    (tmp_path / "new").mkdir()
    ca, cert, key = make_ca(tmp_path / "new")
    shutil.copy(cert, g.cert)
    g.p.signal(signal.SIGHUP)
    procs.wait_until(lambda: "configuration not reloaded" in g.p.text())
    assert "not that of the certificate" in g.p.text() and "PRIVATE" not in g.p.text()
    assert shown(g) == first
    shutil.copy(key, g.key)
    g.p.signal(signal.SIGHUP)
    procs.wait_until(lambda: "configuration reloaded" in g.p.text())
    TlsGateway.ca = ssl.create_default_context(cafile=ca)
    assert shown(g) != first
    now = len(heard)
    procs.wait_until(lambda: len(heard) > now + 5)  # the stream that ran goes on
    go_on.set()
    t.join(timeout=60)
    r = httpx.post(g.url + "/v1/chat/completions", json={"model": "ok", "messages": HI}, verify=g.ca, timeout=60)
    assert r.json()["choices"][0]["message"]["content"] == TEXT
    with open(g.key, "r+") as f:  # the certificate is the one before: its key is looked at all the same
        f.truncate(300)
    said = g.p.text().count("configuration not reloaded")
    g.p.signal(signal.SIGHUP)
    procs.wait_until(lambda: g.p.text().count("configuration not reloaded") > said)
    shutil.copy(key, g.key)
    for broken in ("", "-----BEGIN CERTIFICATE-----\nbroken\n"):
        with open(g.cert, "w") as f:
            f.write(broken)
        said = g.p.text().count("configuration not reloaded")
        g.p.signal(signal.SIGHUP)
        procs.wait_until(lambda: g.p.text().count("configuration not reloaded") > said)
    assert shown(g) != first
