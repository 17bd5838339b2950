"""A FAKE model host: a scripted server that speaks the dialects of Ollama, OpenAI and Anthropic.

It generates nothing; the answer is fixed text in WORDS. What it does wrong is told by the model's name:
"ok" answers well, "500" fails, "cut" ends without a terminator, and so on (BEHAVIOURS). Real servers
cannot be made to fail on command; the shapes of answers follow the vendors' documentation.

Run as a process of its own, so that tests can kill and stop it:
python fake_host.py PORT [--delay S] [--no-tags] [--bind ADDRESS]
GET /__log tells what it was asked: a list of {path, model, stream, headers, gone}. POST /__set changes what it
says of itself: {"models": {NAME: bytes}, "loaded": {NAME: bytes}, "flap": true, "lists_s": seconds until a list}.
"""
import asyncio
import json
import struct
import socket
import sys

WORDS = ["Hold", " fast", ",", " friend", "."]
TEXT = "".join(WORDS)
LOG = []
DELAY = 0.0
HAS_TAGS = "--no-tags" not in sys.argv  # without them every model may be there
NAMES = ["ok", "llama3.1:8b", "qwen2.5-coder:32b"]
SELF = {"models": {}, "loaded": {}, "flap": False, "probes": 0, "lists_s": 0}
PAD = "x" * (1 << 20)


def ollama_chunk(model, path, text):
    body = {"model": model, "created_at": "2026-01-01T00:00:00.000000000Z", "done": False}
    if path == "/api/generate":
        body["response"] = text
    else:
        body["message"] = {"role": "assistant", "content": text}
    return json.dumps(body).encode() + b"\n"


def ollama_end(model, path, text=""):
    body = json.loads(ollama_chunk(model, path, text))
    body.update(done=True, done_reason="stop", total_duration=1000, prompt_eval_count=7,
                eval_count=len(WORDS))
    return json.dumps(body).encode() + b"\n"


def sse(data, event=None):
    head = "event: %s\n" % event if event else ""
    return (head + "data: " + (data if isinstance(data, str) else json.dumps(data)) + "\n\n").encode()


def openai_chunk(model, delta, finish=None, usage=None):
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    if usage:
        body.update(choices=[], usage=usage)
    return sse(body)


class Dialect:
    """Pieces of a streamed answer: start, one a word, the end; and an error inside it."""

    def __init__(self, path, model):
        self.path, self.model = path, model

    def start(self):
        if self.path == "/v1/chat/completions":
            return openai_chunk(self.model, {"role": "assistant", "content": ""})
        if self.path == "/v1/messages":
            return sse({"type": "message_start", "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": self.model, "content": [],
                "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}}}, "message_start") + \
                sse({"type": "content_block_start", "index": 0,
                     "content_block": {"type": "text", "text": ""}}, "content_block_start")
        return b""

    def word(self, text):
        if self.path == "/v1/chat/completions":
            return openai_chunk(self.model, {"content": text})
        if self.path == "/v1/messages":
            return sse({"type": "content_block_delta", "index": 0,
                        "delta": {"type": "text_delta", "text": text}}, "content_block_delta")
        return ollama_chunk(self.model, self.path, text)

    def end(self):
        if self.path == "/v1/chat/completions":
            usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
            return openai_chunk(self.model, {}, "stop") + openai_chunk(self.model, {}, usage=usage) + \
                sse("[DONE]")
        if self.path == "/v1/messages":
            return sse({"type": "content_block_stop", "index": 0}, "content_block_stop") + \
                sse({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                     "usage": {"output_tokens": 5}}, "message_delta") + \
                sse({"type": "message_stop"}, "message_stop")
        return ollama_end(self.model, self.path)

    def with_usage(self, usage):
        """The end, with another idea of the usage; None: without any."""
        out = []
        for line in self.end().split(b"\n"):
            at = line.find(b"{")
            if at < 0:
                out.append(line)
                continue
            e = json.loads(line[at:])
            if usage is None and e.get("choices") == []:
                out.append(b": no usage")
                continue
            for key in ("prompt_eval_count", "eval_count", "usage"):
                if key in e and usage is None:
                    del e[key]
                elif key in e:
                    e[key] = usage if key != "usage" else {k: usage for k in e[key]}
            out.append(line[:at] + json.dumps(e).encode())
        return b"\n".join(out)

    def ping(self):
        if self.path == "/v1/messages":
            return sse({"type": "ping"}, "ping")
        return b": ping\n\n" if self.path == "/v1/chat/completions" else self.word("")

    def padded(self, text):
        """A word in an event of more than a megabyte."""
        return self.word(text).replace(b'"model":', b'"pad": "%s", "model":' % PAD.encode()) \
            if self.path != "/v1/messages" else self.word(text).replace(b'"index":', b'"pad": "%s", "index":' % PAD.encode())

    def error(self):
        if self.path == "/v1/chat/completions":
            return sse({"error": {"message": "gpu fell off", "type": "server_error", "code": None}})
        if self.path == "/v1/messages":
            return sse({"type": "error", "error": {"type": "overloaded_error", "message": "gpu fell off"}},
                       "error")
        return b'{"error":"gpu fell off"}\n'

    def whole(self):
        if self.path == "/v1/chat/completions":
            return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.model,
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT},
                                 "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}
        if self.path == "/v1/messages":
            return {"id": "msg_1", "type": "message", "role": "assistant", "model": self.model,
                    "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn",
                    "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 5}}
        return json.loads(ollama_end(self.model, self.path, TEXT))

    def failure(self, status, text):
        if self.path == "/v1/messages":
            kind = {400: "invalid_request_error", 429: "rate_limit_error",
                    529: "overloaded_error"}.get(status, "api_error")
            return {"type": "error", "error": {"type": kind, "message": text}}
        if self.path.startswith("/v1/"):
            return {"error": {"message": text, "type": "api_error", "param": None, "code": None}}
        return {"error": text}


def head(status, kind, extra=()):
    lines = ["HTTP/1.1 %d X" % status, "Content-Type: " + kind, *extra]
    return ("\r\n".join(lines) + "\r\n").encode()


def whole_answer(status, body, extra=()):
    data = b"" if body is None else json.dumps(body).encode()
    return head(status, "application/json", extra) + b"Content-Length: %d\r\n\r\n" % len(data) + data


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n" if data else b""


class Cut(Exception):
    """The connection is to be closed now; with a reset if the argument is true."""


class Talk:
    """One answer on one connection."""

    def __init__(self, writer, dialect, is_stream, entry):
        self.w, self.d, self.is_stream, self.entry = writer, dialect, is_stream, entry

    async def send(self, data, pause=None):
        self.w.write(data)
        await self.w.drain()
        await asyncio.sleep(DELAY if pause is None else pause)

    async def begin(self):
        kind = "application/x-ndjson" if self.d.path.startswith("/api/") else "text/event-stream"
        await self.send(head(200, kind) + b"Transfer-Encoding: chunked\r\n\r\n", 0)

    async def ok(self, words=WORDS):
        if not self.is_stream:
            await self.send(whole_answer(200, self.d.whole()), 0)
            return
        await self.begin()
        await self.send(chunk(self.d.start()), 0)
        for w in words:
            await self.send(chunk(self.d.word(w)))
        await self.send(chunk(self.d.end()) + b"0\r\n\r\n", 0)

    async def status(self, status, text="made to fail", extra=()):
        await self.send(whole_answer(status, self.d.failure(status, text), extra), 0)

    async def words_then(self, n, data, how=None):
        await self.begin()
        await self.send(chunk(self.d.start()), 0)
        for w in WORDS[:n]:
            await self.send(chunk(self.d.word(w)))
        await self.send(chunk(data) + (b"0\r\n\r\n" if how is None else b""), 0)
        if how is not None:
            raise Cut(how)

    async def all_then(self, end, tail=b"0\r\n\r\n", how=None):
        """Every word, then what stands for the end; how: the connection is cut (True: reset)."""
        await self.begin()
        await self.send(chunk(self.d.start()), 0)
        for w in WORDS:
            await self.send(chunk(self.d.word(w)))
        await self.send(chunk(end) + tail, 0)
        if how is not None:
            raise Cut(how)

    async def pieces(self, pieces, tail=b"0\r\n\r\n", pause=0.0):
        await self.begin()
        for p in pieces:
            await self.send(chunk(p), pause)
        await self.send(tail, 0)

    def all(self):
        return [self.d.start(), *(self.d.word(w) for w in WORDS), self.d.end()]

    async def pings(self):
        await self.begin()
        await self.send(chunk(self.d.start()), 0)
        for _ in range(1000):
            await self.send(chunk(self.d.ping()), 0.2)

    async def counted(self, off):
        """A stream with a Content-Length that is wrong by that many bytes."""
        data = b"".join(self.all())
        kind = "application/x-ndjson" if self.d.path.startswith("/api/") else "text/event-stream"
        await self.send(head(200, kind) + b"Content-Length: %d\r\n\r\n" % (len(data) + off) + data, 0)
        raise Cut(False)

    async def busy_once(self):
        """Refuses the first request for some time, then answers."""
        if sum(e["model"] == self.d.model for e in LOG) == 1:
            await self.status(429, "slow down", ["retry-after-ms: 700"])
        else:
            await self.ok()

    async def at_each_byte(self):
        await self.begin()
        for b in self.d.start() + b"".join(self.d.word(w) for w in WORDS) + self.d.end():
            await self.send(chunk(bytes([b])), 0)
        await self.send(b"0\r\n\r\n", 0)

    async def hang(self, after=0):
        if after:
            await self.begin()
            for w in WORDS[:after]:
                await self.send(chunk(self.d.word(w)))
        await asyncio.sleep(3600)

    async def hang_after_end(self):
        await self.all_then(self.d.end(), b"")
        await asyncio.sleep(3600)

    async def forever(self):
        await self.begin()
        await self.send(chunk(self.d.start()), 0)
        for _ in range(100000):
            await self.send(chunk(self.d.word("tick ")), 0.05)

    async def flood(self):
        await self.begin()
        await self.send(chunk(self.d.start()), 0)
        for _ in range(10000):
            await self.send(chunk(self.d.word("x" * 10000)), 0)
        await self.send(chunk(self.d.end()) + b"0\r\n\r\n", 0)

    async def reset(self):
        raise Cut(True)

    async def after(self, seconds):
        await asyncio.sleep(seconds)
        await self.ok()

    async def late(self, seconds):
        await asyncio.sleep(seconds)
        await self.status(500)

    async def empty(self):
        await self.begin()
        await self.send(b"0\r\n\r\n", 0)


BEHAVIOURS = {
    "500": lambda t: t.status(500), "503": lambda t: t.status(503, "server busy, please try again"),
    "529": lambda t: t.status(529), "400": lambda t: t.status(400, "bad option"),
    "404": lambda t: t.status(404, "model not found, try pulling it first"),
    "429": lambda t: t.status(429, "slow down", ["Retry-After: 2"]),
    "429-date": lambda t: t.status(429, "slow down", ["Retry-After: Wed, 21 Oct 2037 07:28:00 GMT"]),
    "403": lambda t: t.send(whole_answer(403, None), 0),
    "401": lambda t: t.status(401),
    "400-key": lambda t: t.status(400, "what is %s?" % t.entry["headers"].get("authorization")),
    "reset": lambda t: t.reset(),
    "hang": lambda t: t.hang(), "hang-middle": lambda t: t.hang(2),
    "late-500": lambda t: t.late(0.6), "cold": lambda t: t.after(1.5), "slow": lambda t: t.after(0.5),
    "error-first": lambda t: t.words_then(0, t.d.error()),
    "error-later": lambda t: t.words_then(2, t.d.error()),
    "cut-first": lambda t: t.words_then(0, b"", False),
    "cut-later": lambda t: t.words_then(2, b"", False),
    "no-end": lambda t: t.words_then(3, b""),
    "empty": lambda t: t.empty(),
    "nonsense": lambda t: t.words_then(0, b"{]}\n\ndata: {]}\n\n"),
    "bytes": lambda t: t.at_each_byte(),
    # With a moment: before anything was said, in mid-answer, at its end.
    "409": lambda t: t.status(409), "502": lambda t: t.status(502), "504": lambda t: t.status(504),
    "402": lambda t: t.status(402), "413": lambda t: t.status(413, "bad option"),
    "422": lambda t: t.status(422, "bad option"),
    "429-ms": lambda t: t.status(429, "slow down", ["retry-after-ms: 700"]),
    "429-none": lambda t: t.status(429, "slow down"),
    "429-long": lambda t: t.status(429, "slow down", ["Retry-After: 90"]),
    "ping-error": lambda t: t.pieces([t.d.start(), t.d.ping(), t.d.error()]),
    "error-end": lambda t: t.all_then(t.d.error()),
    "reset-later": lambda t: t.words_then(2, b"", True), "reset-end": lambda t: t.all_then(b"", b"", True),
    "cut-end": lambda t: t.all_then(b"", b"", False), "no-end-all": lambda t: t.all_then(b""),
    "hang-end": lambda t: t.hang(len(WORDS)),
    "nonsense-later": lambda t: t.words_then(2, b"{]}\n\ndata: {]}\n\n"),
    "cut-after-end": lambda t: t.all_then(t.d.end(), b"", False),
    "reset-after-end": lambda t: t.all_then(t.d.end(), b"", True),
    "hang-after-end": lambda t: t.hang_after_end(),
    "extra": lambda t: t.all_then(t.d.end() + b"\n\nand more\n"),
    "finish-twice": lambda t: t.all_then(t.d.end() + t.d.end()),
    "usage-none": lambda t: t.all_then(t.d.with_usage(None)),
    "usage-zero": lambda t: t.all_then(t.d.with_usage(0)),
    "crlf": lambda t: t.pieces([p.replace(b"\n", b"\r\n") for p in t.all()]),
    "pings": lambda t: t.pings(),
    "pings-between": lambda t: t.pieces([p + t.d.ping() for p in t.all()[:-1]] + t.all()[-1:]),
    "drip": lambda t: t.pieces([bytes([b]) for b in t.all()[0][:3] or b""] + [t.all()[0][3:]] + t.all()[1:],
                               pause=0.3),
    "long-line": lambda t: t.pieces([t.d.start(), *(t.d.padded(w) for w in WORDS), t.d.end()]),
    "length-long": lambda t: t.counted(100), "length-short": lambda t: t.counted(-20),
    "utf8": lambda t: t.pieces([t.d.start(), t.d.word("Hold@").replace(b"@", b"\xff\xfe"), t.d.end()]),
    "busy-once": lambda t: t.busy_once(),
    "forever": lambda t: t.forever(), "flood": lambda t: t.flood(),
}


async def answer(method, path, headers, body, writer):
    if path in ("/api/tags", "/v1/models"):
        await asyncio.sleep(SELF["lists_s"])
    if path == "/__log":
        writer.write(whole_answer(200, LOG))
    elif path == "/__set":
        SELF.update(json.loads(body))
        writer.write(whole_answer(200, {}))
    elif path == "/api/version" and SELF["flap"] and (SELF.update(probes=SELF["probes"] + 1) or SELF["probes"] % 2):
        writer.write(whole_answer(500, {"error": "not now"}))
    elif path == "/api/version":
        writer.write(whole_answer(200, {"version": "0.12.6"}))
    elif path == "/api/tags" and not HAS_TAGS:
        writer.write(whole_answer(404, {"error": "no list"}))
    elif path == "/api/tags":
        names = {**{n: 1 for n in NAMES + sorted(BEHAVIOURS)}, **SELF["models"]}
        writer.write(whole_answer(200, {"models": [
            {"name": n if ":" in n else n + ":latest", "model": n, "size": size, "digest": "d",
             "modified_at": "2026-01-01T00:00:00Z", "details": {}} for n, size in names.items()]}))
    elif path == "/api/ps":
        writer.write(whole_answer(200, {"models": [
            {"name": n, "model": n, "size": size, "size_vram": size, "digest": "d", "details": {},
             "expires_at": "2037-01-01T00:00:00Z"} for n, size in SELF["loaded"].items()]}))
    elif path == "/v1/models":
        writer.write(whole_answer(200, {"object": "list", "data": [
            {"id": n, "object": "model", "created": 1, "owned_by": "fake"} for n in NAMES]}))
    elif path == "/api/show":
        LOG.append({"path": path, **json.loads(body)})
        name = LOG[-1].get("model") or LOG[-1]["name"]
        known = name.lower().split(":")[0] in [n.split(":")[0] for n in [*NAMES, *SELF["models"]]]
        writer.write(whole_answer(*((200, {"details": {"family": "fake"}, "model_info": {}, "seen": name,
                                           "capabilities": ["completion"]})
                                    if known else (404, {"error": "model '%s' not found" % name}))))
    elif path == "/api/pull":
        LOG.append({"path": path, "gone": False, **json.loads(body)})
        writer.write(head(200, "application/x-ndjson") + b"Transfer-Encoding: chunked\r\n\r\n")
        for n in range(1000 if LOG[-1]["model"] == "huge" else 3):
            writer.write(chunk(b'{"status":"pulling","completed":%d}\n' % n))
            await asyncio.sleep(0.05)
        writer.write(chunk(b'{"status":"success"}\n') + b"0\r\n\r\n")
    elif path in ("/api/copy", "/api/delete") or path.startswith("/api/blobs/"):
        LOG.append({"path": path, "method": method, "model": body.decode()})
        writer.write(whole_answer(201 if "blobs" in path and method == "POST" else 200, None))
    elif method == "POST" and path in ("/api/embed", "/api/embeddings", "/v1/embeddings"):
        ask = json.loads(body)
        LOG.append({"path": path, "model": ask["model"]})
        if path == "/api/embeddings":
            writer.write(whole_answer(200, {"embedding": [0.5, -0.25]}))
        elif path == "/api/embed":
            writer.write(whole_answer(200, {"model": ask["model"], "embeddings": [[0.5, -0.25]],
                                            "prompt_eval_count": 3}))
        else:
            writer.write(whole_answer(200, {"object": "list", "model": ask["model"], "data": [
                {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
                "usage": {"prompt_tokens": 3, "total_tokens": 3}}))
    elif method == "POST" and path in ("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages"):
        ask = json.loads(body)
        entry = {"path": path, "model": ask["model"], "headers": headers, "gone": False,
                 "stream": ask.get("stream", path.startswith("/api/")), "ask": ask}
        LOG.append(entry)
        if path == "/api/generate" and "prompt" not in ask and ask["model"] in SELF["models"]:
            SELF["loaded"] = {**SELF["loaded"], ask["model"]: SELF["models"][ask["model"]]}
        talk = Talk(writer, Dialect(path, ask["model"]), entry["stream"], entry)
        await BEHAVIOURS.get(ask["model"].split(":")[0], Talk.ok)(talk)
    else:
        writer.write(whole_answer(404, {"error": "no such page"}))


async def read_request(reader, begun):
    first = begun + await reader.readline()
    if not first:
        return None
    method, path, _ = first.decode().split(" ", 2)
    headers = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, value = line.decode().split(":", 1)
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return method, path.split("?")[0], headers, body


async def serve(reader, writer):
    """Requests of one connection; the peer is watched for leaving while an answer is made."""
    begun = b""     # of the next request, read by the watch
    before = None   # where the log has the request under way
    try:
        while (request := await read_request(reader, begun)) is not None:
            before = len(LOG)
            work = asyncio.ensure_future(answer(*request, writer))
            watch = asyncio.ensure_future(reader.read(1))
            done, _ = await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            begun = watch.result() if watch in done else b""
            if begun and work not in done:
                await asyncio.wait({work})
            elif watch in done and work not in done:
                work.cancel()
                for entry in LOG[before:before + 1]:
                    entry["gone"] = True
                break
            if not work.cancelled() and work.exception():
                raise work.exception()
            if watch not in done:
                watch.cancel()
                try:
                    begun = await watch
                except asyncio.CancelledError:
                    pass
            await writer.drain()
            before = None
    except Cut as cut:
        if cut.args[0]:
            s = writer.get_extra_info("socket")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (ConnectionError, asyncio.IncompleteReadError):
        if before is not None:  # a reset, not an end: reading or writing fails, whichever comes first
            work.cancel()
            for entry in LOG[before:before + 1]:
                entry["gone"] = True
    writer.close()


async def main(port):
    address = sys.argv[sys.argv.index("--bind") + 1] if "--bind" in sys.argv else "127.0.0.1"
    server = await asyncio.start_server(serve, address, port, backlog=2048)
    print("fake host on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if "--delay" in sys.argv:
        DELAY = float(sys.argv[sys.argv.index("--delay") + 1])
    asyncio.run(main(int(sys.argv[1])))
