"""Azurite for end-to-end tests, and a client of its own for looking at what is there.

The client signs by itself, in Python: what it accepts and sees does not depend on the code under
test. `Azurite` is one server for a whole test session; each test gets a container of its own.
"""
import base64
import email.utils
import hashlib
import hmac
import http.client
import os
import re
import socket
import subprocess
import time
import urllib.parse
import xml.etree.ElementTree as ET

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAIN = os.path.join(ROOT, ".cache/node/node_modules/azurite/dist/src/blob/main.js")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Azurite:
    def __init__(self, directory, *options, env=None):
        self.port = free_port()
        self.log = open(os.path.join(directory, "azurite.log"), "ab")
        self.argv = ["node", MAIN, "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location",
                     str(directory), "--silent", "--skipApiVersionCheck", "--disableTelemetry", *options]
        self.env = dict(os.environ, **(env or {}))
        self.p = None
        self.start()

    def start(self):
        self.p = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                  env=self.env)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end or self.p.poll() is not None:
                    raise AssertionError("Azurite did not start: see %s" % self.log.name) from None
                time.sleep(0.05)

    def kill(self):
        self.p.kill()
        self.p.wait()


class Container:
    """A container, seen from outside."""

    def __init__(self, port, name):
        self.port, self.name = port, name
        assert self.call("PUT", "", {"restype": "container"})[0] == 201

    def call(self, method, blob, query=None, headers=None, body=b""):
        """(status, headers, body)"""
        query = query or {}
        path = "/%s/%s" % (ACCOUNT, self.name) + ("/" + urllib.parse.quote(blob) if blob else "")
        h = {"x-ms-version": "2021-12-02", "x-ms-date": email.utils.formatdate(usegmt=True), **(headers or {})}
        ms = "".join("%s:%s\n" % (k.lower(), h[k]) for k in sorted(h, key=str.lower) if k.lower().startswith("x-ms-"))
        resource = "/%s%s" % (ACCOUNT, path) + "".join("\n%s:%s" % (k, query[k]) for k in sorted(query))
        text = "%s\n\n\n%s\n\n\n\n\n\n\n\n\n%s%s" % (method, len(body) or "", ms, resource)
        mac = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        h["Authorization"] = "SharedKey %s:%s" % (ACCOUNT, base64.b64encode(mac).decode())
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body or None, h)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def list(self, prefix=""):
        """{name: (size, metadata)}"""
        out, marker = {}, ""
        while True:
            status, _, data = self.call("GET", "", {"restype": "container", "comp": "list", "prefix": prefix,
                                                    "include": "metadata", **({"marker": marker} if marker else {})})
            assert status == 200, data
            root = ET.fromstring(data.decode("utf-8-sig"))
            for b in root.iter("Blob"):
                meta = {m.tag: m.text for m in b.find("Metadata") if b.find("Metadata") is not None}
                out[b.findtext("Name")] = (int(b.findtext("Properties/Content-Length")), meta)
            marker = root.findtext("NextMarker")
            if not marker:
                return out

    def txids(self, path, level=0):
        """[(min, max)] of a level."""
        pat = re.compile(r"^%s/ltx/%d/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$" % (re.escape(path), level))
        return [(int(m[1], 16), int(m[2], 16)) for m in map(pat.match, sorted(self.list(path + "/"))) if m]

    def top(self, path):
        return max([t[1] for level in range(10) for t in self.txids(path, level)], default=0)


def endpoint(port):
    return "http://127.0.0.1:%d/%s" % (port, ACCOUNT)


def url(container, path, port=None):
    return "abs://%s@%s/%s?endpoint=%s" % (ACCOUNT, container.name, path, endpoint(port or container.port))


def replica(container, path, port=None, **how):
    """The replica section of a configuration, as Litestream reads it too."""
    return dict({"type": "abs", "account-name": ACCOUNT, "account-key": KEY, "bucket": container.name,
                 "endpoint": endpoint(port or container.port), "path": path, "sync-interval": "50ms"}, **how)
