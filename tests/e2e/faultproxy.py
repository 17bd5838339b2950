"""A proxy between a store's client and its server that harms what passes through.

    proxy = FaultProxy(server_port)
    proxy.add("PUT", "/ltx/0/", "reset-after")       # the next such request; times=N for more

Faults: reset-before (nothing reaches the server), reset-after (the server has done it, the answer
is lost), status-NNN (the server is not asked; retry_after=S), drip (the answer comes slowly),
truncate (half of the answer's body, then a reset), hang (the server is not asked and no answer ever
comes), slow-S (the server is asked S seconds later), empty-list (a stale listing: nothing is there). `down` refuses everything while it is True;
`clock` (seconds) is how far the server's clock is off: requests dated more than 15 minutes from it
are refused as Azure does, which Azurite does not check.
Requests are passed on as they are, signatures hold (Azure's do not cover the host).
"""
import email.utils
import http.client
import re
import socket
import socketserver
import struct
import threading
import time


EMPTY_LIST = '<?xml version="1.0"?><EnumerationResults><Blobs></Blobs><NextMarker /></EnumerationResults>'


class Fault:
    def __init__(self, method, pattern, kind, times, retry_after):
        self.method, self.pattern, self.kind = method, re.compile(pattern), kind
        self.left, self.retry_after, self.hits = times, retry_after, 0


class FaultProxy:
    def __init__(self, port):
        self.target = port
        self.lock = threading.Lock()
        self.faults, self.seen = [], []
        self.down = False
        self.clock = self.refused = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    proxy.serve(self.request)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, method, pattern, kind, times=1, retry_after=None):
        f = Fault(method, pattern, kind, times, retry_after)
        with self.lock:
            self.faults.append(f)
        return f

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def pick(self, method, path):
        with self.lock:
            self.seen.append((time.monotonic(), method, path))
            for f in self.faults:
                if f.left > 0 and f.method == method and f.pattern.search(path):
                    f.left -= 1
                    f.hits += 1
                    return f
        return None

    def serve(self, s):
        f = s.makefile("rb")
        while True:
            line = f.readline(65536)
            if not line:
                return
            method, path, _ = line.decode().split(" ", 2)
            headers = []
            while True:
                h = f.readline(65536).decode().rstrip("\r\n")
                if not h:
                    break
                headers.append(h.split(": ", 1) if ": " in h else (h.rstrip(":"), ""))
            length = int(next((v for k, v in headers if k.lower() == "content-length"), 0))
            body = f.read(length)
            fault = self.pick(method, path)
            if self.down or (fault and fault.kind == "reset-before"):
                return reset(s)
            if fault and fault.kind.startswith("status-"):
                extra = "Retry-After: %s\r\n" % fault.retry_after if fault.retry_after is not None else ""
                s.sendall(("HTTP/1.1 %s Fault\r\nContent-Length: 0\r\n%s\r\n" % (fault.kind[7:], extra)).encode())
                continue
            if fault and fault.kind == "hang":
                s.settimeout(120)
                s.recv(1)  # until the other side gives up
                return None
            if fault and fault.kind.startswith("slow-"):
                time.sleep(float(fault.kind[5:]))
            if fault and fault.kind == "empty-list":
                s.sendall(("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" %
                           (len(EMPTY_LIST), EMPTY_LIST)).encode())
                continue
            if self.is_misdated(headers):
                self.refused += 1
                s.sendall(("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nx-ms-error-code: AuthenticationFailed\r\n"
                           "Date: %s\r\n\r\n" % self.now()).encode())
                continue
            status, reason, rh, data = self.forward(method, path, headers, body)
            rh = [(k, self.now() if k.lower() == "date" else v) for k, v in rh]
            if fault and fault.kind == "reset-after":
                return reset(s)
            head = "HTTP/1.1 %d %s\r\n" % (status, reason)
            head += "".join("%s: %s\r\n" % kv for kv in rh if kv[0].lower() not in
                            ("transfer-encoding", "content-length", "connection", "keep-alive"))
            n = next((v for k, v in rh if k.lower() == "content-length"), None) if method == "HEAD" else len(data)
            head += "Content-Length: %s\r\n" % n if n is not None else ""
            s.sendall(head.encode() + b"\r\n")
            if fault and fault.kind == "truncate":
                s.sendall(data[:len(data) // 2])
                return reset(s)
            if fault and fault.kind == "drip":
                step = max(1, len(data) // 20)
                for i in range(0, len(data), step):
                    s.sendall(data[i:i + step])
                    time.sleep(0.05)
            else:
                s.sendall(data)

    def now(self):
        return email.utils.formatdate(time.time() + self.clock, usegmt=True)

    def is_misdated(self, headers):
        date = next((v for k, v in headers if k.lower() == "x-ms-date"), None)
        if not self.clock or date is None:
            return False
        return abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time() - self.clock) > 900

    def forward(self, method, path, headers, body):
        c = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for k, v in headers:
            if k.lower() != "connection":
                c.putheader(k, v)
        c.endheaders(body or None)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.reason, r.getheaders(), data


def reset(s):
    """A reset, not an orderly end: the other side must not take it for one."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
