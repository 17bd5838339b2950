// The npm client libraries of one dialect against a gateway: node npm_clients.js JOB, where JOB is JSON with
// front, url, model, missing (a model that is not there), embeds, png (base64) and only (names of checks).
// Prints {check: result}; what a result must be is said in test_gateway_npm.py.
"use strict";
const path = require("node:path");
const { createRequire } = require("node:module");
const from = createRequire(path.join(process.env.NODE_HOME, "x.js"));
const job = JSON.parse(process.argv[2]);
const hi = [{ role: "user", content: "hi" }];
const schema = { type: "object", properties: { city: { type: "string" } } };
const tool = { type: "function", function: { name: "weather", parameters: schema } };

function failure(e) {
  return { name: e.constructor.name, status: e.status ?? e.status_code ?? null, text: String(e.message) };
}

async function fails(work) {
  try {
    await work();
  } catch (e) {
    return failure(e);
  }
  return null;
}

function openai() {
  const { OpenAI } = from("openai");
  const c = new OpenAI({ baseURL: job.url + "/v1", apiKey: "x", maxRetries: 0 });
  const ask = (more) => c.chat.completions.create({ model: job.model, messages: hi, ...more });
  const calls = (m) => (m.tool_calls ?? []).map((t) => [t.function.name, JSON.parse(t.function.arguments)]);
  return {
    async text() {
      const r = await ask();
      return { text: r.choices[0].message.content, finish: r.choices[0].finish_reason, out: r.usage.completion_tokens };
    },
    async stream() {
      let text = "";
      let finish = null;
      for await (const e of await ask({ stream: true })) {
        text += e.choices[0]?.delta?.content ?? "";
        finish = e.choices[0]?.finish_reason ?? finish;
      }
      return { text, finish };
    },
    async tools() {
      const c = (await ask({ tools: [tool] })).choices[0];
      return { calls: calls(c.message), finish: c.finish_reason };
    },
    async tools_stream() {
      const r = await c.chat.completions.stream({ model: job.model, messages: hi, tools: [tool] }).finalChatCompletion();
      return { calls: calls(r.choices[0].message), finish: r.choices[0].finish_reason };
    },
    async image() {
      const url = "data:image/png;base64," + job.png;
      const content = [{ type: "text", text: "What?" }, { type: "image_url", image_url: { url } }];
      return { text: (await ask({ messages: [{ role: "user", content }] })).choices[0].message.content };
    },
    async responses() {
      return { text: (await c.responses.create({ model: job.model, input: "hi" })).output_text };
    },
    async embeddings() { // asks for base64 by itself
      const r = await c.embeddings.create({ model: job.embeds, input: ["a", "b"] });
      return { n: r.data.length, numbers: r.data.every((d) => d.embedding.every(Number.isFinite)), size: r.data[0].embedding.length };
    },
    async models() {
      return { ids: (await c.models.list()).data.map((m) => m.id), one: (await c.models.retrieve(job.model)).id };
    },
    missing: () => fails(() => ask({ model: job.missing })),
    missing_stream: () => fails(() => ask({ model: job.missing, stream: true })),
    broken: () => fails(async () => { for await (const _ of await ask({ stream: true })); }),
    async abort() {
      const s = await ask({ stream: true });
      for await (const _ of s) break;
      s.controller.abort();
      return true;
    },
  };
}

function anthropic() {
  const { Anthropic } = from("@anthropic-ai/sdk");
  const c = new Anthropic({ baseURL: job.url, apiKey: "x", maxRetries: 0 });
  const body = (more) => ({ model: job.model, max_tokens: 50, messages: hi, ...more });
  const tools = [{ name: "weather", input_schema: schema }];
  const text = (r) => r.content.filter((b) => b.type === "text").map((b) => b.text).join("");
  const calls = (r) => r.content.filter((b) => b.type === "tool_use").map((b) => [b.name, b.input]);
  return {
    async text() {
      const r = await c.messages.create(body());
      return { text: text(r), finish: r.stop_reason, out: r.usage.output_tokens };
    },
    async stream() {
      const r = await c.messages.stream(body()).finalMessage();
      return { text: text(r), finish: r.stop_reason };
    },
    async tools() {
      const r = await c.messages.create(body({ tools }));
      return { calls: calls(r), finish: r.stop_reason };
    },
    async tools_stream() {
      const r = await c.messages.stream(body({ tools })).finalMessage();
      return { calls: calls(r), finish: r.stop_reason };
    },
    async image() {
      const source = { type: "base64", media_type: "image/png", data: job.png };
      const content = [{ type: "image", source }, { type: "text", text: "What?" }];
      return { text: text(await c.messages.create(body({ messages: [{ role: "user", content }] }))) };
    },
    async count() {
      return { n: (await c.messages.countTokens({ model: job.model, messages: hi })).input_tokens };
    },
    async models() {
      const ids = [];
      for await (const m of c.models.list()) ids.push(m.id);
      return { ids, one: (await c.models.retrieve(job.model)).id };
    },
    missing: () => fails(() => c.messages.create(body({ model: job.missing }))),
    missing_stream: () => fails(() => c.messages.stream(body({ model: job.missing })).finalMessage()),
    broken: () => fails(() => c.messages.stream(body()).finalMessage()),
    async abort() {
      const s = c.messages.stream(body());
      for await (const e of s) if (e.type === "content_block_delta") break;
      s.abort();
      return true;
    },
  };
}

function ollama() {
  const { Ollama } = from("ollama");
  const c = new Ollama({ host: job.url });
  const ask = (more) => c.chat({ model: job.model, messages: hi, ...more });
  const calls = (m) => (m.tool_calls ?? []).map((t) => [t.function.name, t.function.arguments]);
  return {
    async text() {
      const r = await ask();
      return { text: r.message.content, finish: r.done_reason, out: r.eval_count };
    },
    async stream() {
      let text = "";
      let finish = null;
      for await (const e of await ask({ stream: true })) {
        text += e.message.content;
        finish = e.done_reason ?? finish;
      }
      return { text, finish };
    },
    async tools() {
      const r = await ask({ tools: [tool] });
      return { calls: calls(r.message), finish: r.done_reason };
    },
    async tools_stream() {
      let found = [];
      let finish = null;
      for await (const e of await ask({ tools: [tool], stream: true })) {
        found = found.concat(calls(e.message));
        finish = e.done_reason ?? finish;
      }
      return { calls: found, finish };
    },
    async image() {
      return { text: (await ask({ messages: [{ ...hi[0], images: [job.png] }] })).message.content };
    },
    async generate() {
      return { text: (await c.generate({ model: job.model, prompt: "hi" })).response };
    },
    async embeddings() {
      const r = await c.embed({ model: job.embeds, input: ["a", "b"] });
      return { n: r.embeddings.length, numbers: r.embeddings.every((e) => e.every(Number.isFinite)), size: r.embeddings[0].length };
    },
    async models() {
      return { ids: (await c.list()).models.map((m) => m.name.replace(/:latest$/, "")), one: (await c.show({ model: job.model })) && job.model };
    },
    missing: () => fails(() => ask({ model: job.missing })),
    missing_stream: () => fails(() => ask({ model: job.missing, stream: true })),
    broken: () => fails(async () => { for await (const _ of await ask({ stream: true })); }),
    async abort() {
      const s = await ask({ stream: true });
      for await (const _ of s) break;
      s.abort();
      return true;
    },
  };
}

(async () => {
  const checks = { openai, anthropic, ollama }[job.front]();
  const out = {};
  for (const name of job.only ?? Object.keys(checks)) {
    if (!checks[name]) continue;
    try {
      out[name] = await checks[name]();
    } catch (e) {
      out[name] = { failed: failure(e), stack: e.stack };
    }
  }
  // A client that was aborted may leave a timer or a connection that keeps the process alive.
  process.stdout.write(JSON.stringify(out) + "\n", () => process.exit(0));
})();
