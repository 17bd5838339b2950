"""What the fakes share: an HTTP/1.1 server with chunked streams, a script of faults, a record of calls.

    with FakeOllama(models=["llama3.2"]) as fake:
        fake.script(Fault(status=503, body={"error": "server busy"}), Fault(cut_after=2), None)
        ... three requests: the first two fail like that, the third and all later ones are answered
        fake.calls[0].body["messages"]

A fault belongs to one generating request (chat, generate, embeddings ...), in the order in which
they come. `fake.always = Fault(...)` holds for all that have no entry in the script.
"""
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional


@dataclass
class Fault:
    """How one answer goes wrong. Times are seconds, counts are stream events; None: it does not."""
    status: Optional[int] = None        # answer with this status ...
    body: Any = None                    # ... and this body (bytes, or JSON)
    headers: dict = field(default_factory=dict)   # e.g. {"Retry-After": "3"}; also on good answers
    cold: float = 0                     # silence before the headers, as a model that loads
    hang: bool = False                  # never answer; held until the client leaves
    hang_after: Optional[int] = None    # stream so many events, then say nothing more
    reset_after: Optional[int] = None   # TCP reset; 0: before any byte
    cut_after: Optional[int] = None     # close the connection without the final chunk
    end_after: Optional[int] = None     # end the HTTP answer properly, but without the terminator
    half: bool = False                  # with cut_after or end_after: half of the next event as well
    error_after: Optional[int] = None   # an in-band error under status 200
    drip: float = 0                     # pause before each event
    pause: threading.Event = None       # the stream waits for it before its second event
    split: int = 0                      # send the stream in TCP pieces of so many bytes
    crlf: bool = False                  # SSE lines end in CRLF
    comments: int = 0                   # SSE comments before the first event
    extra: bytes = b""                  # bytes behind the terminator
    close: bool = False                 # answer with "Connection: close"
    no_usage: bool = False              # leave out the usage


@dataclass
class Reply:
    """What the fake model says."""
    text: str = "The quick brown fox"
    thinking: str = ""
    calls: list = field(default_factory=list)     # [(name, {arguments})]
    finish: str = "stop"                          # or "length", "refused"
    input_tokens: int = 11

    def words(self):
        """The text in pieces, one a token."""
        parts = self.text.split(" ")
        return [w if i == 0 else " " + w for i, w in enumerate(parts)] if self.text else []

    def limited(self, max_tokens, stops):
        """The same reply as max_tokens and stop sequences leave it: (words, finish)."""
        words, finish = self.words(), self.finish
        text = "".join(words)
        at = min([text.index(s) for s in stops or [] if s in text], default=None)
        if at is not None:
            return ([text[:at]] if at else []), "stop_sequence"
        if max_tokens and max_tokens > 0 and len(words) > max_tokens:
            return words[:max_tokens], "length"
        return words, finish


@dataclass
class Call:
    method: str
    path: str
    headers: Any
    body: Any


class Refused(Exception):
    """A request that the real server would refuse."""

    def __init__(self, status, text, kind="invalid_request_error"):
        super().__init__(text)
        self.status, self.text, self.kind = status, text, kind


class Gone(Exception):
    """The connection is over: by script, or because the client left."""


class Fake:
    """Base of the fakes; `handle` of each answers the requests."""

    def __init__(self, port=0):
        self.reply = Reply()
        self.replies = []           # one-time replies, before self.reply
        self.always = None
        self.calls = []             # every generating request
        self.lookups = []           # every other request
        self.left = 0               # clients that went away before the end
        self.active = 0
        self._script = []
        self._lock = threading.Lock()
        self._open = set()
        self._stop = threading.Event()
        self.port = port
        self._server = None
        self.listen()

    # ---- control

    def script(self, *faults):
        with self._lock:
            self._script.extend(faults)

    def listen(self):
        """Starts (again) to accept connections, on the same port."""
        fake = self

        class Handler(_Handler):
            owner = fake

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self._stop.clear()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def refuse(self):
        """Stops to listen and resets what is open: new connections are refused."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            for sock in list(self._open):
                _reset(sock)

    def close(self):
        if not self._stop.is_set():
            self.refuse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    # ---- for the fakes

    def next_fault(self):
        with self._lock:
            return (self._script.pop(0) if self._script else self.always) or Fault()

    def next_reply(self):
        with self._lock:
            return self.replies.pop(0) if self.replies else self.reply

    def error_body(self, status, text, kind):
        raise NotImplementedError

    def handle(self, http):
        raise NotImplementedError


def _reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    try:
        sock.close()
    except OSError:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.owner._lock:
            self.owner._open.add(self.connection)

    def finish(self):
        with self.owner._lock:
            self.owner._open.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (Gone, OSError):
            self.close_connection = True

    # ---- reading

    def read_body(self):
        n = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(n)
        if not raw:
            raise Refused(400, "missing request body")
        try:
            body = json.loads(raw)
        except ValueError as e:
            raise Refused(400, "invalid JSON: %s" % e) from None
        if not isinstance(body, dict):
            raise Refused(400, "a JSON object is expected")
        return body

    def generation(self, body):
        """Records a generating request and plays what comes before its answer; its fault."""
        self.owner.calls.append(Call(self.command, self.path, self.headers, body))
        fault = self.owner.next_fault()
        if fault.cold:
            self.wait(fault.cold)
        if fault.hang:
            self.wait(None)
        if fault.reset_after == 0:
            self.reset()
        if fault.status is not None:
            data = fault.body if fault.body is not None else \
                self.owner.error_body(fault.status, "fault by script", None)
            # said, or a client may use the connection while it is being closed
            self.answer(fault.status, data, {**(fault.headers or {}), "Connection": "close"})
            raise Gone
        return fault

    def wait(self, seconds):
        """Silence; ends early when the client leaves or the fake stops."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self.owner._stop.is_set():
            if end is not None and time.monotonic() >= end:
                return
            if self.client_left():
                self.owner.left += 1
                raise Gone
            time.sleep(0.01)
        raise Gone

    def client_left(self):
        try:
            self.connection.setblocking(False)
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            try:
                self.connection.setblocking(True)
            except OSError:
                pass

    def reset(self):
        _reset(self.connection)
        self.close_connection = True
        raise Gone

    # ---- writing

    def answer(self, status, data, headers=None, kind="application/json"):
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        for k, v in (headers or {}).items():
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def answer_whole(self, fault, data):
        """A whole answer, with the faults that can happen to one."""
        raw = json.dumps(data).encode()
        if fault.cut_after is not None or fault.reset_after is not None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw[:len(raw) // 2])
            self.wfile.flush()
            if fault.reset_after is not None:
                self.reset()
            self.close_connection = True
            raise Gone
        if fault.end_after is not None and fault.half:
            raw = raw[:len(raw) // 2]
        self.answer(200, raw, fault.headers)

    def stream(self, fault, kind, events, error):
        """Sends events (bytes each; the last one is the terminator) as a chunked answer."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        if fault.close:
            self.send_header("Connection", "close")
            self.close_connection = True
        for k, v in fault.headers.items():
            self.send_header(k, v)
        self.end_headers()
        try:
            self.owner.active += 1
            self._send_events(fault, list(events), error)
            if fault.extra:
                self.chunk(fault.extra)
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.owner.left += 1
            raise Gone from None
        finally:
            self.owner.active -= 1

    def _send_events(self, fault, events, error):
        for _ in range(fault.comments):
            self.chunk(b": still here\n\n")
        for i, event in enumerate(events):
            if fault.pause is not None and i == 1:
                while not fault.pause.wait(0.01):
                    if self.client_left():
                        self.owner.left += 1
                        raise Gone
            self._break_off(fault, i, event, error)
            if fault.end_after == i:
                if fault.half:
                    self.chunk(event[:len(event) // 2])
                return
            if fault.drip:
                self.wait(fault.drip)
            self._piecewise(fault, event)

    def _break_off(self, fault, i, event, error):
        if fault.hang_after == i:
            self.wait(None)
        if fault.reset_after == i:
            self.reset()
        if fault.error_after == i:
            self._piecewise(fault, error)
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
            raise Gone
        if fault.cut_after == i:
            if fault.half:
                self.chunk(event[:len(event) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            raise Gone

    def _piecewise(self, fault, event):
        if fault.crlf:
            event = event.replace(b"\n", b"\r\n")
        size = fault.split or len(event)
        for at in range(0, len(event), size):
            self.chunk(event[at:at + size])

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    # ---- dispatch

    def dispatch(self):
        try:
            self.owner.handle(self)
        except Refused as e:
            self.answer(e.status, self.owner.error_body(e.status, e.text, e.kind))

    do_GET = do_POST = do_HEAD = do_DELETE = dispatch


def sse(data, event=None):
    raw = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (("event: %s\n" % event if event else "") + "data: %s\n\n" % raw).encode()
