"""Azurite for end-to-end tests, and a client of its own for looking at what is there.

The client signs by itself, in Python: what it accepts and sees does not depend on the code under
test. `Azurite` is one server for a whole test session; each test gets a container of its own.
"""
import base64
import email.utils
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import threading
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

    def stop(self):
        """In order: killed, it forgets what it accepted in its last seconds."""
        self.p.terminate()
        try:
            self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.p.kill()
        self.p.wait()


class Container:
    """A container, seen from outside."""

    def __init__(self, port, name, ca=None):
        self.port, self.name = port, name
        self.tls = ssl.create_default_context(cafile=ca) if ca else None
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
        c = (http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls) if self.tls
             else http.client.HTTPConnection("127.0.0.1", self.port, timeout=20))
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
                meta = {m.tag: m.text for m in b.iterfind("Metadata/*")}
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


def make_ca(directory):
    """A CA and a certificate of it for 127.0.0.1: paths of ca, cert, key."""
    d = str(directory)

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=d, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=test CA")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "req.pem", "-subj", "/CN=127.0.0.1")
    with open(os.path.join(d, "ext"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "cert.pem")
    return tuple(os.path.join(d, n) for n in ("ca.pem", "cert.pem", "key.pem"))


class TokenService:
    """The token services of Azure, faithful to their documented requests and answers: Entra's
    client credentials (secret or assertion), the identity endpoint of container apps, the metadata
    address of machines. A fake: there is no real one without Azure. Tokens are what Azurite's OAuth
    mode accepts."""
    TENANT, CLIENT, SECRET = "11111111-2222-3333-4444-555555555555", "client-of-ours", "s3cret/+&="

    def __init__(self, cert=None, key=None, life=3600):
        self.life, self.asked, self.fail = life, [], 0
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                service.answer(self, {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                service.answer(self, {k: v[0] for k, v in urllib.parse.parse_qs(body).items()})

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def token(self):
        now = int(time.time())
        claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/%s/" % self.TENANT,
                  "iat": now, "nbf": now - 60, "exp": now + 86400, "tid": self.TENANT, "oid": self.CLIENT, "ver": "1.0"}
        part = [base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=").decode()
                for x in ({"alg": "none", "typ": "JWT"}, claims)]
        return ".".join(part + ["c2ln"])

    def problem(self, h, path, query, form):
        """(status, error, description), None if the request is right."""
        if self.fail > 0:
            self.fail -= 1
            return 503, "temporarily_unavailable", "busy"
        if path == "/%s/oauth2/v2.0/token" % self.TENANT:
            if form.get("grant_type") != "client_credentials" or form.get("scope") != "https://storage.azure.com/.default":
                return 400, "invalid_request", "AADSTS900144: %s" % form
            if form.get("client_id") != self.CLIENT:
                return 400, "unauthorized_client", "AADSTS700016: no such application"
            has_assertion = form.get("client_assertion") == "assertion.of.ours" and form.get(
                "client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            if form.get("client_secret") != self.SECRET and not has_assertion:
                return 401, "invalid_client", "AADSTS7000215: Invalid client secret provided."
            return None
        if query.get("resource") != "https://storage.azure.com/":
            return 400, "invalid_request", "resource"
        if path == "/app/token":
            good = h.headers["X-IDENTITY-HEADER"] == "header-of-ours" and query.get("api-version") == "2019-08-01"
        else:
            good = (path == "/metadata/identity/oauth2/token" and h.headers["Metadata"] == "true" and
                    query.get("api-version") == "2018-02-01")
        return None if good else (400, "invalid_request", "identity")

    def answer(self, h, form):
        url = urllib.parse.urlsplit(h.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        self.asked.append(url.path)
        bad = self.problem(h, url.path, query, form)
        if bad:
            status, body = bad[0], {"error": bad[1], "error_description": bad[2] + "\r\nTrace ID: x", "error_codes": [1]}
        elif url.path.startswith("/" + self.TENANT):
            status, body = 200, {"token_type": "Bearer", "expires_in": self.life, "access_token": self.token()}
        else:  # the identity endpoints give their numbers as text
            status, body = 200, {"token_type": "Bearer", "expires_on": str(int(time.time()) + self.life),
                                 "resource": "https://storage.azure.com/", "access_token": self.token()}
        data = json.dumps(body).encode()
        h.send_response(status)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)
