"""FAKES of OpenAI's API, and of Together's dialect of it."""
import base64
import json
import struct

from .ollama_fake import vector
from .server import Fake, Refused, sse


class FakeOpenAI(Fake):
    prefix = "/v1"
    owner_name = "fake"

    def __init__(self, models=("gpt-fake",), port=0, key=None):
        self.models = list(models)
        self.key = key
        super().__init__(port)

    def error_body(self, status, text, kind):
        return {"error": {"message": text, "type": kind or "server_error", "param": None,
                          "code": "model_not_found" if status == 404 else None}}

    def models_body(self):
        return {"object": "list", "data": [self._model(m) for m in self.models]}

    def _model(self, name):
        return {"id": name, "object": "model", "created": 1700000000, "owned_by": self.owner_name}

    def handle(self, http):
        path = http.path.split("?")[0]
        post = {"/chat/completions": self._chat, "/completions": self._completions,
                "/embeddings": self._embeddings}
        if self.key and http.headers.get("Authorization") != "Bearer " + self.key:
            raise Refused(401, "Incorrect API key provided", "invalid_request_error")
        if http.command == "GET" and path == self.prefix + "/models":
            self.lookups.append(path)
            return http.answer(200, self.models_body())
        if http.command == "GET" and path.startswith(self.prefix + "/models/"):
            name = path[len(self.prefix + "/models/"):]
            if name not in self.models:
                raise Refused(404, "The model '%s' does not exist" % name)
            return http.answer(200, self._model(name))
        if http.command == "POST" and path.startswith(self.prefix) and \
                path[len(self.prefix):] in post:
            body = http.read_body()
            self._known(body)
            return post[path[len(self.prefix):]](http, body)
        raise Refused(404, "Invalid URL (%s %s)" % (http.command, path))

    def _known(self, body):
        if not isinstance(body.get("model"), str):
            raise Refused(400, "you must provide a model parameter")
        if body["model"] not in self.models:
            raise Refused(404, "The model `%s` does not exist" % body["model"])

    # ---- what the real one refuses

    def _check_part(self, part):
        if part.get("type") == "image_url":
            url = part["image_url"]["url"]
            if not url.startswith(("data:image/", "https://", "http://")):
                raise Refused(400, "Invalid image URL")
        elif part.get("type") != "text":
            raise Refused(400, "Invalid content type")

    def _check_messages(self, messages):
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "Invalid 'messages': empty array")
        open_calls = set()
        for m in messages:
            if m.get("role") not in ("system", "developer", "user", "assistant", "tool"):
                raise Refused(400, "Invalid value: '%s'" % m.get("role"))
            if m["role"] == "tool":
                if m.get("tool_call_id") not in open_calls:
                    raise Refused(400, "messages with role 'tool' must be a response to a preceding "
                                       "message with 'tool_calls'")
                open_calls.discard(m["tool_call_id"])
            elif open_calls:
                raise Refused(400, "An assistant message with 'tool_calls' must be followed by tool "
                                   "messages responding to each 'tool_call_id'")
            if isinstance(m.get("content"), list):
                for part in m["content"]:
                    self._check_part(part)
            for c in m.get("tool_calls") or []:
                if not isinstance(c["function"]["arguments"], str) or not c.get("id"):
                    raise Refused(400, "Invalid type for 'tool_calls.function.arguments'")
                open_calls.add(c["id"])

    def _check(self, body):
        if not 0 <= body.get("temperature", 1) <= 2:
            raise Refused(400, "Invalid 'temperature': above maximum value")
        if "stream_options" in body and not body.get("stream"):
            raise Refused(400, "The 'stream_options' parameter is only allowed when 'stream' is "
                               "enabled")
        stop = body.get("stop")
        if isinstance(stop, list) and len(stop) > 4:
            raise Refused(400, "Invalid 'stop': array too long")
        if body.get("tool_choice") and not body.get("tools"):
            raise Refused(400, "'tool_choice' is only allowed when 'tools' are specified")

    # ---- answers

    def finish_word(self, finish):
        return {"length": "length", "refused": "content_filter"}.get(finish, "stop")

    def _usage(self, reply, n):
        return {"prompt_tokens": reply.input_tokens, "completion_tokens": n,
                "total_tokens": reply.input_tokens + n}

    def _said(self, body, reply):
        stop = body.get("stop")
        if body.get("response_format", {}).get("type", "text") != "text" and not reply.calls:
            return ['{"answer"', ': 42}'], "stop"
        return reply.limited(body.get("max_completion_tokens") or body.get("max_tokens"),
                             [stop] if isinstance(stop, str) else stop)

    def _calls(self, body, reply):
        if not body.get("tools") or body.get("tool_choice") == "none":
            return []
        return [{"id": "call_%d" % i, "type": "function",
                 "function": {"name": n, "arguments": json.dumps(a)}}
                for i, (n, a) in enumerate(reply.calls)]

    def _chat(self, http, body):
        self._check(body)
        self._check_messages(body.get("messages"))
        fault, reply = http.generation(body), self.next_reply()
        words, finish = self._said(body, reply)
        calls = self._calls(body, reply)
        word = "tool_calls" if calls else self.finish_word(finish)
        if body.get("stream"):
            deltas = [{"role": "assistant", "content": ""}]
            deltas += [{"reasoning_content": reply.thinking}] if reply.thinking else []
            deltas += [{"content": w} for w in words] + list(self._call_deltas(calls))
            return self._stream(http, fault, body, "chat.completion.chunk",
                                [{"delta": d} for d in deltas], {"delta": {}}, word,
                                self._usage(reply, len(words)))
        message = {"role": "assistant", "content": "".join(words) or None}
        if reply.thinking:
            message["reasoning_content"] = reply.thinking
        if calls:
            message["tool_calls"] = calls
        return self._whole(http, fault, body, "chat.completion", {"message": message}, word,
                           self._usage(reply, len(words)))

    def _call_deltas(self, calls):
        """id and name first, then the arguments in two pieces."""
        for i, c in enumerate(calls):
            args = c["function"]["arguments"]
            yield {"tool_calls": [{"index": i, "id": c["id"], "type": "function",
                                   "function": {"name": c["function"]["name"], "arguments": ""}}]}
            for piece in (args[:len(args) // 2], args[len(args) // 2:]):
                yield {"tool_calls": [{"index": i, "function": {"arguments": piece}}]}

    def _completions(self, http, body):
        if not isinstance(body.get("prompt"), (str, list)):
            raise Refused(400, "Invalid 'prompt'")
        fault, reply = http.generation(body), self.next_reply()
        words, finish = self._said(body, reply)
        word = self.finish_word(finish)
        if body.get("stream"):
            return self._stream(http, fault, body, "text_completion",
                                [{"text": w, "logprobs": None} for w in words],
                                {"text": "", "logprobs": None}, word,
                                self._usage(reply, len(words)))
        return self._whole(http, fault, body, "text_completion",
                           {"text": "".join(words), "logprobs": None}, word,
                           self._usage(reply, len(words)))

    def _head(self, body, kind):
        return {"id": "chatcmpl-fake1", "object": kind, "created": 1700000000,
                "model": body["model"]}

    def _whole(self, http, fault, body, kind, choice, word, usage):
        choice = dict(index=0, finish_reason=word, **choice)
        http.answer_whole(fault, dict(self._head(body, kind), choices=[choice], usage=usage))

    def _stream(self, http, fault, body, kind, choices, last, word, usage):
        head = self._head(body, kind)
        wants = (body.get("stream_options") or {}).get("include_usage") and not fault.no_usage
        null = {"usage": None} if wants else {}
        events = [sse(dict(head, choices=[dict(index=0, finish_reason=None, **c)], **null))
                  for c in choices]
        events.append(sse(dict(head, choices=[dict(index=0, finish_reason=word, **last)], **null)))
        if wants:
            events.append(sse(dict(head, choices=[], usage=usage)))
        events.append(sse("[DONE]"))
        error = sse({"error": {"message": "The server had an error while processing your request",
                               "type": "server_error", "param": None, "code": None}})
        http.stream(fault, "text/event-stream", events, error)

    def _embeddings(self, http, body):
        fault = http.generation(body)
        texts = body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts:
            raise Refused(400, "'$.input' is invalid")
        vectors = [vector(str(t), body.get("dimensions")) for t in texts]
        if body.get("encoding_format") == "base64":
            vectors = [base64.b64encode(struct.pack("<%df" % len(v), *v)).decode() for v in vectors]
        n = sum(len(str(t).split()) for t in texts)
        http.answer_whole(fault, {
            "object": "list", "model": body["model"],
            "data": [{"object": "embedding", "index": i, "embedding": v}
                     for i, v in enumerate(vectors)],
            "usage": {"prompt_tokens": n, "total_tokens": n}})


class FakeTogether(FakeOpenAI):
    """Together: namespaced ids, a bare list of models, finish_reason "eos", plain-text errors."""

    owner_name = "Meta"

    def __init__(self, models=("meta-llama/Llama-3.3-70B-Instruct-Turbo",), port=0, key=None):
        super().__init__(models, port, key)

    def error_body(self, status, text, kind):
        if status == 402:
            return {"error": text}
        kind = {429: "dynamic_request_limited", 503: "service_unavailable"}.get(status, kind)
        return {"id": "fake", "error": {"message": text, "type": kind, "param": None,
                                        "code": "model_not_available" if status == 404 else None}}

    def models_body(self):
        return [dict(self._model(m), type="chat", organization="Meta", context_length=131072)
                for m in self.models]

    def finish_word(self, finish):
        return {"length": "length"}.get(finish, "eos")

    def _check(self, body):
        super()._check(body)
        for odd in ("options", "think", "keep_alive"):
            if odd in body:
                raise Refused(400, "Unrecognized request argument supplied: %s" % odd)
        for m in body.get("messages") or []:
            if m.get("role") == "developer":
                raise Refused(400, "Invalid role: developer")
