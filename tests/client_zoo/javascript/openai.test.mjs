// OpenAI's client for JavaScript: Chat Completions and Responses.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import * as zoo from "./zoo.mjs";

const client = new OpenAI({ baseURL: `${zoo.URL}/v1`, apiKey: zoo.KEY });
const HELLO = [{ role: "user", content: "hello" }];
const TOOLS = [
  { type: "function", function: { name: "weather", description: "?", parameters: zoo.FORECAST } },
];
const SCHEMA = { name: "forecast", strict: true, schema: zoo.FORECAST };
const skip = zoo.unlessSpoken("openai-responses", "Responses callers");

for (const model of zoo.MODELS) {
  test(`openai ${model}: text and usage`, async () => {
    const asked = await zoo.watch();
    const answer = await client.chat.completions.create({ model, messages: HELLO });
    assert.equal(answer.choices[0].message.content, zoo.said(model));
    assert.equal(answer.choices[0].finish_reason, "stop");
    const [entry] = await asked.of(model);
    assert.equal(answer.usage.prompt_tokens, entry.prompt_tokens);
    assert.equal(answer.usage.completion_tokens, entry.output_tokens);
  });

  test(`openai ${model}: stream`, async () => {
    const stream = client.chat.completions.stream({
      model,
      messages: HELLO,
      stream_options: { include_usage: true },
    });
    let pieces = 0;
    stream.on("content", () => (pieces += 1));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, zoo.said(model));
    assert.ok(pieces >= 12);
    assert.equal(final.usage.completion_tokens, 12);
  });

  for (const isStream of [false, true]) {
    test(`openai ${model}: tool loop, ${isStream ? "streamed" : "whole"}`, async () => {
      const messages = [{ role: "user", content: zoo.TOOL_PLEASE }];
      const ask = { model, messages, tools: TOOLS };
      const first = isStream
        ? await client.chat.completions.stream(ask).finalChatCompletion()
        : await client.chat.completions.create(ask);
      const [call] = first.choices[0].message.tool_calls;
      assert.equal(call.function.name, "weather");
      zoo.assertForecast(JSON.parse(call.function.arguments));
      messages.push(first.choices[0].message);
      messages.push({ role: "tool", tool_call_id: call.id, content: "rain" });
      const end = await client.chat.completions.create(ask);
      assert.equal(end.choices[0].message.content, zoo.said(model));
    });
  }

  test(`openai ${model}: the SDK's own tool runner`, async () => {
    const called = [];
    const weather = {
      ...TOOLS[0].function,
      parse: JSON.parse,
      function: (given) => (called.push(given), "rain"),
    };
    const runner = client.chat.completions.runTools({
      model,
      messages: [{ role: "user", content: zoo.TOOL_PLEASE }],
      tools: [{ type: "function", function: weather }],
    });
    assert.equal(await runner.finalContent(), zoo.said(model));
    called.forEach(zoo.assertForecast);
    assert.equal(called.length, 1);
  });

  test(`openai ${model}: structured`, async () => {
    const answer = await client.chat.completions.parse({
      model,
      messages: HELLO,
      response_format: { type: "json_schema", json_schema: SCHEMA },
    });
    zoo.assertForecast(JSON.parse(answer.choices[0].message.content));
  });

  test(`openai ${model}: image`, async () => {
    const asked = await zoo.watch();
    const url = `data:image/png;base64,${zoo.PIXEL}`;
    const content = [
      { type: "text", text: "what?" },
      { type: "image_url", image_url: { url } },
    ];
    await client.chat.completions.create({ model, messages: [{ role: "user", content }] });
    const [entry] = await asked.of(model);
    assert.ok(entry.prompt_tokens > zoo.IMAGE_TOKENS_MIN);
  });

  test(`openai responses ${model}: text and usage`, { skip }, async () => {
    const asked = await zoo.watch();
    const answer = await client.responses.create({ model, input: "hello" });
    assert.equal(answer.output_text, zoo.said(model));
    const [entry] = await asked.of(model);
    assert.equal(answer.usage.input_tokens, entry.prompt_tokens);
    assert.equal(answer.usage.output_tokens, entry.output_tokens);
  });

  test(`openai responses ${model}: stream`, { skip }, async () => {
    const stream = client.responses.stream({ model, input: "hello" });
    let pieces = 0;
    stream.on("response.output_text.delta", () => (pieces += 1));
    const final = await stream.finalResponse();
    assert.equal(final.output_text, zoo.said(model));
    assert.ok(pieces >= 12);
    assert.equal(final.usage.output_tokens, 12);
  });

  for (const isStream of [false, true]) {
    const how = isStream ? "streamed" : "whole";
    test(`openai responses ${model}: tool loop, ${how}`, { skip }, async () => {
      const tools = [{ type: "function", ...TOOLS[0].function, strict: true }];
      const input = [{ role: "user", content: zoo.TOOL_PLEASE }];
      const first = isStream
        ? await client.responses.stream({ model, input, tools }).finalResponse()
        : await client.responses.create({ model, input, tools });
      const call = first.output.find((item) => item.type === "function_call");
      zoo.assertForecast(JSON.parse(call.arguments));
      const { type, call_id, name } = call;
      input.push({ type, call_id, name, arguments: call.arguments });
      input.push({ type: "function_call_output", call_id, output: "rain" });
      const end = await client.responses.create({ model, input, tools });
      assert.equal(end.output_text, zoo.said(model));
    });
  }

  test(`openai responses ${model}: structured`, { skip }, async () => {
    const text = { format: { type: "json_schema", ...SCHEMA } };
    const answer = await client.responses.parse({ model, input: "hello", text });
    zoo.assertForecast(JSON.parse(answer.output_text));
  });

  test(`openai responses ${model}: image`, { skip }, async () => {
    const asked = await zoo.watch();
    const image_url = `data:image/png;base64,${zoo.PIXEL}`;
    const content = [
      { type: "input_text", text: "what?" },
      { type: "input_image", image_url, detail: "auto" },
    ];
    await client.responses.create({ model, input: [{ role: "user", content }] });
    const [entry] = await asked.of(model);
    assert.ok(entry.prompt_tokens > zoo.IMAGE_TOKENS_MIN);
  });
}

const callers = [
  ["openai", (model) => client.chat.completions.create({ model, messages: HELLO }), false],
  ["openai responses", (model) => client.responses.create({ model, input: "hello" }), skip],
];
for (const [name, call, isSkipped] of callers) {
  test(`${name}: unknown model`, { skip: isSkipped }, async () => {
    const asked = await zoo.watch();
    const caught = await call("no-such-model").catch((error) => error);
    assert.ok(caught instanceof OpenAI.NotFoundError);
    assert.match(caught.message, /no-such-model/);
    assert.equal(await asked.count(), 0);
  });

  for (const broken of zoo.BROKEN) {
    test(`${name}: ${broken} is not stormed`, { skip: isSkipped }, async () => {
      const asked = await zoo.watch();
      const caught = await call(broken).catch((error) => error);
      assert.equal(caught.status, 503);
      assert.match(caught.message, new RegExp(broken));
      assert.ok((await asked.count()) <= zoo.ATTEMPTS_MAX);
    });
  }
}
