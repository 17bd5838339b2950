"""Starts a gateway and fake hosts (fake_host.py), and asks it in each dialect without a client library."""
import http.client
import json
import os
import socket
import sys
import time

import procs

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = "Hold fast, friend."
PATHS = {"ollama": "/api/chat", "openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
KINDS = tuple(PATHS)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Fake:
    """One fake host process; on another machine if it is given one."""

    def __init__(self, group, *flags, port=None, machine=None):
        self.group, self.port, self.flags, self.machine = group, port or free_port(), flags, machine
        self.address = machine.address if machine else "127.0.0.1"
        self.start()

    def start(self):
        self.p = self.group.start([*(self.machine.run if self.machine else ()), sys.executable,
                                   os.path.join(HERE, "fake_host.py"), self.port, "--bind",
                                   "0.0.0.0" if self.machine else self.address, *self.flags])
        procs.wait_until(lambda: "fake host on" in self.p.text(), why=self.p.text)

    def url(self, kind="ollama"):
        return "http://%s:%d%s" % (self.address, self.port, "/v1" if kind == "openai" else "")

    def log(self):
        c = http.client.HTTPConnection(self.address, self.port, timeout=20)
        c.request("GET", "/__log")
        return json.loads(c.getresponse().read())

    def set(self, **what):
        c = http.client.HTTPConnection(self.address, self.port, timeout=20)
        c.request("POST", "/__set", json.dumps(what))
        assert c.getresponse().status == 200


class Gateway:
    """A running gateway with a configuration made of Python values."""

    env = None

    def __init__(self, holdfast, directory, hosts, routes, top=(), **keys):
        self.port = free_port()
        self.holdfast = holdfast
        self.file = os.path.join(str(directory), "gateway-%d.yml" % self.port)
        section = {"listen": "127.0.0.1:%d" % self.port, "probe-interval": "1s", "hosts": hosts,
                   "routes": routes, **keys}
        with open(self.file, "w") as f:
            json.dump({"gateway": section, **dict(top)}, f)  # JSON is YAML
        self.p = holdfast.start("gateway", "-config", self.file, env=self.env)
        procs.wait_until(lambda: self.is_up() or not self.p.alive, timeout=30, why=self.p.text)
        assert self.p.alive, self.p.text()

    def is_up(self):
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def wait_hosts(self, **states):
        """Until the named hosts are in the named states ('up' also means recovering)."""
        def fits():
            now = {h["name"]: h["state"].replace("recovering", "up") for h in self.status()["hosts"]}
            return all(now[k] == v for k, v in states.items())
        procs.wait_until(fits, timeout=60, why=lambda: json.dumps(self.status(), indent=1))

    def get(self, path, headers=None, method="GET", body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return r.status, r.read()

    def status(self):
        return json.loads(self.get("/holdfast/status")[1])

    def ask(self, front, model, stream, **more):
        return Answer(self.port, front, model, stream, **more)

    def cli(self, *args):
        return self.holdfast("gateway", *args, "-config", self.file)


def body_of(front, model, stream, **more):
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}], **more}
    if front == "anthropic":
        body.setdefault("max_tokens", 100)
    return body


class Answer:
    """What came: status, text of the answer, error text, whether its dialect's end was seen, whether the
    connection was cut."""

    def __init__(self, port, front, model, stream, headers=None, timeout=60, **more):
        self.front, self.text, self.error, self.is_done, self.is_cut = front, "", None, False, False
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.started = time.monotonic()
        c.request("POST", PATHS[front], json.dumps(body_of(front, model, stream, **more)),
                  {"Content-Type": "application/json", **(headers or {})})
        r = c.getresponse()
        self.first_s = time.monotonic() - self.started
        self.status, self.headers = r.status, {k.lower(): v for k, v in r.getheaders()}
        try:
            self.raw = r.read()
        except http.client.IncompleteRead as e:
            self.raw, self.is_cut = e.partial, True
        if self.status == 200 and stream:
            self.read_stream()
        else:
            self.read_whole(json.loads(self.raw))

    def read_whole(self, body):
        if self.status != 200:
            e = body["error"]
            self.error = e if isinstance(e, str) else e["message"]
            assert isinstance(e, str) == (self.front == "ollama"), "an error in the wrong dialect: %s" % body
            assert (body.get("type") == "error") == (self.front == "anthropic"), body
            return
        self.is_done = True
        self.text = {"ollama": lambda: body["message"]["content"],
                     "openai": lambda: body["choices"][0]["message"]["content"],
                     "anthropic": lambda: body["content"][0]["text"]}[self.front]()
        if self.front == "ollama":
            self.is_done = body["done"] is True

    def read_stream(self):
        for line in self.raw.decode().splitlines():
            if self.front != "ollama":
                if not line.startswith("data: "):
                    continue
                line = line[6:]
            if line == "[DONE]":
                self.is_done = True
            elif line:
                self.read_event(json.loads(line))

    def read_event(self, e):
        if e.get("error"):
            self.error = e["error"] if isinstance(e["error"], str) else e["error"]["message"]
        elif self.front == "ollama":
            self.text += e["message"]["content"]
            self.is_done = self.is_done or e["done"]
        elif self.front == "openai":
            self.text += "".join(c["delta"].get("content") or "" for c in e["choices"])
        else:
            if e["type"] == "content_block_delta":
                self.text += e["delta"].get("text", "")
            self.is_done = self.is_done or e["type"] == "message_stop"

    def whole(self, host=None):
        assert (self.status, self.text, self.error, self.is_cut) == (200, TEXT, None, False), vars(self)
        assert self.is_done, vars(self)
        if host:
            assert self.headers["x-holdfast-host"] == host, vars(self)
        return self

    def broken_off(self):
        """The beginning came, then an error in the client's dialect, no end, and the connection was cut."""
        assert self.status == 200 and self.is_cut and not self.is_done and self.error, vars(self)
        assert self.text and TEXT.startswith(self.text), vars(self)
        assert "connection" not in self.headers
        return self
