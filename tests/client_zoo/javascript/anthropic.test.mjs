// Anthropic's client for JavaScript.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import * as zoo from "./zoo.mjs";

const client = new Anthropic({ baseURL: zoo.URL, apiKey: zoo.KEY });
const HELLO = [{ role: "user", content: "hello" }];
const TOOLS = [{ name: "weather", description: "?", input_schema: zoo.FORECAST }];
const max_tokens = 999;

for (const model of zoo.MODELS) {
  test(`anthropic ${model}: text and usage`, async () => {
    const asked = await zoo.watch();
    const answer = await client.messages.create({ model, max_tokens, messages: HELLO });
    assert.equal(answer.content[0].text, zoo.said(model));
    assert.equal(answer.stop_reason, "end_turn");
    const [entry] = await asked.of(model);
    assert.equal(answer.usage.input_tokens, entry.prompt_tokens);
    assert.equal(answer.usage.output_tokens, entry.output_tokens);
  });

  test(`anthropic ${model}: stream`, async () => {
    const stream = client.messages.stream({ model, max_tokens, messages: HELLO });
    let pieces = 0;
    stream.on("text", () => (pieces += 1));
    const final = await stream.finalMessage();
    assert.equal(final.content[0].text, zoo.said(model));
    assert.ok(pieces >= 12);
    assert.equal(final.usage.output_tokens, 12);
  });

  for (const isStream of [false, true]) {
    test(`anthropic ${model}: tool loop, ${isStream ? "streamed" : "whole"}`, async () => {
      const messages = [{ role: "user", content: zoo.TOOL_PLEASE }];
      const ask = { model, max_tokens, messages, tools: TOOLS };
      const first = isStream
        ? await client.messages.stream(ask).finalMessage()
        : await client.messages.create(ask);
      const call = first.content.find((block) => block.type === "tool_use");
      assert.equal(first.stop_reason, "tool_use");
      zoo.assertForecast(call.input);
      messages.push({ role: "assistant", content: first.content });
      const content = [{ type: "tool_result", tool_use_id: call.id, content: "rain" }];
      messages.push({ role: "user", content });
      const end = await client.messages.create(ask);
      assert.equal(end.content[0].text, zoo.said(model));
    });
  }

  test(`anthropic ${model}: structured`, async () => {
    const output_config = { format: { type: "json_schema", schema: zoo.FORECAST } };
    const ask = { model, max_tokens, messages: HELLO, output_config };
    const answer = await client.messages.create(ask);
    zoo.assertForecast(JSON.parse(answer.content[0].text));
  });

  test(`anthropic ${model}: image`, async () => {
    const asked = await zoo.watch();
    const source = { type: "base64", media_type: "image/png", data: zoo.PIXEL };
    const content = [
      { type: "text", text: "what?" },
      { type: "image", source },
    ];
    await client.messages.create({ model, max_tokens, messages: [{ role: "user", content }] });
    const [entry] = await asked.of(model);
    assert.ok(entry.prompt_tokens > zoo.IMAGE_TOKENS_MIN);
  });

  test(`anthropic ${model}: count`, async () => {
    const counted = await client.messages.countTokens({ model, messages: HELLO });
    assert.ok(counted.input_tokens > 0);
  });
}

test("anthropic: unknown model", async () => {
  const asked = await zoo.watch();
  const ask = { model: "no-such-model", max_tokens, messages: HELLO };
  const caught = await client.messages.create(ask).catch((error) => error);
  assert.ok(caught instanceof Anthropic.NotFoundError);
  assert.match(caught.message, /no-such-model/);
  assert.equal(await asked.count(), 0);
});

for (const model of zoo.BROKEN) {
  test(`anthropic: ${model} is not stormed`, async () => {
    const asked = await zoo.watch();
    const ask = { model, max_tokens, messages: HELLO };
    const caught = await client.messages.create(ask).catch((error) => error);
    assert.equal(caught.status, 503);
    assert.match(caught.message, new RegExp(model));
    assert.ok((await asked.count()) <= zoo.ATTEMPTS_MAX);
  });
}
