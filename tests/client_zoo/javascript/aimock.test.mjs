// A mock that others wrote, behind the sidecar in each of the formats that it has: what OpenAI's
// SDK gets by way of each is the same.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import OpenAI from "openai";

const WHERE = JSON.parse(process.env.CLIENT_ZOO);
const ANSWER = "It rains in Zürich, 日本🙂, and it will go on raining for as long as this answer lasts.";
const FIXTURES = {
  fixtures: [
    { match: { userMessage: "weather" }, response: { content: ANSWER } },
    {
      match: { userMessage: "forecast" },
      response: { toolCalls: [{ name: "forecast", arguments: { city: "Zürich", days: 3 } }] },
    },
  ],
};
const TOOL = {
  type: "function",
  function: {
    name: "forecast",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
    },
  },
};
const MODELS = ["chat", "messages", "gemini", "ollama"];
const started = [];
let client;

/** A port that nobody listens on. */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Run a program until the tests are over; resolve when it says `sign`. */
function running(command, args, sign, options = {}) {
  const child = spawn(command, args, options);
  started.push(child);
  return new Promise((resolve, reject) => {
    let said = "";
    const hear = (chunk) => {
      said += chunk;
      const found = said.match(sign);
      if (found) resolve(found);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", () => reject(new Error(`it ended, saying: ${said}`)));
  });
}

function config(url) {
  return `
listen: {data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}
providers:
  chat: {kind: openai, base_url: "${url}/v1"}
  messages: {kind: anthropic, base_url: "${url}"}
  gemini: {kind: gemini, base_url: "${url}/v1beta"}
  ollama: {kind: ollama, base_url: "${url}"}
models:
  chat: {provider: chat, model: gpt-4o, context: 100000}
  messages: {provider: messages, model: claude-sonnet-4-5, context: 100000}
  gemini: {provider: gemini, model: gemini-2.5-pro, context: 100000}
  ollama: {provider: ollama, model: llama3, context: 100000}
`;
}

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "aimock-"));
  writeFileSync(join(folder, "fixtures.json"), JSON.stringify(FIXTURES));
  const port = await freePort();
  const mock = ["-p", `${port}`, "-f", join(folder, "fixtures.json"), "--log-level", "info"];
  await running("node_modules/.bin/llmock", mock, /listening|started|http:/i);
  writeFileSync(join(folder, "sidecar.yaml"), config(`http://127.0.0.1:${port}`));
  const run = ["-m", "sidecar.cli.main", "run", "--config", join(folder, "sidecar.yaml")];
  const [, url] = await running(WHERE.python, run, /data +(http:\/\/[\w.:]+)/, { cwd: WHERE.root });
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
});

after(() => started.forEach((child) => child.kill()));

for (const model of MODELS) {
  describe(`${model} at aimock`, () => {
    test("a whole answer", async () => {
      const messages = [{ role: "user", content: "weather, please" }];
      const answer = await client.chat.completions.create({ model, messages });
      assert.equal(answer.choices[0].message.content, ANSWER);
      assert.equal(answer.choices[0].finish_reason, "stop");
    });

    test("a stream", async () => {
      const messages = [{ role: "user", content: "weather, please" }];
      const stream = await client.chat.completions.create({ model, messages, stream: true });
      let text = "";
      let finish = null;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta?.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
      }
      assert.equal(text, ANSWER);
      assert.equal(finish, "stop");
    });

    for (const stream of [false, true]) {
      test(`a tool call${stream ? ", streamed" : ""}`, async () => {
        const messages = [{ role: "user", content: "a forecast, please" }];
        const request = { model, messages, tools: [TOOL] };
        const answer = stream
          ? await client.chat.completions.stream(request).finalChatCompletion()
          : await client.chat.completions.create(request);
        const [call] = answer.choices[0].message.tool_calls;
        assert.equal(call.function.name, "forecast");
        assert.deepEqual(JSON.parse(call.function.arguments), { city: "Zürich", days: 3 });
        assert.equal(answer.choices[0].finish_reason, "tool_calls");
      });
    }
  });
}
