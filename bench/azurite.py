"""Azurite, the Azure storage emulator, as a replica: a client, the server, what its access log tells."""
import base64
import email.utils
import hashlib
import hmac
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET

from measure import TICK

ACCOUNT = "devstoreaccount1"
# the well-known key of Azurite's development account
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Blob:
    """A minimal Azure Blob client (Shared Key) for the harness itself."""
    own = {}                # (container, kind) -> requests; not the replicator's

    def __init__(self, port):
        self.port = port
        self.c = None

    def req(self, method, path, query=None, body=b"", headers=None):
        query = query or {}
        h = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2020-10-02"}
        h.update(headers or {})
        if method == "PUT":
            h.setdefault("Content-Length", str(len(body)))
        cl = h.get("Content-Length", "")
        ch = "".join("%s:%s\n" % (k.lower(), h[k]) for k in sorted(h, key=str.lower) if k.lower().startswith("x-ms-"))
        cr = "/%s/%s%s" % (ACCOUNT, ACCOUNT, urllib.parse.quote(path))
        for k in sorted(query):
            cr += "\n%s:%s" % (k, query[k])
        sts = "\n".join([method, "", "", "" if cl in ("0", "") else cl, "", h.get("Content-Type", ""), "", "", "", "", "",
                         h.get("Range", "")]) + "\n" + ch + cr
        sig = base64.b64encode(hmac.new(base64.b64decode(KEY), sts.encode(), hashlib.sha256).digest()).decode()
        h["Authorization"] = "SharedKey %s:%s" % (ACCOUNT, sig)
        own = (path.split("/")[1], "LIST" if query.get("comp") == "list" else
               "PUT container" if "restype" in query else "PUT blob" if method == "PUT" else method)
        Blob.own[own] = Blob.own.get(own, 0) + 1
        url = "/" + ACCOUNT + urllib.parse.quote(path) + ("?" + urllib.parse.urlencode(query) if query else "")
        for k in range(2):
            if self.c is None:
                self.c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
                self.c.connect()
                self.c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.c.request(method, url, body=body or None, headers=h)
                r = self.c.getresponse()
                return r.status, r.read()
            except (http.client.HTTPException, OSError):
                self.c = None
                if k:
                    raise

    def create(self, cont):
        return self.req("PUT", "/" + cont, {"restype": "container"})

    def put(self, cont, name, data):
        return self.req("PUT", "/%s/%s" % (cont, name), None, data,
                        {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"})

    def get(self, cont, name):
        return self.req("GET", "/%s/%s" % (cont, name))

    def url(self, cont, name):
        """Readable without headers: an account SAS."""
        end = "2099-01-01T00:00:00Z"
        text = "\n".join([ACCOUNT, "r", "b", "o", "", end, "", "http,https", "2020-12-06", ""]) + "\n"
        sig = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
        sas = urllib.parse.urlencode({"sp": "r", "ss": "b", "srt": "o", "se": end, "spr": "http,https",
                                      "sv": "2020-12-06", "sig": sig})
        return "http://127.0.0.1:%d/%s/%s/%s?%s" % (self.port, ACCOUNT, cont, urllib.parse.quote(name), sas)

    def list(self, cont):
        out, marker = {}, ""
        while True:
            q = {"restype": "container", "comp": "list", "maxresults": "5000"}
            if marker:
                q["marker"] = marker
            st, b = self.req("GET", "/" + cont, q)
            if st != 200:
                raise RuntimeError("list: %d %s" % (st, b[:200]))
            x = ET.fromstring(b)
            for e in x.iter("Blob"):
                out[e.find("Name").text] = int(e.find("Properties/Content-Length").text)
            m = x.find("NextMarker")
            marker = m.text if m is not None and m.text else ""
            if not marker:
                return out


class Azurite:
    """Real Azurite (blob service), its access log read line by line: the time a
    line arrives is the time the request had been answered."""
    LINE = re.compile(rb'"(\w+) /' + ACCOUNT.encode() + rb'([^ ?]*)(?:\?([^ ]*))? HTTP/[\d.]+" (\d+)')

    def __init__(self, azurite, workdir, memory=False):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        self.port = s.getsockname()[1]
        s.close()
        b = azurite
        if os.path.basename(b) == "azurite":
            b = os.path.join(os.path.dirname(b), "azurite-blob")
        loc = os.path.join(workdir, "azurite")
        os.makedirs(loc, exist_ok=True)
        argv = ["node", os.path.realpath(b), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
                "--skipApiVersionCheck", "--disableTelemetry", "--location", loc]
        if memory:
            argv = argv[:-2] + ["--inMemoryPersistence"]
        self.events = []        # (t, method, kind, rel, status)
        self.proc = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env=dict(os.environ, AZURITE_ACCOUNTS="%s:%s" % (ACCOUNT, KEY)), cwd=workdir)
        self.pid = self.proc.pid
        self.text = []
        threading.Thread(target=self._read, daemon=True).start()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                break
            except OSError:
                time.sleep(0.1)
                if self.proc.poll() is not None:
                    raise RuntimeError("azurite: " + b"".join(self.text).decode()[:500])
        self.blob = Blob(self.port)

    def _read(self):
        for line in self.proc.stdout:
            t = time.time()
            m = self.LINE.search(line)
            if not m:
                self.text.append(line)
                continue
            q = (m[3] or b"").decode()
            meth = m[1].decode()
            kind = meth
            if meth == "PUT":
                kind = "PUT block" if "comp=block&" in q + "&" else "PUT blocklist" if "comp=blocklist" in q else "PUT blob"
                if "restype=container" in q:
                    kind = "PUT container"
            elif meth == "GET" and "comp=list" in q:
                kind = "LIST"
            self.events.append((t, kind, urllib.parse.unquote(m[2].decode()), int(m[4])))

    def cpu(self):
        with open("/proc/%d/stat" % self.pid) as f:
            s = f.read().rsplit(")", 1)[1].split()
        return (int(s[11]) + int(s[12])) / TICK

    def stop(self):
        if self.proc.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                os.kill(self.pid, signal.SIGKILL)
                self.proc.wait()


class AbsReplica:
    kind = "abs"

    def __init__(self, azurite, cont):
        self.az, self.cont = azurite, cont
        self.e0 = len(azurite.events)
        st, b = azurite.blob.create(cont)
        if st not in (201, 409):
            raise RuntimeError("create container: %d %s" % (st, b[:200]))
        self.sizes = {}

    def entry(self, name):
        return {"type": "abs", "endpoint": "http://127.0.0.1:%d/%s" % (self.az.port, ACCOUNT), "account-name": ACCOUNT,
                "account-key": KEY, "bucket": self.cont, "path": name}

    def quick(self):
        """objects by the access log alone (no LIST): {rel: (time, 0)}; not the trial of create-only
        puts, which comes before the first file and is deleted"""
        pre = "/" + self.cont + "/"
        o = {}
        for t, kind, path, st in list(self.az.events[self.e0:]):
            if kind in ("PUT blob", "PUT blocklist") and st == 201 and path.startswith(pre) and "/probe/" not in path:
                o[path[len(pre):]] = (t, 0)
        return o

    def puts_and_deletes(self):
        """[(time, name, is it a put)] of objects, out of the access log"""
        pre = "/" + self.cont + "/"
        done = {"PUT blob": 201, "PUT blocklist": 201, "DELETE": 202}
        return [(t, path[len(pre):], kind != "DELETE") for t, kind, path, st in list(self.az.events[self.e0:])
                if path.startswith(pre) and done.get(kind) == st]

    def objects(self):
        o = self.quick()
        self.sizes.update(self.az.blob.list(self.cont))
        return {r: (t, self.sizes.get(r, 0)) for r, (t, _) in o.items()}

    def requests(self):
        pre = "/" + self.cont
        c = {}
        for t, kind, path, st in list(self.az.events[self.e0:]):
            if path == pre or path.startswith(pre + "/"):
                k = kind if st < 400 else "%s %d" % (kind, st)
                c[k] = c.get(k, 0) + 1
        for (cont, kind), n in Blob.own.items():    # the harness's own
            if cont == self.cont and kind in c:
                c[kind] = c[kind] - n
        return {k: n for k, n in c.items() if n > 0}

    def localize(self, rels, tmp):
        out = {}
        b = Blob(self.az.port)
        for i, r in enumerate(rels):
            st, d = b.get(self.cont, r)
            if st != 200:
                continue
            p = os.path.join(tmp, "o%06d" % i)
            with open(p, "wb") as f:
                f.write(d)
            out[r] = p
        return out

    def close(self):
        pass
