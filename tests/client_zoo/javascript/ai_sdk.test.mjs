// Vercel's AI SDK over OpenAI's two formats and Anthropic's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import * as zoo from "./zoo.mjs";

const openai = createOpenAI({ baseURL: `${zoo.URL}/v1`, apiKey: zoo.KEY });
const anthropic = createAnthropic({ baseURL: `${zoo.URL}/v1`, apiKey: zoo.KEY });
const RESPONSES = zoo.unlessSpoken("openai-responses", "Responses callers");
const CALLERS = [
  ["ai openai.chat", openai.chat, false],
  ["ai openai", openai, RESPONSES],
  ["ai anthropic", anthropic, false],
];
const FORECAST = jsonSchema(zoo.FORECAST);
globalThis.AI_SDK_LOG_WARNINGS = false;

for (const [name, caller, skip] of CALLERS) {
  for (const id of zoo.MODELS) {
    const model = caller(id);

    test(`${name} ${id}: text and usage`, { skip }, async () => {
      const asked = await zoo.watch();
      const { text, usage, finishReason } = await generateText({ model, prompt: "hello" });
      assert.equal(text, zoo.said(id));
      assert.equal(finishReason, "stop");
      const [entry] = await asked.of(id);
      assert.equal(usage.inputTokens, entry.prompt_tokens);
      assert.equal(usage.outputTokens, entry.output_tokens);
    });

    test(`${name} ${id}: stream`, { skip }, async () => {
      const stream = streamText({ model, prompt: "hello" });
      const pieces = [];
      for await (const piece of stream.textStream) pieces.push(piece);
      assert.equal(pieces.join(""), zoo.said(id));
      assert.ok(pieces.length >= 12);
      assert.equal((await stream.usage).outputTokens, 12);
    });

    for (const ask of [generateText, streamText]) {
      test(`${name} ${id}: tool loop by ${ask.name}`, { skip }, async () => {
        const called = [];
        const execute = async (given) => (called.push(given), "rain");
        const weather = tool({ description: "?", inputSchema: FORECAST, execute });
        const result = await ask({
          model,
          prompt: zoo.TOOL_PLEASE,
          tools: { weather },
          stopWhen: stepCountIs(3),
        });
        assert.equal(await result.text, zoo.said(id));
        called.forEach(zoo.assertForecast);
        assert.equal(called.length, 1);
      });
    }

    test(`${name} ${id}: structured`, { skip }, async () => {
      const output = Output.object({ schema: FORECAST });
      const result = await generateText({ model, prompt: "hello", output });
      zoo.assertForecast(result.output);
    });

    test(`${name} ${id}: image`, { skip }, async () => {
      const asked = await zoo.watch();
      const content = [
        { type: "text", text: "what?" },
        { type: "image", image: zoo.PIXEL, mediaType: "image/png" },
      ];
      await generateText({ model, messages: [{ role: "user", content }] });
      const [entry] = await asked.of(id);
      assert.ok(entry.prompt_tokens > zoo.IMAGE_TOKENS_MIN);
    });
  }

  test(`${name}: unknown model`, { skip }, async () => {
    const asked = await zoo.watch();
    const ask = { model: caller("no-such-model"), prompt: "hello" };
    const caught = await generateText(ask).catch((error) => error);
    assert.ok(APICallError.isInstance(caught));
    assert.equal(caught.statusCode, 404);
    assert.match(caught.message, /no-such-model/);
    assert.equal(await asked.count(), 0);
  });

  for (const broken of zoo.BROKEN) {
    // This SDK tries three times and heeds no header that tells it not to; without its retries
    // the sidecar's own are seen.
    test(`${name}: ${broken} is not stormed`, { skip }, async () => {
      const asked = await zoo.watch();
      const ask = { model: caller(broken), prompt: "hello", maxRetries: 0 };
      const caught = await generateText(ask).catch((error) => error);
      assert.equal(caught.statusCode, 503);
      assert.match(caught.message, new RegExp(broken));
      assert.ok((await asked.count()) <= zoo.ATTEMPTS_MAX);
    });
  }
}
