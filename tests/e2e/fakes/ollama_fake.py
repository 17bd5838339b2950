"""A FAKE Ollama: the native API (/api/*). Its /v1 layer is left out: the gateway never talks to it."""
import base64
import binascii
import hashlib
import json
import time

from .server import Fake, Refused

NOW = "2026-11-22T10:00:00.123456789Z"


def full_name(name):
    return (name if ":" in name.rsplit("/", 1)[-1] else name + ":latest").lower()


class FakeOllama(Fake):
    def __init__(self, models=("llama3.2",), port=0, load_seconds=0.0, version="0.30.0"):
        self.models = {full_name(m): 2 * 10**9 for m in models}      # name -> size
        self.remote = {}                                              # name -> remote host
        self.loaded = {}                                              # name -> context length
        self.load_seconds = load_seconds
        self.version = version
        self.loads = []             # (name, num_ctx) of each load
        super().__init__(port)

    def error_body(self, status, text, kind):
        return {"error": text}

    # ---- lookups

    def handle(self, http):
        path = http.path.split("?")[0]
        get = {"/": self._root, "/api/version": self._version, "/api/tags": self._tags,
               "/api/ps": self._ps}
        post = {"/api/chat": self._chat, "/api/generate": self._generate, "/api/embed": self._embed,
                "/api/embeddings": self._embeddings, "/api/show": self._show}
        if path in get and http.command in ("GET", "HEAD"):
            self.lookups.append(path)
            return get[path](http)
        if path in post and http.command == "POST":
            return post[path](http, http.read_body())
        if path in get or path in post:
            return http.answer(405, b"405 method not allowed", kind="text/plain")
        return http.answer(404, b"404 page not found", kind="text/plain")

    def _root(self, http):
        http.answer(200, b"Ollama is running", kind="text/plain; charset=utf-8")

    def _version(self, http):
        http.answer(200, {"version": self.version})

    def _details(self):
        return {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}

    def _entry(self, name):
        return {"name": name, "model": name, "size": self.models.get(name, 0),
                "digest": hashlib.sha256(name.encode()).hexdigest(), "details": self._details()}

    def _tags(self, http):
        entries = [dict(self._entry(n), modified_at=NOW) for n in self.models]
        entries += [dict(self._entry(n), modified_at=NOW, remote_model=n, remote_host=h)
                    for n, h in self.remote.items()]
        http.answer(200, {"models": entries})

    def _ps(self, http):
        http.answer(200, {"models": [dict(self._entry(n), expires_at=NOW, context_length=ctx,
                                          size_vram=self.models[n])
                                     for n, ctx in self.loaded.items()]})

    def _show(self, http, body):
        name = self._known(body)
        http.answer(200, {"modelfile": "", "parameters": "", "template": "{{ .Prompt }}",
                          "details": self._details(),
                          "model_info": {"general.architecture": "llama",
                                         "llama.context_length": 131072},
                          "capabilities": ["completion", "tools"], "modified_at": NOW,
                          "name": name})

    # ---- generation

    def _known(self, body):
        asked = body.get("model") or body.get("name")
        if not asked:
            raise Refused(400, "model is required")
        name = full_name(asked)
        if name not in self.models:
            raise Refused(404, "model '%s' not found" % asked)
        return name

    def _load(self, http, name, body):
        """A model that is not in memory, or is with another context, takes its time in silence."""
        ctx = (body.get("options") or {}).get("num_ctx") or self.loaded.get(name) or 4096
        if self.loaded.get(name) != ctx:
            self.loads.append((name, ctx))
            if self.load_seconds:
                http.wait(self.load_seconds)
            self.loaded[name] = ctx
        if body.get("keep_alive") in (0, "0", "0s"):
            self.loaded.pop(name, None)

    def _check_images(self, images):
        for image in images or []:
            try:
                base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError, TypeError):
                raise Refused(400, "illegal base64 data at input byte 4") from None

    def _check_messages(self, body):
        for m in body.get("messages") or []:
            if m.get("role") not in ("system", "user", "assistant", "tool"):
                raise Refused(400, "invalid role: %s" % m.get("role"))
            if not isinstance(m.get("content", ""), str):
                raise Refused(400, "json: cannot unmarshal array into Go struct field "
                                   "ChatRequest.messages.content of type string")
            self._check_images(m.get("images"))
            for c in m.get("tool_calls") or []:
                if not isinstance(c["function"].get("arguments"), dict):
                    raise Refused(400, "json: cannot unmarshal string into Go struct field "
                                       "ToolCallFunction.arguments")

    def _check(self, body):
        if "stream" in body and not isinstance(body["stream"], bool):
            raise Refused(400, "json: cannot unmarshal into field stream of type bool")
        if not isinstance(body.get("options") or {}, dict):
            raise Refused(400, "invalid options")
        think = body.get("think")
        if think is not None and think not in (True, False, "low", "medium", "high", "max"):
            raise Refused(400, "invalid think value: %r" % think)
        fmt = body.get("format")
        if fmt not in (None, "", "json") and not isinstance(fmt, dict):
            raise Refused(400, "invalid format")

    def _counts(self, fault, reply, n):
        """Counts of the last chunk; zeros are left out."""
        if fault.no_usage:
            return {}
        counts = {"total_duration": 5000000, "load_duration": 1000000,
                  "prompt_eval_count": reply.input_tokens, "prompt_eval_duration": 2000000,
                  "eval_count": n, "eval_duration": 2000000}
        return {k: v for k, v in counts.items() if v}

    def _finish(self, http, fault, body, chunks, last, make):
        """Streams chunks, or joins them into one answer."""
        head = {"model": body["model"], "created_at": NOW}
        if body.get("stream", True):
            lines = [dict(head, **make(c), done=False) for c in chunks]
            lines.append(dict(head, **make({}), **last))
            raw = [(json.dumps(x, ensure_ascii=False) + "\n").encode() for x in lines]
            error = b'{"error":"an error was encountered while running the model"}\n'
            return http.stream(fault, "application/x-ndjson", raw, error)
        whole = {}
        for c in chunks:
            for k, v in c.items():
                whole[k] = whole[k] + v if k in whole else v
        if fault.error_after is not None:
            return http.answer(500, {"error": "an error was encountered while running the model"})
        return http.answer_whole(fault, dict(head, **make(whole), **last))

    def _chunks(self, body, reply):
        options = body.get("options") or {}
        if body.get("format") and not reply.calls:
            words, finish = ['{"answer"', ': 42}'], "stop"
        else:
            words, finish = reply.limited(options.get("num_predict"), options.get("stop"))
        think = [{"thinking": reply.thinking}] if reply.thinking and body.get("think") else []
        return think, words, "length" if finish == "length" else "stop"

    def _chat(self, http, body):
        name = self._known(body)
        self._check(body)
        self._check_messages(body)
        if not body.get("messages"):
            self._load(http, name, body)
            why = "unload" if body.get("keep_alive") in (0, "0", "0s") else "load"
            return http.answer(200, {"model": body["model"], "created_at": NOW, "done": True,
                                     "message": {"role": "assistant", "content": ""},
                                     "done_reason": why})
        fault, reply = http.generation(body), self.next_reply()
        self._load(http, name, body)
        think, words, finish = self._chunks(body, reply)
        chunks = think + [{"content": w} for w in words]
        if reply.calls and body.get("tools"):
            chunks.append({"tool_calls": [{"function": {"index": i, "name": n, "arguments": a}}
                                          for i, (n, a) in enumerate(reply.calls)]})
        last = dict(done=True, done_reason=finish, **self._counts(fault, reply, len(words)))
        return self._finish(http, fault, body, chunks, last, lambda c: {
            "message": {"role": "assistant", "content": "", **c}})

    def _generate(self, http, body):
        name = self._known(body)
        self._check(body)
        self._check_images(body.get("images"))
        if not body.get("prompt"):
            self._load(http, name, body)
            why = "unload" if body.get("keep_alive") in (0, "0", "0s") else "load"
            return http.answer(200, {"model": body["model"], "created_at": NOW, "response": "",
                                     "done": True, "done_reason": why})
        fault, reply = http.generation(body), self.next_reply()
        self._load(http, name, body)
        think, words, finish = self._chunks(body, reply)
        chunks = think + [{"response": w} for w in words]
        last = dict(done=True, done_reason=finish, context=[1, 2, 3],
                    **self._counts(fault, reply, len(words)))
        return self._finish(http, fault, body, chunks, last, lambda c: {"response": "", **c})

    # ---- embeddings

    def _embed(self, http, body):
        name = self._known(body)
        fault = http.generation(body)
        texts = body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise Refused(400, "invalid input type")
        self._load(http, name, body)
        http.answer_whole(fault, {"model": body["model"],
                                  "embeddings": [vector(t, body.get("dimensions")) for t in texts],
                                  "total_duration": 5000000, "load_duration": 1000000,
                                  "prompt_eval_count": sum(len(t.split()) for t in texts)})

    def _embeddings(self, http, body):
        self._known(body)
        fault = http.generation(body)
        http.answer_whole(fault, {"embedding": vector(body.get("prompt") or "")})


def vector(text, n=None):
    """A unit vector that depends on the text alone."""
    raw = hashlib.sha256(text.encode()).digest()[:n or 8]
    norm = sum(b * b for b in raw) ** 0.5 or 1.0
    return [b / norm for b in raw]
