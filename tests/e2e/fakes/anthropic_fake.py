"""A FAKE of Anthropic's Messages API, versions 2023-06-01 and 2026-10-21."""
import json

from .server import Fake, Refused, sse

VERSIONS = ("2023-06-01", "2026-10-21")
STOP = {"length": "max_tokens", "refused": "refusal", "stop_sequence": "stop_sequence"}
KINDS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
         403: "permission_error", 404: "not_found_error", 409: "conflict_error",
         413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 504: "timeout_error",
         529: "overloaded_error"}


class FakeAnthropic(Fake):
    def __init__(self, models=("claude-fake",), port=0, key=None):
        self.models = list(models)
        self.key = key
        super().__init__(port)

    def error_body(self, status, text, kind):
        return {"type": "error", "error": {"type": KINDS.get(status, "api_error"), "message": text},
                "request_id": "req_fake"}

    def handle(self, http):
        path = http.path.split("?")[0]
        self._check_headers(http)
        if http.command == "GET" and path == "/v1/models":
            self.lookups.append(path)
            return http.answer(200, {
                "data": [{"type": "model", "id": m, "display_name": m,
                          "created_at": "2026-01-01T00:00:00Z"} for m in self.models],
                "has_more": False, "first_id": self.models[0], "last_id": self.models[-1]})
        if http.command == "POST" and path == "/v1/messages":
            return self._messages(http, http.read_body())
        if http.command == "POST" and path == "/v1/messages/count_tokens":
            body = http.read_body()
            self._known(body)
            self._check_messages(http, body.get("messages"))
            http.generation(body)
            return http.answer(200, {"input_tokens": len(json.dumps(body["messages"])) // 4})
        raise Refused(404, "Not found")

    # ---- what the real one refuses

    def _check_headers(self, http):
        version = http.headers.get("anthropic-version")
        if version not in VERSIONS:
            raise Refused(400, "anthropic-version: header is required")
        bearer = http.headers.get("Authorization", "")
        key = http.headers.get("x-api-key") or bearer.removeprefix("Bearer ")
        if self.key and key != self.key:
            raise Refused(401, "invalid x-api-key")

    def _known(self, body):
        if body.get("model") not in self.models:
            raise Refused(404, "model: %s" % body.get("model"))

    def _check_block(self, block, uses, is_user):
        kind = block.get("type")
        if kind == "text" and not block.get("text"):
            raise Refused(400, "messages: text content blocks must be non-empty")
        if kind == "image" and block["source"]["type"] not in ("base64", "url"):
            raise Refused(400, "messages: image source")
        if kind == "tool_use" and not isinstance(block.get("input"), dict):
            raise Refused(400, "messages.content.tool_use.input: Input should be a valid dictionary")
        if kind == "thinking" and not block.get("signature"):
            raise Refused(400, "messages.content.thinking.signature: Field required")
        if kind == "tool_result" and (not is_user or block.get("tool_use_id") not in uses):
            raise Refused(400, "messages: unexpected `tool_use_id` found in `tool_result` blocks")

    def _check_messages(self, http, messages):
        """System messages in mid-conversation are taken with their beta header only."""
        betas = http.headers.get("anthropic-beta", "")
        roles = ["user", "assistant"] + (["system"] if "mid-conversation-system" in betas else [])
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "messages: at least one message is required")
        uses = set()
        for m in messages:
            if m.get("role") not in roles:
                raise Refused(400, "messages: Unexpected role \"%s\"" % m.get("role"))
            blocks = m.get("content")
            if isinstance(blocks, str):
                blocks = [{"type": "text", "text": blocks}]
            if not blocks:
                raise Refused(400, "messages: all messages must have non-empty content")
            for b in blocks:
                self._check_block(b, uses, m["role"] == "user")
            if m["role"] == "system":
                continue
            answered = {b["tool_use_id"] for b in blocks if b.get("type") == "tool_result"}
            if uses - answered:
                raise Refused(400, "messages: `tool_use` ids were found without `tool_result` blocks "
                                   "immediately after: " + ", ".join(uses - answered))
            uses = {b["id"] for b in blocks if b.get("type") == "tool_use"}

    def _check(self, http, body):
        self._known(body)
        if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
            raise Refused(400, "max_tokens: Field required")
        if http.headers["anthropic-version"] == "2026-10-21":
            for odd in ("temperature", "top_p", "top_k"):
                if odd in body:
                    raise Refused(400, "%s: Extra inputs are not permitted" % odd)
        elif not 0 <= body.get("temperature", 1) <= 1:
            raise Refused(400, "temperature: Input should be less than or equal to 1")
        allowed = {"model", "messages", "system", "max_tokens", "stop_sequences", "stream",
                   "metadata", "temperature", "top_p", "top_k", "tools", "tool_choice", "thinking",
                   "output_config", "service_tier", "context_management", "container"}
        for k in body:
            if k not in allowed:
                raise Refused(400, "%s: Extra inputs are not permitted" % k)
        budget = (body.get("thinking") or {}).get("budget_tokens")
        if budget is not None and not 1024 <= budget < body["max_tokens"]:
            raise Refused(400, "thinking.budget_tokens: must be >= 1024 and less than max_tokens")
        self._check_messages(http, body.get("messages"))

    # ---- answers

    def _blocks(self, body, reply, words):
        blocks = []
        if reply.thinking and (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
            blocks.append({"type": "thinking", "thinking": reply.thinking, "signature": "c2ln"})
        if words:
            blocks.append({"type": "text", "text": "".join(words)})
        if body.get("tools") and (body.get("tool_choice") or {}).get("type") != "none":
            blocks += [{"type": "tool_use", "id": "toolu_%d" % i, "name": n, "input": a}
                       for i, (n, a) in enumerate(reply.calls)]
        return blocks

    def _messages(self, http, body):
        self._check(http, body)
        fault, reply = http.generation(body), self.next_reply()
        if (body.get("output_config") or {}).get("format") and not reply.calls:
            words, finish = ['{"answer"', ': 42}'], "stop"
        else:
            words, finish = reply.limited(body["max_tokens"], body.get("stop_sequences"))
        blocks = self._blocks(body, reply, words)
        reason = "tool_use" if blocks and blocks[-1]["type"] == "tool_use" else \
            STOP.get(finish, "end_turn")
        head = {"id": "msg_fake1", "type": "message", "role": "assistant", "model": body["model"],
                "content": [], "stop_reason": None, "stop_sequence": None,
                "usage": {"input_tokens": reply.input_tokens, "cache_creation_input_tokens": 0,
                          "cache_read_input_tokens": 0, "output_tokens": 1}}
        n = max(len(words), 1)
        if body.get("stream"):
            return self._stream(http, fault, head, blocks, words, reason, n)
        usage = dict(head["usage"], output_tokens=n)
        return http.answer_whole(fault, dict(head, content=blocks, stop_reason=reason, usage=usage))

    def _deltas(self, block, words):
        if block["type"] == "text":
            return [{"type": "text_delta", "text": w} for w in words]
        if block["type"] == "thinking":
            return [{"type": "thinking_delta", "thinking": block["thinking"]},
                    {"type": "signature_delta", "signature": block["signature"]}]
        if not block["input"]:
            return []
        raw = json.dumps(block["input"])
        half = len(raw) // 2
        return [{"type": "input_json_delta", "partial_json": p} for p in ("", raw[:half], raw[half:])]

    def _stream(self, http, fault, head, blocks, words, reason, n):
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""},
                 "tool_use": {"input": {}}}
        events = [self._event("message_start", message=head)]
        for i, block in enumerate(blocks):
            events.append(self._event("content_block_start", index=i,
                                      content_block=dict(block, **empty[block["type"]])))
            if i == 0:
                events.append(self._event("ping"))
            events += [self._event("content_block_delta", index=i, delta=d)
                       for d in self._deltas(block, words)]
            events.append(self._event("content_block_stop", index=i))
        usage = {} if fault.no_usage else {"usage": {"output_tokens": n}}
        events.append(self._event("message_delta",
                                  delta={"stop_reason": reason, "stop_sequence": None}, **usage))
        events.append(self._event("message_stop"))
        error = sse({"type": "error", "error": {"type": "overloaded_error",
                                                "message": "Overloaded"}}, "error")
        http.stream(fault, "text/event-stream", events, error)

    def _event(self, kind, **rest):
        return sse(dict(type=kind, **rest), kind)
